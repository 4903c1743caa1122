"""ADAPTER. Judges every download in two phases and decides, with one count of attempts a page, what follows.

HeaderPhase (610) sees an answer before redirects are followed, and every error of a download. BodyPhase (585) sees the
body after CheckedCompression (590) has decompressed it and before a meta refresh is followed. Both send VERDICT_GIVEN.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

from scrapy import Request, signals
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    StopDownload,
)
from scrapy.http import Headers, HtmlResponse, Response, TextResponse
from scrapy.utils.response import get_meta_refresh

from scraper import names
from scraper.bans import contracts, pages, pauses, reactions, rules, tries
from scraper.bans.answers import Answer
from scraper.bans.bodies import CUT, TOO_LARGE, UNDECODABLE, readable, selector_of, text_of, without_traps
from scraper.bans.forbidden import Forbidden
from scraper.bans.pages import is_page, is_robots
from scraper.bans.pausing import SitePauses
from scraper.bans.tables import table_of
from scraper.errors import BudgetSpent, CertificateRefused, GatewayError, TargetRefused
from scraper.options import read
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

STOP_BYTES = 16 * 1024  # of a body; a shorter one is on its way before we could stop it
_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (TargetRefused, "target_refused"),
    (CertificateRefused, "certificate_refused"),
    (DownloadTimeoutError, "timeout"),
    (ResponseDataLossError, CUT),
    (CannotResolveHostError, "dns"),
    (DownloadConnectionRefusedError, "connection_refused"),
    (DownloadCancelledError, TOO_LARGE),
    (DownloadFailedError, "download_failed"),
    (OSError, "connection_lost"),
)


@dataclass(frozen=True, slots=True)
class Options:
    limits: reactions.Limits
    retry_priority: int
    pauses: pauses.Limits
    places: int  # that a page may be asked from where a site has a geo wall; 0: wherever an exit is


class _Judge:
    """What both phases share: counting, telling the others, and acting on the reaction."""

    def __init__(self, crawler: Crawler, options: Options) -> None:
        self.crawler = crawler
        self.options = options
        self.signatures = table_of(crawler.settings)
        self.forbidden = Forbidden()
        crawler.signals.connect(self._bare_page_ended, signal=names.PAGE_GIVEN_UP)
        crawler.signals.connect(self._bare_page_opened, signal=names.VERDICT_GIVEN)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        settings = crawler.settings
        limits = reactions.Limits(
            attempts=read(settings, "BAN_MAX_ATTEMPTS", int, at_least=1),
            rate_wait_s=read(settings, "BAN_RATE_LIMIT_WAIT_S", float, at_least=0),
            rate_wait_max_s=read(settings, "BAN_RETRY_AFTER_MAX_S", float, at_least=0),
            fault_wait_s=read(settings, "BAN_FAULT_WAIT_S", float, at_least=0),
            page_usd=read(settings, "BAN_MAX_PAGE_USD", float, at_least=0),
        )
        countries = getattr(crawler.spider, "proxy_countries", None) or ()
        options = Options(
            limits=limits,
            retry_priority=read(settings, "BAN_RETRY_PRIORITY", int),
            pauses=pauses.Limits(
                after=read(settings, "BAN_SITE_PAUSE_AFTER", int, at_least=1),
                pauses_s=pauses.times_s(read(settings, "BAN_SITE_PAUSES_S", list)),
            ),
            places=len(set(countries)) + 1 if countries else 0,
        )
        return cls(crawler, options)

    def settle(self, request: Request, response: Response | None, verdict: Verdict) -> Request | None:
        """Count and publish the verdict. Returns the retry, None to hand the page on; raises PageGivenUp."""
        if verdict.outcome == BLOCKED and not verdict.proven and self.is_wanted(request, response):
            # without a mark it is the answer that the spider asked for
            verdict = Verdict(SITE_ERROR, "site_refused", kind="refused", evidence=verdict.rule)
        site = rules.site_of(request.url)
        stats = self.crawler.stats
        if is_robots(request):
            stats.inc_value(f"robots/{verdict.outcome}")
        elif request.meta.get(names.WARM_UP):
            stats.inc_value(f"entry_visits/{verdict.outcome}")
        elif verdict.rule in reactions.NOT_SENT:
            stats.inc_value(f"pages/refused/{verdict.rule}")  # no download, and the site has no part in it
        else:
            stats.inc_value(f"verdicts/{verdict.outcome}")
            stats.inc_value(f"sites/{site}/{verdict.outcome}")
        where = "robots/" if is_robots(request) else ""  # what robots.txt met is no block of a page
        if verdict.outcome in (BLOCKED, RATE_LIMITED):
            stats.inc_value(f"{where}bans/{verdict.rule}")
        elif verdict.outcome in (FAULT, SITE_ERROR) and verdict.rule not in reactions.NOT_SENT:
            # a gateway that fails fails the run, whatever it was asked for
            stats.inc_value(f"{where if verdict.outcome == SITE_ERROR else ''}faults/{verdict.rule}")
        request.meta[names.VERDICT] = verdict.rule
        self.crawler.signals.send_catch_log(
            names.VERDICT_GIVEN, request=request, response=response, verdict=verdict
        )
        past = self._past(request, verdict)
        reaction = reactions.react(verdict, past, self.options.limits)
        if reaction.site_wait_s:
            self.crawler.signals.send_catch_log(names.SITE_WAIT, host=site, wait_s=reaction.site_wait_s)
        if request.meta.get(names.WARM_UP) and reaction.action != reactions.HAND_ON:
            raise IgnoreRequest(
                "the entry visit was refused"
            )  # never tried again, its redirects not followed
        handed_on = self._is_handed_on(request, response, verdict, reaction)
        if reaction.action == reactions.HAND_ON and verdict.kind == "refused" and not handed_on:
            # Scrapy's HttpErrorMiddleware would drop it without a word
            raise pages.give_up(self.crawler, request, verdict)
        if reaction.action == reactions.HAND_ON or handed_on:
            if verdict.outcome not in (GOOD, GONE) and not request.meta.get("dont_cache"):
                request.meta["dont_cache"] = request.meta[tries.NOT_KEPT] = True
            return None
        if reaction.action == reactions.GIVE_UP or (response is not None and request.meta.get("dont_retry")):
            raise pages.give_up(self.crawler, request, _with_reason(verdict, reaction, past))
        stats.inc_value("pages/retries")
        logger.debug("%s: %s (%s), try %d", request.url, verdict.rule, verdict.evidence, past.attempt + 1)
        return tries.again(
            request, past.attempt + 1, reaction.wait_s,
            keeps_identity=reaction.keeps_identity, priority=self.options.retry_priority,
        )  # fmt: skip

    def _past(self, request: Request, verdict: Verdict) -> reactions.Past:
        meta = request.meta
        if verdict.outcome == BLOCKED and verdict.kind == "geo":
            meta[tries.GEO_WALLS] = meta.get(tries.GEO_WALLS, 0) + 1
        return reactions.Past(
            attempt=meta.get(names.ATTEMPT, 1),
            geo_walls=meta.get(tries.GEO_WALLS, 0),
            places=1 if meta.get(names.ASK_COUNTRY) else self.options.places,
            usd=meta.get(names.SPENT_USD, 0.0),
            bare_tries=self.forbidden.tries(pages.site_asked(request), self.options.limits.attempts),
        )

    def _bare_page_ended(self, request: Request, verdict: Verdict) -> None:
        n_refusals = len(request.meta.get(names.REFUSALS, ()))
        if n_refusals and n_refusals == request.meta.get(names.ATTEMPT, 1):
            self.forbidden.refused(pages.site_asked(request))

    def _bare_page_opened(self, request: Request, verdict: Verdict) -> None:
        if (
            verdict.outcome == GOOD
            and verdict.proven
            and request.meta.get(names.REFUSALS)
            and is_page(request)
        ):
            self.forbidden.opened(pages.site_asked(request))

    def _is_handed_on(
        self, request: Request, response: Response | None, verdict: Verdict, reaction: reactions.Reaction
    ) -> bool:
        """Whether the spider wants to see what came. A wall is no page, however often it may be asked for."""
        if response is None or request.meta.get(names.ANY_ANSWER):
            return response is not None
        if verdict.outcome == BLOCKED and verdict.proven:
            return False
        if request.meta.get("dont_retry"):
            return True
        if verdict.kind == "refused" or (
            reaction.action == reactions.GIVE_UP and verdict.outcome in (SITE_ERROR, RATE_LIMITED)
        ):
            return self.is_wanted(request, response)  # tried as often as any other, and then it is an answer
        return False

    def is_wanted(self, request: Request, response: Response | None) -> bool:
        """Whether the spider asked to see answers of this status, in the ways of Scrapy's HttpErrorMiddleware."""
        if response is None or is_robots(request):
            return False
        meta, settings = request.meta, self.crawler.settings
        if meta.get("handle_httpstatus_all"):
            return True
        if "handle_httpstatus_list" in meta:
            return response.status in meta["handle_httpstatus_list"]
        if settings.getbool("HTTPERROR_ALLOW_ALL"):
            return True
        listed = settings.getlist("HTTPERROR_ALLOWED_CODES")
        return response.status in map(int, getattr(self.crawler.spider, "handle_httpstatus_list", listed))


