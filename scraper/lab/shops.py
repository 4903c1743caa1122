"""A shop without defences: its catalogue, its pages, its honest answers. The pages look like a usual shop's."""

from __future__ import annotations

import json
import math
from html import escape

from scraper.lab.answers import Answer, Visit
from scraper.lab.catalogue import PER_PAGE, Product, catalogue
from scraper.lab.exits import Exit
from scraper.lab.options import LabOptions

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#222}header,footer,main{padding:1rem 2rem}"
    "nav ul{list-style:none;display:flex;gap:1rem;padding:0}.grid{display:grid;grid-template-columns:repeat(5,1fr);"
    "gap:1rem}.card{border:1px solid #ddd;border-radius:4px;padding:1rem}.price{font-weight:700;color:#a30}"
    ".related li{display:inline-block;margin-right:1rem}footer{background:#f3f3f3;font-size:.85rem}"
)
_MENU = ("Kitchen", "Living", "Office", "Garden", "Gifts", "Sale")


class Shop:
    """One site. Subclasses in defences.py refuse some visits before they ask this class for the page.

    ``origin`` is scheme, host and port of its start address, known once the lab listens.
    """

    encodings: tuple[str, ...] = ()
    sitemap_products = True
    entry = False  # whether product pages want what a listing page has set
    quota = math.inf  # requests that one exit may make before it is banned

    def __init__(self, label: str, options: LabOptions) -> None:
        self.label = label
        self.host = f"{label}.localhost"
        self.options = options
        self.products = catalogue(label, options.seed, options.pages)
        self.by_path = {product.path: product for product in self.products}
        self._places = {product.sku: place for place, product in enumerate(self.products)}
        self.origin = ""

    def serves(self, exit_: Exit) -> bool:
        """Whether every page can be had through ``exit_``, by who it is; how fast is another matter."""
        return True

    def answer(self, visit: Visit) -> Answer:
        """The page that belongs to the visit's path, whoever asks."""
        if visit.path == "/":
            return self.listing(visit.page) if 1 <= visit.page <= self.options.pages else self.missing()
        if product := self.by_path.get(visit.path):
            return self.product(product)
        if visit.path == "/robots.txt":
            text = f"User-agent: *\nDisallow: /private/\n\nSitemap: {self.origin}/sitemap.xml\n"
            return Answer("robots", text, content_type="text/plain; charset=utf-8")
        if visit.path == "/sitemap.xml":
            return self.sitemap()
        if visit.path.startswith("/private/"):
            return Answer("private", self.layout("Staff only", "<h1>Staff only</h1>"))
        return self.missing()

    def listing(self, number: int) -> Answer:
        """Listing page ``number`` (from 1) with its ten products."""
        cards = "\n".join(self.card(product) for product in self.on_page(number))
        body = f'<h1>All products</h1>\n<div class="grid">\n{cards}\n</div>\n{self.pagination(number)}'
        return Answer("listing", self.layout(f"All products, page {number}", body), encodings=self.encodings)

    def on_page(self, number: int) -> list[Product]:
        """The products that listing page ``number`` links."""
        return self.products[(number - 1) * PER_PAGE : number * PER_PAGE]

    def product(self, product: Product, *, priced: bool = True) -> Answer:
        """The page of one product; without ``priced`` it looks right and lacks what people came for."""
        price = f'<p class="price" data-currency="{product.currency}">{product.price} {product.currency}</p>'
        stock = "In stock" if product.in_stock else "Out of stock"
        related = "".join(
            f'<li><a href="{other.path}">{escape(other.title)}</a></li>' for other in self.related_to(product)
        )
        body = f"""<nav class="breadcrumbs" aria-label="breadcrumb"><a href="/">All products</a> &rsaquo;
<a href="/?page={product.page}">Page {product.page}</a> &rsaquo; <span>{escape(product.title)}</span></nav>
<article class="product" data-sku="{product.sku}">
<h1>{escape(product.title)}</h1>
<p class="brand">by <span itemprop="brand">{escape(product.brand)}</span></p>
<p>Article number <span itemprop="sku">{product.sku}</span></p>
{price if priced else ""}
<p class="stock">{stock}</p>
<p class="rating" data-rating="{product.rating}">{product.rating} of 5 ({product.reviews} reviews)</p>
<h2>Description</h2>
<div class="description"><p>{escape(product.description)}</p></div>
<form action="/basket" method="post"><button name="sku" value="{product.sku}">Add to basket</button></form>
</article>
<aside class="related"><h2>You may also like</h2><ul>{related}</ul></aside>"""
        head = f'<script type="application/ld+json">{self.json_ld(product, priced)}</script>'
        return Answer("product", self.layout(product.title, body, head), encodings=self.encodings)

    def related_to(self, product: Product) -> list[Product]:
        """Three other products, so that a crawler meets addresses again."""
        place = self._places[product.sku]
        return [self.products[(place + step) % len(self.products)] for step in (3, 7, 11)]

    def json_ld(self, product: Product, priced: bool) -> str:
        """The schema.org block of a product page."""
        data: dict[str, object] = {
            "@context": "https://schema.org",
            "@type": "Product",
            "name": product.title,
            "sku": product.sku,
            "description": product.description,
            "brand": {"@type": "Brand", "name": product.brand},
            "aggregateRating": {
                "@type": "AggregateRating",
                "ratingValue": product.rating,
                "reviewCount": product.reviews,
            },
        }
        if priced:
            data["offers"] = {
                "@type": "Offer",
                "price": str(product.price),
                "priceCurrency": product.currency,
                "availability": f"https://schema.org/{'InStock' if product.in_stock else 'OutOfStock'}",
                "url": self.origin + product.path,
            }
        return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")

    def card(self, product: Product) -> str:
        """A product in a listing."""
        return (
            f'<div class="card" data-sku="{product.sku}"><a href="{product.path}">{escape(product.title)}</a>'
            f'<p class="price">{product.price} {product.currency}</p></div>'
        )

    def pagination(self, number: int) -> str:
        """Links to the pages before and after."""
        links = []
        if number > 1:
            links.append(f'<a rel="prev" href="/{"" if number == 2 else f"?page={number - 1}"}">Previous</a>')
        if number < self.options.pages:
            links.append(f'<a rel="next" href="/?page={number + 1}">Next</a>')
        return f'<nav class="pagination">{" ".join(links)} <span>Page {number} of {self.options.pages}</span></nav>'

    def sitemap(self) -> Answer:
        """All product pages, or the listing pages where only a browser is to find the products."""
        paths = [product.path for product in self.products]
        if not self.sitemap_products:
            paths = ["/"] + [f"/?page={number}" for number in range(2, self.options.pages + 1)]
        urls = "".join(f"<url><loc>{self.origin}{path}</loc></url>\n" for path in paths)
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
        )
        return Answer("sitemap", text, content_type="application/xml; charset=utf-8")

    def missing(self) -> Answer:
        """The shop's own 404."""
        return Answer("missing", self.layout("Not found", "<h1>We do not have this page</h1>"), 404)

    def layout(self, title: str, body: str, head: str = "") -> str:
        """A whole page of this shop."""
        menu = "".join(
            f'<li><a href="/private/{name.lower()}" rel="nofollow">{name}</a></li>' for name in _MENU
        )
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)} | {self.label.title()} Shop</title>
<style>{_STYLE}</style>{head}</head>
<body>
<header><a class="logo" href="/">{self.label.title()} Shop</a>
<nav class="menu"><ul>{menu}</ul></nav></header>
<main>
{body}
</main>
<footer><p>{self.label.title()} Shop sells nothing: it exists only while its lab runs.</p>
<ul><li><a href="/private/account" rel="nofollow">My account</a></li></ul></footer>
</body></html>
"""
