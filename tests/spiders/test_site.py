"""`site` on small sites that are built to mislead it."""

from __future__ import annotations

import gzip
import time

HTML = {"Content-Type": "text/html"}


def stored(done) -> list[str]:
    return sorted("/" + item["final_url"].split("/", 3)[3] for item in done.items)


def test_one_page_under_many_addresses_is_stored_once(crawl, web) -> None:
    """Fragment, default port, tracking parameters, dot segments and a redirect to a known page all name one page."""
    web.page(
        "/",
        "/a",
        "/a#top",
        "./b/../a",
        "/a?utm_source=x&utm_medium=y",
        "/a?fbclid=1",
        "/old",
        "/a?id=1&utm_source=x",
    )
    web.page("/a")
    web.page("/a?id=1")
    web.routes["/old"] = (301, {"Location": "/a"}, b"")
    done = crawl("spiders.site", url=web.url)
    assert stored(done) == ["/", "/a", "/a?id=1"]
    assert sorted(web.asked)[:4] == ["/", "/a", "/a?id=1", "/old"]


def test_says_where_a_redirect_came_from(crawl, web) -> None:
    """``url`` is what was asked for, ``final_url`` what answered."""
    web.page("/", "/old")
    web.page("/new")
    web.routes["/old"] = (302, {"Location": "/new"}, b"")
    items = {item["final_url"]: item for item in crawl("spiders.site", url=web.url).items}
    assert items[f"{web.url}new"]["url"] == f"{web.url}old"


def test_stays_on_the_site(crawl, web) -> None:
    """Links and redirects to other hosts and ports are neither stored nor, for links, asked for."""
    other = web.url.replace("127.0.0.1", "127.0.0.2")
    web.page("/", f"{other}elsewhere", "http://127.0.0.1:9/x", "/leaves", "mailto:a@example.com")
    web.routes["/leaves"] = (302, {"Location": f"{other}left"}, b"")
    done = crawl("spiders.site", url=web.url)
    assert stored(done) == ["/"]
    assert done.items[0]["links"] == [f"{other}elsewhere", "http://127.0.0.1:9/x", f"{web.url}leaves"]
    assert "/elsewhere" not in web.asked


def test_says_that_a_start_page_is_another_site(crawl, web) -> None:
    """A start page that redirects to another host stores nothing and the log names the address to start from."""
    web.routes["/"] = (302, {"Location": web.url.replace("127.0.0.1", "localhost") + "home"}, b"")
    web.page("/home")
    done = crawl("spiders.site", url=web.url)
    assert done.items == []
    assert done.stats["site/left_site"] == 1
    assert "to crawl that one: -a url=http://localhost" in done.log


def test_follows_the_sitemaps_of_robots_txt(crawl, web) -> None:
    """Pages that only an index of gzipped sitemaps names are found; a missing sitemap costs nothing else."""
    web.page("/")
    web.page("/only/in/map")
    lines = f"User-agent: *\nDisallow:\nSitemap: {web.url}index.xml\nsitemap: /missing.xml\n"
    web.routes["/robots.txt"] = (200, {"Content-Type": "text/plain"}, lines.encode())
    index = f"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><sitemap><loc>{web.url}1.xml.gz</loc></sitemap></sitemapindex>"
    pages = f"<urlset><url><loc>{web.url}only/in/map</loc></url><url><loc>http://other.example/</loc></url></urlset>"
    web.routes["/index.xml"] = (200, {"Content-Type": "application/xml"}, index.encode())
    web.routes["/1.xml.gz"] = (200, {"Content-Type": "application/gzip"}, gzip.compress(pages.encode()))
    done = crawl("spiders.site", url=web.url)
    assert stored(done) == ["/", "/only/in/map"]
    assert (done.stats["site/sitemaps"], done.stats["site/no_sitemap"]) == (2, 1)
    assert done.stats.get("log_count/ERROR", 0) == 0


def test_an_endless_calendar_ends_at_max_pages(crawl, web) -> None:
    """A site that invents a new page behind every page gets ``max_pages`` requests and no more."""
    for day in range(40):
        web.page(f"/day/{day}", f"/day/{day + 1}", f"/day/{day + 2}")
    done = crawl("spiders.site", url=f"{web.url}day/0", max_pages="10")
    assert len(done.items) == 10
    assert len([path for path in web.asked if path.startswith("/day")]) == 10
    assert done.log.count("max_pages=10 is reached") == 1


def test_start_pages_are_always_asked_for(crawl, web) -> None:
    """A list longer than ``max_pages`` is not cut without a word."""
    for page in range(4):
        web.page(f"/{page}", "/found")
    web.page("/found")
    done = crawl("spiders.site", urls="\n".join(f"{web.url}{page}" for page in range(4)), max_pages="2")
    assert stored(done) == ["/0", "/1", "/2", "/3"]


def test_a_hostile_page_gives_what_stands_before_the_trap(crawl, web) -> None:
    """A tag of 120,000 attributes stalls a parser for 50 s; here it ends the page, and the run says so."""
    trap = "<a " + " ".join(f"a{n}=1" for n in range(120_000)) + ">"
    web.routes["/"] = (
        200,
        HTML,
        f"<title>t</title><a href=/before>x</a>{trap}<a href=/behind>y</a>".encode(),
    )
    web.page("/before")
    began = time.process_time()
    done = crawl("spiders.site", url=web.url)
    assert time.process_time() - began < 5
    assert stored(done) == ["/", "/before"]
    assert done.stats["site/cut"] == 1