class HeaderPhase(_Judge):
    """Status, headers and errors. Also drops the pages of a site where nothing passes any more."""

    def __init__(self, crawler: Crawler, options: Options) -> None:
        super().__init__(crawler, options)
        self.site_pauses = SitePauses(crawler, options.pauses)
        crawler.signals.connect(self._headers_received, signal=signals.headers_received)

    async def process_request(self, request: Request) -> Request | None:
        request.meta.pop(names.VERDICT, None)
        request.meta[names.TRIES_LEFT] = self.options.limits.attempts - request.meta.get(names.ATTEMPT, 1)
        if "redirect_urls" not in request.meta:
            request.meta[names.ORIGIN] = (request.url, request.method)
            request.meta[names.CAME_FROM] = request.headers.get("Referer")
            request.meta[tries.OWN_LOGIN] = request.headers.get("Authorization")
        if not is_page(request) or "redirect_urls" in request.meta:
            return None  # a redirect belongs to a try that is under way
        site = rules.site_of(request.url)
        turn = self.site_pauses.ask(request, site)
        if turn.what == pauses.WAIT:
            return await self.site_pauses.put_off(request, site, turn.wait_s)
        return None

    def process_response(self, request: Request, response: Response) -> Request | Response:
        if "cached" in response.flags:
            return response
        if refused := request.meta.pop(names.REFUSED, None):
            return self.process_exception(request, refused) or response
        try:
            verdict = self._judge(request, response)
        except Exception as error:  # noqa: BLE001  # as in BodyPhase
            verdict = _unjudged(request, error)
        if verdict is None:
            return response
        return self.settle(request, response, verdict) or response

    def _judge(self, request: Request, response: Response) -> Verdict | None:
        headers = _headers_of(response)
        verdict = rules.judge_headers(
            Answer(request.url, response.status, headers), self.signatures, datetime.now(UTC)
        )
        if verdict is None and 300 <= response.status < 400 and not _can_follow(response):
            return Verdict(SITE_ERROR, "bad_location", evidence=headers.get("location", "")[:100])
        return verdict

    def _headers_received(
        self, headers: Headers, body_length: int | None, request: Request, status: int = 0
    ) -> None:
        """Where the headers show a block that ends the identity, the body is not paid for, and the connection closed.

        A rate limit keeps both. ``status`` is told by our own handler; without it nothing is stopped.
        """
        small = body_length is not None and body_length <= STOP_BYTES
        if small or not status or request.meta.get(names.ANY_ANSWER):
            return
        answer = Answer(request.url, status, by_name(headers))
        verdict = rules.judge_headers(answer, self.signatures, datetime.now(UTC))
        if verdict is not None and verdict.outcome == BLOCKED and verdict.proven:
            raise StopDownload(fail=False)

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if isinstance(exception, IgnoreRequest):
            return None
        if isinstance(exception.__cause__, GatewayError):
            exception = exception.__cause__  # of a handler of Scrapy's, which knows no gateway
        if isinstance(exception, GatewayError):
            kind = f"gateway_{exception.kind}"
        elif isinstance(exception, BudgetSpent):
            kind = exception.rule
        else:
            kind = next((word for known, word in _FAULTS if isinstance(exception, known)), "unexpected_error")
        if kind == "unexpected_error":
            logger.error("download of %s raised", request.url, exc_info=exception)
        return self.settle(request, None, rules.judge_fault(kind, str(exception) or type(exception).__name__))


