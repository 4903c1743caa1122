"""Each site behaves as it says, seen through real sockets."""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from html import unescape
from http.client import IncompleteRead
from typing import Any
from urllib.parse import urljoin

import pytest

FAULTS = (ConnectionError, IncompleteRead, TimeoutError, EOFError, zlib.error)


def url(lab: Any, site: str, path: str = "/") -> str:
    return lab.info["sites"][site]["start_url"].rstrip("/") + path


def products(lab: Any, site: str) -> dict[str, dict[str, Any]]:
    return lab.truth()["sites"][f"{site}.localhost"]["products"]


def some_product(lab: Any, site: str, nth: int = 0) -> str:
    return list(products(lab, site).values())[nth]["path"]


def read(page: str) -> dict[str, Any]:
    """What a spider would take from a product page."""
    data = json.loads(re.search(r'<script type="application/ld\+json">(.*?)</script>', page)[1])
    price = re.search(r'<p class="price"[^>]*>([\d.]+) ([A-Z]{3})</p>', page)
    return {
        "sku": re.search(r'itemprop="sku">([^<]+)<', page)[1],
        "title": unescape(re.search(r"<h1>([^<]+)</h1>", page)[1]),
        "description": data["description"],
        "brand": data["brand"]["name"],
        "rating": data["aggregateRating"]["ratingValue"],
        "price": price[1] if price else None,
        "currency": price[2] if price else None,
        "in_stock": '<p class="stock">In stock</p>' in page,
        "offers": data.get("offers"),
    }


def patient(client: Any, address: str) -> Any:
    """Try again after a fault, wait when told to, get a new cookie when the session moved to another exit."""
    for _ in range(3):
        try:
            reply = client.get(address)
            if reply.status == 429:
                time.sleep(int(reply.headers["Retry-After"]))
                continue
            if reply.status == 403:
                client.get(urljoin(address, "/"))
                continue
            assert reply.text
            return reply
        except FAULTS:
            continue
    raise AssertionError(f"three tries failed: {address}")


@pytest.mark.parametrize(
    "site", ["open", "quota", "slow", "captcha", "geo", "sticky", "poison", "redirect", "flaky"]
)
def test_a_client_that_plays_it_well_gets_the_whole_truth(lab: Any, client_for: Any, site: str) -> None:
    """Mobile, German, with cookies, patient, and a new session before an exit is asked too often."""
    truth, number, address = products(lab, site), 0, url(lab, site)
    found: dict[str, dict[str, Any]] = {}
    while address:
        client = client_for(lab, "mobile", f"customer-lab-country-de-session-{site}{number}", timeout=0.3)
        page = patient(client, address).text
        for path in re.findall(r'<div class="card" data-sku="[^"]+"><a href="([^"]+)"', page):
            if site == "slow":
                client.user = f"customer-lab-country-de-session-{path[7:]}"
            record = read(patient(client, url(lab, site, path)).text)
            assert record["offers"]["price"] == record["price"]
            assert record["sku"] not in found
            found[record["sku"]] = record
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address, number = url(lab, site, following[1]) if following else "", number + 1
    assert found.keys() == truth.keys()
    for sku, record in found.items():
        for name in ("title", "price", "currency", "description", "brand", "rating", "in_stock"):
            assert record[name] == truth[sku][name]


def test_open_takes_turns_with_the_encodings_that_the_client_accepts(lab: Any, client_for: Any) -> None:
    """All four decode to the same page."""
    client = client_for(lab, "direct")
    replies = [client.get(url(lab, "open"), accept="gzip, br;q=0.9, zstd") for _ in range(4)]
    assert {reply.headers.get("Content-Encoding") for reply in replies} == {"gzip", "br", "zstd", None}
    assert len({reply.text for reply in replies}) == 1
    assert client.get(url(lab, "open"), accept="deflate").headers.get("Content-Encoding") is None


def test_quota_bans_an_exit_for_a_while_and_no_other(lab: Any, client_for: Any) -> None:
    """Twelve requests pass, the thirteenth does not; a second later all is well."""
    client, other = client_for(lab, "datacentre"), client_for(lab, "residential", "customer-lab-session-q")
    replies = [client.get(url(lab, "quota")) for _ in range(14)]
    assert [reply.status for reply in replies] == [200] * 12 + [403] * 2
    assert '<span class="cf-error-code">1006</span>' in replies[-1].text
    assert replies[-1].headers["Server"] == "cloudflare"
    assert other.get(url(lab, "quota")).status == 200
    time.sleep(1.1)
    assert client.get(url(lab, "quota")).status == 200


