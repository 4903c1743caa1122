"""ADAPTER. Whose contract `scrapy bans explain` asks a page for: a spider's that is named, or that of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scrapy.http import Response
from scrapy.spiderloader import get_spider_loader

from scraper.bans import contracts, samples
from scraper.bans.bodies import selector_of, text_of
from scraper.bans.wording import row, short
from scraper.errors import ConfigError
from scraper.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Whose:
    """``places``: as in reactions.Past; ``problem``: why a sample's contract cannot be asked for."""

    spider: str = ""
    callback: str = ""
    contracts: contracts.Contracts | None = None
    places: int = 0
    problem: str = ""

    @classmethod
    def named(cls, settings: Any, spider: str, callback: str) -> Whose:
        """Of a spider of this project. Raises ConfigError where it, or its callback, does not exist."""
        loader = get_spider_loader(settings)
        if spider not in loader.list():
            raise ConfigError("--spider", spider, f"this project has: {', '.join(sorted(loader.list()))}")
        known = loader.load(spider)
        if not callable(getattr(known, callback, None)):
            raise ConfigError("--callback", callback, f"is no callback of spider {spider}")
        asked = contracts.parse(
            spider,
            getattr(known, "good_page", None) or {},
            lambda name: callable(getattr(known, name, None)),
        )
        countries = set(getattr(known, "proxy_countries", None) or ())
        return cls(spider, callback, asked, len(countries) + 1 if countries else 0)

    @classmethod
    def of_sample(cls, settings: Any, notes: Mapping[str, str]) -> Whose:
        """Of the spider whose run kept the sample; nobody's where it does not tell."""
        spider, callback = notes.get(samples.SPIDER, ""), notes.get(samples.CALLBACK, "")
        if not (spider and callback):
            return cls()
        try:
            return cls.named(settings, spider, callback)
        except ConfigError as error:
            if error.name not in ("--spider", "--callback"):
                raise
            return cls(problem=f"not asked: this project has no {callback} of a spider {spider}")

    def judge(self, response: Response) -> tuple[Verdict | None, tuple[str, ...]]:
        """Why the page breaks the contract, and the line of the explanation."""
        if self.problem:
            return None, (row("contract", self.problem),)
        if self.contracts is None:
            return None, ()
        asked = self.contracts.of(self.callback, response.url, response.status)
        if not asked:
            why = f"spider {self.spider} has none for {self.callback} at this address"
            if self.contracts.of(self.callback, response.url, 200):
                why = f"not asked: status {response.status}"
            return None, (row("contract", why),)
        broken = contracts.judge(asked, response.body, text_of(response), selector_of(response))
        names = " and ".join(contract.name for contract in asked)
        said = f"lacks {short(broken.evidence)}" if broken else "holds"
        return broken, (row("contract", f"{names} of spider {self.spider}: {said}"),)

    def why_not(self, rule: str) -> str:
        """Why the rule that a run named for a sample is not the one named here."""
        if rule.startswith("contract_") and self.contracts is None:
            return "give its --spider and --callback"
        return "what decides has changed since, or the sample does not hold all that was seen"