class BodyPhase(_Judge):
    """The decompressed body: signatures, completeness, and the spider's content contract."""

    def __init__(self, crawler: Crawler, options: Options) -> None:
        super().__init__(crawler, options)
        spider = crawler.spider
        self.contracts = contracts.parse(
            getattr(spider, "name", "spider"),
            getattr(spider, "good_page", None) or {},
            lambda name: callable(getattr(spider, name, None)),
        )

    def process_response(self, request: Request, response: Response) -> Request | Response:
        if "cached" in response.flags or request.meta.get(names.VERDICT):
            return response  # the headers have said it
        try:
            response = without_traps(readable(response))
            verdict = self._judge(request, response)
        except Exception as error:  # noqa: BLE001  # whatever a page does to a parser, it is listed
            verdict = _unjudged(request, error)
        return self.settle(request, response, verdict) or response

    def _judge(self, request: Request, response: Response) -> Verdict:
        for flag in (CUT, UNDECODABLE, TOO_LARGE):
            if flag in response.flags:
                return rules.judge_fault(flag, _headers_of(response).get("content-encoding", ""))
        headers = _headers_of(response)
        encoding = response.encoding if isinstance(response, TextResponse) else "utf-8"
        answer = Answer(response.url, response.status, headers, response.body, encoding)
        verdict = rules.judge_body(answer, self.signatures, datetime.now(UTC))
        if is_robots(request):
            return _of_robots(verdict, response.status)
        if verdict.rule == "empty_page" and request.method != "GET":
            verdict = Verdict(GOOD, "good")  # HEAD has no body, and a form may answer with none
        if (
            verdict.outcome != GOOD
            or not verdict.proven
            or request.method == "HEAD"
            or response.status >= 300
        ):
            return verdict
        if rules.unproven_end(headers, response.body) and request.meta.get(names.UNPROVEN) != len(
            response.body
        ):
            request.meta[names.UNPROVEN] = len(response.body)  # asked once more; twice the same is the page
            return rules.judge_fault(CUT, "no length, no </html>")
        if self._is_sent_on(request, response):
            return Verdict(
                GOOD, "sent_on", proven=False
            )  # the page that it leads to is asked for what it holds
        asked = self.contracts.of(contracts.callback_name(request.callback), request.url, response.status)
        return contracts.judge(asked, response.body, text_of(response), selector_of(response)) or verdict

    def _is_sent_on(self, request: Request, response: Response) -> bool:
        """Whether Scrapy's MetaRefreshMiddleware (580) will follow it. What it reads here it does not read again."""
        settings = self.crawler.settings
        if (
            not isinstance(response, HtmlResponse)
            or request.meta.get("dont_redirect")
            or not settings.getbool("METAREFRESH_ENABLED")
        ):
            return False
        try:
            wait_s, url = get_meta_refresh(response, settings.getlist("METAREFRESH_IGNORE_TAGS"))
        except ValueError:
            return False
        return bool(url) and wait_s is not None and wait_s < settings.getint("METAREFRESH_MAXDELAY")