def test_slow_says_how_long_to_wait_and_asking_meanwhile_adds_to_it(lab: Any, client_for: Any) -> None:
    """Whoever waits is served again."""
    client = client_for(lab, "datacentre")
    reply = client.get(url(lab, "slow"))
    while reply.status == 200:
        reply = client.get(url(lab, "slow"))
    assert reply.status == 429
    first = int(reply.headers["Retry-After"])
    assert first in (1, 2)
    longer = int(client.get(url(lab, "slow")).headers["Retry-After"])
    assert longer == first + 1
    assert client_for(lab, "direct").get(url(lab, "slow")).status == 200
    time.sleep(longer)
    assert client.get(url(lab, "slow")).status == 200


def test_captcha_comes_gzipped_with_status_200(lab: Any, client_for: Any) -> None:
    """Direct and datacentre get one, each of another vendor; homes and phones do not."""
    robot = client_for(lab, "direct").get(url(lab, "captcha"))
    assert (robot.status, robot.headers["Content-Encoding"]) == (200, "gzip")
    assert "<title>Robot Check</title>" in robot.text
    assert "/errors/validateCaptcha" in robot.text
    incident = client_for(lab, "datacentre").get(url(lab, "captcha"))
    assert incident.status == 200
    assert "_Incapsula_Resource?" in incident.text
    for pool in ("residential", "mobile"):
        assert "All products" in client_for(lab, pool).get(url(lab, "captcha")).text


@pytest.mark.parametrize(("country", "status"), [("de", 200), ("us", 403), ("fr", 403), ("gb", 403)])
def test_geo_serves_one_country(lab: Any, client_for: Any, country: str, status: int) -> None:
    """The refusal says that the country is the reason."""
    reply = client_for(lab, "residential", f"customer-lab-country-{country}").get(url(lab, "geo"))
    assert reply.status == status
    assert ("block access from your country" in reply.text) == (status == 403)


def test_sticky_wants_the_cookie_from_the_exit_that_got_it(lab: Any, client_for: Any) -> None:
    """Without a cookie, and with the cookie at another exit, a product is refused."""
    product = url(lab, "sticky", some_product(lab, "sticky"))
    client = client_for(lab, "mobile", "customer-lab-session-c1")
    refused = client.get(product)
    assert (refused.status, refused.headers["X-DD-B"]) == (403, "1")
    assert "captcha-delivery.com" in refused.text
    assert "Set-Cookie" in client.get(url(lab, "sticky", "/?page=2")).headers
    assert client.get(product).status == 200
    assert "Set-Cookie" not in client.get(url(lab, "sticky")).headers
    elsewhere = client_for(lab, "datacentre", cookies=dict(client.cookies)).get(product)
    assert elsewhere.status == 403
    assert "Reference&#32;&#35;18." in elsewhere.text


@pytest.mark.parametrize("pool", ["direct", "datacentre"])
def test_poison_looks_right_and_lacks_the_price(lab: Any, client_for: Any, pool: str) -> None:
    """Status 200, the rest of the record is true."""
    path = some_product(lab, "poison")
    reply = client_for(lab, pool).get(url(lab, "poison", path))
    record, truth = read(reply.text), next(iter(products(lab, "poison").values()))
    assert (reply.status, record["price"], record["offers"]) == (200, None, None)
    assert (record["title"], record["description"]) == (truth["title"], truth["description"])
    assert lab.served()[-1]["what"] == "poison"


def test_poison_and_redirect_distrust_the_same_residential_exits_and_no_mobile_one(
    lab: Any, client_for: Any
) -> None:
    """About a quarter of the homes, by their quality."""
    verdicts: dict[str, list[int]] = {}
    for pool in ("residential", "mobile"):
        verdicts[pool] = []
        for n in range(40):
            client = client_for(lab, pool, f"customer-lab-country-fr-session-p{n}")
            poisoned = "offers" not in client.get(url(lab, "poison", some_product(lab, "poison"))).text
            redirected = client.get(url(lab, "redirect")).status == 302
            assert poisoned == redirected
            verdicts[pool].append(poisoned)
    assert 2 <= sum(verdicts["residential"]) <= 22
    assert sum(verdicts["mobile"]) == 0


def test_redirect_sends_blocked_exits_to_a_page_with_status_200(lab: Any, client_for: Any) -> None:
    """The page at the end carries the marks."""
    client = client_for(lab, "datacentre")
    reply = client.get(url(lab, "redirect", some_product(lab, "redirect")))
    assert reply.status == 302
    page = client.get(url(lab, "redirect", reply.headers["Location"]))
    assert page.status == 200
    assert "window._pxAppId" in page.text
    assert "px-captcha" in page.text


