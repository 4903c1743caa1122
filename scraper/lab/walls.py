"""Sites that refuse servers, each in a form of its own, and one that is hostile in every way at once. Rules only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import ClassVar

from scraper.lab import vendors
from scraper.lab.answers import Answer, Visit
from scraper.lab.defences import RefusingShop
from scraper.lab.exits import Exit
from scraper.lab.options import LabOptions
from scraper.lab.shops import Shop

Page = Callable[[Visit], Answer]


def _packed(page: Page, encoding: str) -> Page:
    return lambda visit: replace(page(visit), encodings=(encoding,))


def _px(visit: Visit) -> Answer:
    return vendors.perimeterx_page(visit) if visit.path == "/blocked" else vendors.perimeterx_redirect(visit)


LARGE = "mitigated"  # a large page that its headers give away; there is a site of it for each scheme

# label of a site -> its wall
FORMS: Mapping[str, Page] = {
    "gzip": _packed(vendors.imperva_captcha, "gzip"),  # 200
    "br": _packed(vendors.anubis_challenge, "br"),  # 200
    "zstd": _packed(vendors.amazon_robot_check, "zstd"),  # 200
    "moved": _px,  # 302 to an address that says it
    "detour": vendors.perimeterx_detour,  # 302 to an address that does not, and 200 there
    "status202": lambda visit: vendors.aws_waf_challenge(),
    "status405": vendors.aws_waf_captcha,
    "status999": vendors.linkedin_999,
    "json": vendors.datadome_json,
    "json2": vendors.perimeterx_json,
    "refresh": vendors.akamai_refresh,  # 200, and to itself
    "refresh2": vendors.captcha_refresh,  # 200, and to a captcha
    "empty": vendors.nothing,  # 200
    LARGE: _packed(vendors.cloudflare_challenge, "identity"),
}


class FormShop(RefusingShop):
    """Refuses servers with the page of its label."""

    def __init__(self, label: str, options: LabOptions) -> None:
        super().__init__(label, options)
        self._page = FORMS[label.partition("-")[0]]

    def answer(self, visit: Visit) -> Answer:
        """The wall for a server, whatever it asks for."""
        return self._page(visit) if visit.exit.kind in self.refused else Shop.answer(self, visit)


class HostileShop(Shop):
    """Refuses everybody at times, in all forms; a share of its products, always. The listing is open."""

    SHARE = 0.6  # of the requests for the other half
    TROUBLES: ClassVar[tuple[Page, ...]] = (
        *(page for label, page in FORMS.items() if label != LARGE),
        lambda visit: vendors.too_many_requests(0),
        lambda visit: Answer("fault", "<h1>down</h1>", 503, "503"),
        *(
            lambda visit, fault=fault: Answer("fault", "<p>x</p>" * 500, detail=fault, fault=fault)
            for fault in ("reset", "short", "endless", "cut_gzip")
        ),
    )

    def __init__(self, label: str, options: LabOptions) -> None:
        super().__init__(label, options)
        self._asked: dict[str, int] = defaultdict(int)

    def serves(self, exit_: Exit) -> bool:
        return False

    def answer(self, visit: Visit) -> Answer:
        """Decided by seed, path and how often it was asked for. Every second product is never to be had."""
        if visit.path == "/blocked" or visit.path == "/hello":
            return vendors.perimeterx_page(visit)
        if visit.path == "/captcha":
            return vendors.captcha_refresh(visit)
        product = self.by_path.get(visit.path)
        if product is None:
            return super().answer(visit)
        nth = self._asked[visit.path]
        self._asked[visit.path] += 1
        rng = Random(f"{self.options.seed}:hostile:{visit.path}:{nth}")
        if not self._places[product.sku] % 2 or rng.random() < self.SHARE:
            return rng.choice(self.TROUBLES)(visit)
        return super().answer(visit)