def _unjudged(request: Request, error: Exception) -> Verdict:
    logger.error("%s could not be judged", request.url, exc_info=error)
    return rules.judge_fault("unexpected_error", f"{type(error).__name__}: {error}")


def _headers_of(response: Response) -> dict[str, str]:
    return by_name(response.headers)


def by_name(headers: Headers) -> dict[str, str]:
    # dict.items: Headers.items normalises every name once more, which costs as much as all the rules
    return {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in dict.items(headers)
    }


def _of_robots(verdict: Verdict, status: int) -> Verdict:
    """The verdict of a robots.txt: nobody's page, so it may be empty, and a refusal without a mark is no block."""
    if verdict.rule == "empty_page":
        return Verdict(GOOD, "good")
    if 400 <= status < 500 and (verdict.outcome == SITE_ERROR or not verdict.proven):
        return Verdict(GONE, "robots_absent", evidence=str(status))
    return verdict


def _with_reason(verdict: Verdict, reaction: reactions.Reaction, past: reactions.Past) -> Verdict:
    if not reaction.why:
        return verdict
    spent = f", {past.usd:.4f} USD spent" if reaction.why == reactions.PAGE_BUDGET else ""
    return replace(verdict, rule=reaction.why, evidence=f"{verdict.rule}{spent}")


def _can_follow(response: Response) -> bool:
    location = response.headers.get("Location")
    if location is None:
        return response.status not in (301, 302, 303, 307, 308)
    try:
        parts = urlsplit(urljoin(response.url, location.decode("latin-1")))
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False