def test_flaky_breaks_its_share_in_every_way_and_never_three_times_running(lab: Any, client_for: Any) -> None:
    """Each kind of damage looks to the client like what it is."""
    client = client_for(lab, "mobile", timeout=0.3)
    seen: dict[str, set[str]] = {}
    for number in range(150):
        for attempt in range(3):
            try:
                assert client.get(url(lab, "flaky", f"/none/{number}")).text
                break
            except FAULTS as error:
                assert attempt < 2
                fault = lab.served()[-1]["detail"]
                seen.setdefault(fault, set()).add(type(error).__name__)
    assert seen.keys() == {"reset", "stall", "stall_body", "short", "endless", "cut_gzip"}
    assert seen["reset"] <= {"ConnectionResetError"}
    assert seen["stall"] == seen["stall_body"] == {"TimeoutError"}
    assert seen["short"] == seen["endless"] == {"IncompleteRead"}
    assert seen["cut_gzip"] == {"EOFError"}


def test_a_cut_gzip_body_is_whole_by_its_length_and_begins_like_the_page(lab: Any, client_for: Any) -> None:
    """Only who decodes it to its end notices."""
    client = client_for(lab, "direct", timeout=0.3)
    for number in range(1000, 1300):
        try:
            reply = client.get(url(lab, "flaky", f"/none/{number}"))
        except FAULTS:
            continue
        if lab.served()[-1]["detail"] == "cut_gzip":
            break
    assert int(reply.headers["Content-Length"]) == len(reply.raw)
    assert zlib.decompressobj(31).decompress(reply.raw).startswith(b"<!doctype html>")
    with pytest.raises(EOFError):
        gzip.decompress(reply.raw)


def test_js_lists_nothing_until_its_token_is_computed(lab: Any, client_for: Any) -> None:
    """The script's sum, done here by hand."""
    client = client_for(lab, "direct")
    page = client.get(url(lab, "js", "/?page=2")).text
    assert 'class="card"' not in page
    assert 'href="/p/' not in page
    nonce, number = re.search(r'data-nonce="(\w+)" data-page="(\d+)"', page).groups()
    token = 7
    for sign in nonce + number:
        token = (token * 31 + ord(sign)) % 2147483647
    cards = client.get(url(lab, "js", f"/api/products?page={number}&token={token:x}")).text
    expected = [product["path"] for product in products(lab, "js").values() if product["page"] == 2]
    assert re.findall(r'<a href="([^"]+)"', cards) == expected
    challenge = client.get(url(lab, "js", "/api/products?page=2&token=0"))
    assert (challenge.status, challenge.headers["x-amzn-waf-action"]) == (202, "challenge")
    assert "/p/" not in client.get(url(lab, "js", "/sitemap.xml")).text
    assert lab.truth()["sites"]["js.localhost"]["needs_browser"] is True


def test_every_site_has_robots_for_all_a_sitemap_and_a_real_404(lab: Any, client_for: Any) -> None:
    """robots.txt is never refused, whatever the defence."""
    direct, mobile = client_for(lab, "direct"), client_for(lab, "mobile", "customer-lab-country-de-session-r")
    for site in lab.info["sites"]:
        robots = direct.get(url(lab, site, "/robots.txt"))
        assert robots.status == 200
        assert "Disallow: /private/\n" in robots.text
        assert f"Sitemap: {url(lab, site, '/sitemap.xml')}\n" in robots.text
        sitemap = patient(mobile, url(lab, site, "/sitemap.xml")).text
        if site != "js":
            expected = [url(lab, site, product["path"]) for product in products(lab, site).values()]
            assert re.findall("<loc>(.*?)</loc>", sitemap) == expected
        for missing in ("/nothing/here", "/?page=3", "/?page=0", "/?page=x", "/p/none"):
            assert patient(mobile, url(lab, site, missing)).status == 404


def test_each_site_answers_on_both_ports_and_unknown_hosts_do_not(lab: Any, client_for: Any) -> None:
    """TLS is checked against the lab's own authority."""
    client, ports = client_for(lab, "direct"), lab.info["ports"]
    assert client.get(f"https://open.localhost:{ports['https']}/").status == 200
    assert client.get(f"http://geo.localhost:{ports['http']}/").status == 403
    assert client.get(f"http://unknown.localhost:{ports['http']}/").status == 421
    assert client.get(f"http://open.localhost:{ports['http']}/", method="HEAD").raw == b""


def test_truth_says_who_was_served_what_through_which_exit(lab: Any, client_for: Any) -> None:
    """One line for each request, and counts of them."""
    before = lab.truth()["served"]["open.localhost"].get("listing", 0)
    client_for(lab, "datacentre").get(url(lab, "open", "/?page=2"))
    client_for(lab, "mobile", "customer-lab-country-gb").get(url(lab, "open"))
    first, second = lab.served()[-2:]
    assert (first["site"], first["path"], first["exit"]) == ("open.localhost", "/?page=2", "datacentre-1")
    assert (first["pool"], first["status"], first["what"]) == ("datacentre", 200, "listing")
    assert (second["pool"], second["country"], second["n"]) == ("mobile", "gb", first["n"] + 1)
    assert second["t"] >= first["t"]
    assert lab.truth()["served"]["open.localhost"]["listing"] == before + 2
