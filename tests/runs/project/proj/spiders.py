"""Spiders that end in every way a crawl can end."""

import asyncio
import os
import signal

import scrapy

from scraper import names
from scraper.errors import ArgumentError
from scraper.verdicts import Verdict


class Base(scrapy.Spider):
    async def start(self):
        for number in range(int(getattr(self, "pages", 5))):
            yield scrapy.Request(f"{self.site}/{number}")

    def parse(self, response):
        yield {"page": response.url}


class Good(Base):
    name = "good"


class Raises(Base):
    name = "raises"

    def parse(self, response):
        raise LookupError("no price on the page")


class StartRaises(Base):
    name = "start_raises"

    async def start(self):
        yield scrapy.Request(f"{self.site}/1")
        raise OSError("seeds.txt cannot be read")


class Empty(Base):
    name = "empty"

    def parse(self, response):
        return []


class WrongArgument(Base):
    name = "wrong_argument"

    def __init__(self, max_page="", **kwargs):
        raise ArgumentError("max_page", max_page, "unknown argument; did you mean max_pages?")


class Crash(Base):
    name = "crash"

    def __init__(self, **kwargs):
        raise RuntimeError("http://bob:hunter@gateway.example:8000 is down")


class Endless(Base):
    """Stops itself with the signals it is told, when its first page has come."""

    name = "endless"

    async def start(self):
        number = 0
        while True:
            yield scrapy.Request(f"{self.site}/{number}")
            number += 1
            await asyncio.sleep(0.02)

    def parse(self, response):
        yield {"page": response.url}
        if response.url.endswith("/3"):
            for name in filter(None, getattr(self, "kill", "").split(",")):
                os.kill(os.getpid(), getattr(signal, name))


class Slow(Endless):
    """One page is on its way for longer than anyone waits, so that only a second signal ends it."""

    name = "slow"

    async def start(self):
        yield scrapy.Request(f"{self.site}/slow")
        yield scrapy.Request(f"{self.site}/3")


class FullDisk(Base):
    """No file of this process can grow beyond 100 bytes any more, as on a disk that is full."""

    name = "full_disk"

    def parse(self, response):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        yield {"page": response.url}


class Talks(Base):
    """Says secrets wherever a spider can say something."""

    name = "talks"

    def parse(self, response):
        secret = f"http://customer:{self.password}@gateway.example:8000"
        self.logger.info("Using %s for %s", secret, {"api_key": self.password})
        yield {"page": response.url}
        verdict = Verdict("fault", "gateway_down", evidence=f"cannot reach {secret}")
        request = response.request.replace(url=response.url.replace("//", f"//me:{self.password}@"))
        self.crawler.signals.send_catch_log(names.PAGE_GIVEN_UP, request=request, verdict=verdict)
        raise OSError(f"cannot reach {secret}")


class GivesUp(Base):
    name = "gives_up"

    def parse(self, response):
        verdict = Verdict("blocked", "captcha_marker", evidence="<h1>Are you human?")
        self.crawler.stats.inc_value("pages/given_up")
        self.crawler.stats.inc_value("pages/given_up/captcha_marker")
        self.crawler.signals.send_catch_log(names.PAGE_GIVEN_UP, request=response.request, verdict=verdict)
