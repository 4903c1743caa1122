"""One file per site, and the spiders for any site (``site``). ``scrapy genspider NAME DOMAIN`` makes another."""
