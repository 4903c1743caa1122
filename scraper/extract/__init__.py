"""What a page says, read from its HTML: pure functions, no Scrapy, bounded cost on hostile pages.

document.py  HTML text to a tree             links.py       outgoing links
urls.py      addresses, and whose they are   sitemaps.py    robots.txt Sitemap lines, sitemap files
values.py    dates and prices                structured.py  JSON-LD and microdata
metadata.py  title, language, author, published date, robots rules, OpenGraph
"""