def test_a_page_of_too_many_links_says_so(crawl, web) -> None:
    web.page("/", *(f"/{n}.pdf" for n in range(6_000)))
    done = crawl("spiders.site", url=web.url)
    assert len(done.items[0]["links"]) == 5_000
    assert done.stats["site/links_capped"] == 1


def test_a_page_with_a_charset_that_is_none_is_read(crawl, web) -> None:
    """Scrapy raises for such a page (``rot13``) wherever its text is asked for."""
    web.routes["/"] = (200, {"Content-Type": "text/html; charset=rot13"}, "<title>é</title>".encode())
    (page,) = crawl("spiders.site", settings={"METAREFRESH_ENABLED": False}, url=web.url).items
    assert page["title"] == "é"


def test_max_depth_counts_links_from_a_start_page(crawl, web) -> None:
    """``max_depth=1`` stores the start page and what it links to; ``0`` the start pages only, without robots.txt maps."""
    for page in range(4):
        web.page(f"/{page}", f"/{page + 1}")
    done = crawl("spiders.site", url=f"{web.url}0", max_depth="1")
    assert [(item["title"], item["depth"]) for item in done.items] == [("/0", 0), ("/1", 1)]
    done = crawl("spiders.site", urls=f"{web.url}0,{web.url}3", max_depth="0")
    assert stored(done) == ["/0", "/3"]


def test_only_html_pages_are_stored(crawl, web) -> None:
    """Other kinds are counted; a link to an archive is not even asked for."""
    web.page("/", "/data", "/archive.zip", "/page.html?x=file.zip")
    web.page("/page.html?x=file.zip")
    web.routes["/data"] = (200, {"Content-Type": "application/json"}, b"{}")
    done = crawl("spiders.site", url=web.url)
    assert stored(done) == ["/", "/page.html?x=file.zip"]
    assert (done.stats["site/not_html"], done.stats["site/no_page"]) == (1, 1)
    assert "/archive.zip" not in web.asked


def test_obeys_nofollow_of_page_header_and_link(crawl, web) -> None:
    """A page that asks not to be followed is stored with its links, and they are not asked for."""
    web.page("/", "/meta", "/header", "/ordinary")
    web.page("/meta", "/hidden/1", head="<meta name='ROBOTS' content='noindex, NoFollow'>")
    web.page("/header", "/hidden/2", X_Robots_Tag="none")
    web.routes["/ordinary"] = (200, HTML, b"<a href=/hidden/3 rel='ugc nofollow'>x</a><a href=/seen>y</a>")
    web.page("/seen")
    done = crawl("spiders.site", url=web.url)
    assert stored(done) == ["/", "/header", "/meta", "/ordinary", "/seen"]
    links = {item["final_url"]: item["links"] for item in done.items}
    assert links[f"{web.url}meta"] == [f"{web.url}hidden/1"]


def test_reads_what_a_page_says_about_itself(crawl, web) -> None:
    """Text in the page's own charset, language, date, author and structured data are in the record."""
    head = (
        "<meta charset=windows-1251><meta property=article:published_time content='2024-03-05T10:00:00Z'>"
        "<meta property='og:type' content=article>"
        '<script type="application/ld+json">{"@type": "NewsArticle", "author": {"name": "Ann Example"}}</script>'
    )
    html = f"<html lang=ru><head><title>Привет</title>{head}</head><body><p itemscope itemtype='https://schema.org/Thing'><i itemprop=name>Мир</i></p>"
    web.routes["/"] = (200, {"Content-Type": "text/html"}, html.encode("windows-1251"))
    (page,) = crawl("spiders.site", url=web.url).items
    assert list(page)[:7] == ["url", "final_url", "status", "title", "language", "published", "author"]
    assert (page["title"], page["language"], page["author"]) == ("Привет", "ru", "Ann Example")
    assert page["published"] == "2024-03-05T10:00:00+00:00"
    assert page["structured"]["microdata"] == [{"@type": "Thing", "name": "Мир"}]
    assert page["structured"]["opengraph"] == {
        "og:type": "article",
        "article:published_time": "2024-03-05T10:00:00Z",
    }
    assert "Мир" in page["html"]


def test_follows_a_meta_refresh(crawl, web) -> None:
    """A page that sends the reader on at once is stored as the page it leads to."""
    web.routes["/"] = (200, HTML, b"<meta http-equiv=refresh content='0; url=/home'>")
    web.page("/home")
    assert stored(crawl("spiders.site", url=web.url)) == ["/home"]


def test_bad_links_do_not_cost_the_others(crawl, web) -> None:
    """Addresses that no parser accepts are skipped; the good link behind them is followed."""
    bad = [
        "http://[::1",
        "http://a:99999/",
        "http://user:example@h/",
        "//",
        "http:///x",
        "http://%00/",
        "\\\\",
        "javascript:x",
    ]
    web.page("/", *bad, "/good")
    web.page("/good")
    assert "/good" in stored(crawl("spiders.site", url=web.url))
