"""Every setting of the project: unit, default, reason. Change a value here, with ``-s NAME=value``, or in a spider.

The first part sets Scrapy's own settings where its defaults do not suit a crawl that is paid by the gigabyte and must
be trusted; the second part holds ours.
"""

from __future__ import annotations

import os

BOT_NAME = "scraper"
SPIDER_MODULES = ["spiders"]
SPIDER_LOADER_WARN_ONLY = True  # one broken spider file must not stop the other spiders
NEWSPIDER_MODULE = "spiders"
COMMANDS_MODULE = "scraper.commands"
TEMPLATES_DIR = os.path.join(os.path.dirname(__file__), "templates")

# --- Scrapy: the engine --------------------------------------------------------------------------------------
# uvloop takes about 4 % less CPU a page than asyncio's own loop. Only on Linux, where the kernel counts the bytes of a
# socket: elsewhere sockets count themselves, and uvloop goes past them.
ASYNCIO_EVENT_LOOP = "uvloop.Loop" if os.path.exists("/proc/self") else None
# Tasks started for every response, whatever it yields: the default of 100 costs half of a page's CPU
# (2.4-3.0 ms a page against 1.3 ms with 4). More helps only where one response yields many items that wait on I/O.
CONCURRENT_ITEMS = 4
CONCURRENT_REQUESTS = 16  # requests in flight over all hosts; also bounds what a stop has to wait for
SCHEDULER = "scraper.frontier.scheduler.FrontierScheduler"

# --- Scrapy: polite by default -------------------------------------------------------------------------------
ROBOTSTXT_OBEY = True  # with its Crawl-delay, which the frontier holds
CONCURRENT_REQUESTS_PER_DOMAIN = 4  # requests in flight to one host; browsers use 6
DOWNLOAD_DELAY = 0.25  # seconds between two requests to one host: 4 a second, what a small site bears
DOWNLOAD_DELAY_JITTER = 0.5  # share by which the delay varies
USER_AGENT = "Mozilla/5.0 (compatible; scraper)"  # without an identity's own; name yourself here
ROBOTSTXT_USER_AGENT = BOT_NAME  # the name that robots.txt is read for, whatever browser an identity plays
DEFAULT_REQUEST_HEADERS: dict[str, str] = {}  # an identity brings its own

# --- Scrapy: bounded downloads -------------------------------------------------------------------------------
DOWNLOAD_TIMEOUT = 30  # seconds for one try: a residential exit that needs longer is dearer than another exit
DOWNLOAD_MAXSIZE = 32 * 1024 * 1024  # bytes of a body, compressed or not; Scrapy's 1 GiB is a memory bomb
DOWNLOAD_WARNSIZE = 8 * 1024 * 1024  # bytes; a page of this size is worth a line in the log
DEPTH_LIMIT = 0  # spiders bound their own depth (-a max_depth=)
MEMUSAGE_LIMIT_MB = 4096  # MB of resident memory at which a crawl stops itself rather than be killed

# --- Scrapy: closed doors ------------------------------------------------------------------------------------
TELNETCONSOLE_ENABLED = False  # runs code for whoever can connect
REMOTE_CONTROL_ENABLED = False  # the same, new in Scrapy 2.19, on by default there
DOWNLOAD_HANDLERS = {
    "http": "scraper.proxies.handler.ProxyDownloadHandler",
    "https": "scraper.proxies.handler.ProxyDownloadHandler",
    "file": None,  # a link to file:///etc/passwd would be fetched as a page
    "ftp": None,
    "s3": None,
    "data": None,
}
# a proxy could rewrite every https page; a pool may say `intercepts = true`
DOWNLOAD_VERIFY_CERTIFICATES = True

# --- Scrapy: components --------------------------------------------------------------------------------------
# bans/ decides on retries, with one count of attempts a page; two counters would multiply
RETRY_ENABLED = False
DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None,
    "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": None,  # also reads http_proxy from the environment
    # Process order of a response is from high to low: headers are judged before a redirect (600) is followed, the
    # body after it is decompressed (590) and before a meta refresh (580).
    "scraper.bans.middleware.BodyPhase": 585,
    # Scrapy's let a page vanish whose redirects have no end or no address.
    "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
    "scraper.bans.redirects.ListedRefreshes": 580,
    "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,
    "scraper.bans.redirects.ListedRedirects": 600,
    # Scrapy's takes a robots.txt that cannot be had, or a block page in its place, for leave to ask for everything.
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
    "scraper.bans.robots.RobotsMiddleware": 100,
    # Scrapy has it at 900, next to the network, where it would keep every block page and compressed bodies. Here it keeps
    # what was judged good, and what it holds needs no proxy.
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": 575,
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
    "scraper.bans.bodies.CheckedCompression": 590,
    "scraper.bans.middleware.HeaderPhase": 610,
    "scraper.proxies.middleware.IdentityMiddleware": 690,
    "scraper.proxies.cookies.IdentityCookiesMiddleware": 700,
}
SPIDER_MIDDLEWARES = {
    "scraper.bans.tries.FreshRequests": 20,
    "scraper.batches.middleware.OriginMiddleware": 10,  # nearest to the engine: it sees what is left of the items
}
ITEM_PROCESSOR = (
    "scraper.batches.middleware.OriginProcessor"  # tells the pipeline which page an item came from
)
ITEM_PIPELINES = {
    "scraper.batches.pipeline.BatchPipeline": 900,  # last: what reaches it is stored
}
EXTENSIONS = {
    "scrapy.extensions.logstats.LogStats": None,  # runs/ writes a line a minute that says more
    "scrapy.extensions.telnet.TelnetConsole": None,
    "scraper.bans.keeper.SampleKeeper": 500,
    "scraper.bans.suspicions.Suspicions": 500,
    "scraper.runs.extension.RunExtension": 1000,  # last: the others have written their stats by then
}
HTTPCACHE_POLICY = (
    "scrapy.extensions.httpcache.RFC2616Policy"  # asks "changed since?" where Scrapy's default never asks
)
LOG_VERSIONS: list[str] = []  # run.json holds them
STATS_DUMP = False  # report.json holds them
LOG_LEVEL = "INFO"  # DEBUG prints whole items and every request

# --- where things lie ----------------------------------------------------------------------------------------
DATA_DIR = "data"  # folder of everything a run writes, relative to where the crawl was started
RUN_ID = ""  # empty: <spider>-<UTC time>-<4 hex digits>
RUN_DIR = ""  # empty: <DATA_DIR>/runs/<run id>: record, report, failed pages, spool
OUT_DIR = ""  # empty: <DATA_DIR>/out/<run id>: the records

# --- proxies/ ------------------------------------------------------------------------------------------------
# the pools; a missing file stops the start, so that nothing goes out unproxied by mistake
PROXIES_FILE = "proxies.toml"
# seconds between two looks whether that file, or one that it names, was changed; 0: it is read once
PROXIES_RELOAD_S = 5.0
# thompson: where a right record is expected to cost least; or ladder, round_robin, random, least_used
PROXY_STRATEGY = "thompson"
PROXY_LIST_ORDER = "round_robin"  # of the proxies of a list pool; or random, least_used
# share of right pages below which a pool is not asked while another is above it: at 0.7 a page takes 1.4 tries
PROXY_MIN_SUCCESS = 0.7
# USD that any request is reckoned to cost beside its bytes; it only orders pools that cost nothing a GB
PROXY_REQUEST_USD = 1e-7
PROXY_SUREST_FROM = (
    4  # try at a page from which on it goes out where it is likeliest to pass, whatever that costs
)
# seconds that a page, and its site with it, waits in all for a cheaper exit that is resting; then it takes a dearer one
PROXY_WAIT_FOR_CHEAPER_S = 10.0
PROXY_LADDER_BLOCKS = 2  # of the strategy "ladder": blocks in a row that spend a pool for a site
PROXY_BELIEF_MEMORY = 200.0  # pages of a site over which what was seen there fades
PROXY_BELIEF_HALF_LIFE_S = 86_400.0  # seconds in which it fades by half all the same: a day, for nightly runs
PROXY_STATE_FILE = ""  # SQLite; empty: <DATA_DIR>/proxies.sqlite; none: every run begins anew
PROXY_STATE_SAVE_S = 30.0  # seconds between two savings: what a kill may cost of what was learnt
PROXY_PACE_MAX_S = 30.0  # seconds between two requests that a site which slows us down is left at most
PROXY_IDENTITY_IN_FLIGHT = 1  # requests at once through one identity; a person has one tab loading
PROXY_IDENTITY_MAX_USES = 100  # requests after which an identity is retired though nothing was wrong
PROXY_IDENTITY_MAX_AGE_S = 480.0  # seconds: 0.8 of the 10 minutes that most gateways hold a session
# seconds: 0.8 of the shortest idle rule known (60 s); then the exit may have changed
PROXY_IDENTITY_MAX_IDLE_S = 48.0
PROXY_DEAD_AFTER = 20  # tries in a row, over all pools, that no exit or site answered; then the run stops
# what a run may spend on proxies, in USD and in GB (1e9 bytes); then it stops cleanly (failed_budget) and keeps what it
# has; 0: no limit
PROXY_BUDGET_USD = 0.0
PROXY_BUDGET_GB = 0.0
# the same for each site, whose other pages are then given up while the run goes on
PROXY_SITE_BUDGET_USD = 0.0
PROXY_SITE_BUDGET_GB = 0.0
PROXY_BUDGET_SOFT = 0.8  # share of any of them from which on cost alone chooses the pool
# page that tells who asks, for `scrapy proxies check`, in JSON or as a bare address; empty: the provider's own, else
# https://ipinfo.io/json, which tells address and country in 300 bytes and wants no account
PROXY_CHECK_URL = ""
PROXY_CONNECT_TIMEOUT_S = 10.0  # seconds to connect, tunnel and TLS included; a gateway needs 1-3
# targets on loopback, private and link-local addresses: refused, they are traps
ALLOW_PRIVATE_ADDRESSES = False
TLS_CA_FILE = ""  # PEM file of further authorities to trust beside the system's

# --- bans/ ---------------------------------------------------------------------------------------------------
BAN_MAX_ATTEMPTS = 6  # tries at one page over all causes; then it is listed in failed.jsonl
BAN_SIGNATURES_FILE = (
    ""  # TOML file of signatures of your own, and of shipped ones to switch off (docs/blocks.md)
)
BAN_SAMPLES = 50  # rules of which a run keeps the first refused page in blocks/, up to 512 KB each; 0: none
BAN_RETRY_PRIORITY = 10  # added to the priority of a page that is tried again: its identity is still warm
BAN_RETRY_AFTER_MAX_S = 120.0  # seconds; a site that asks for longer waits is asked again after this
BAN_RATE_LIMIT_WAIT_S = 5.0  # seconds to leave a site alone after a 429 without Retry-After
# seconds before a page is tried again after a network or gateway fault, doubled each time
BAN_FAULT_WAIT_S = 0.5
# USD that the tries at one page may cost; one that failed for as much is given up: 25 MB at 4 USD a GB, or some
# hundred ordinary pages; 0: no limit
BAN_MAX_PAGE_USD = 0.1
# pages of one host given up in a row as blocked or rate limited, after which the host is left alone for a while; a bare 403
# counts a third, since it may be the truth about those pages: 10 at 6 tries are 60 refusals without one page
BAN_SITE_PAUSE_AFTER = 10
# seconds of each such pause: most bans by rate end within minutes; after the last in vain the host's other pages are given
# up; a host that never let a page pass has the first only; empty: a host is given up at once, where it would be paused
BAN_SITE_PAUSES_S = [60, 300, 900]

# --- frontier/ -----------------------------------------------------------------------------------------------
# seconds between two pages of a host: the most that robots.txt's Crawl-delay may ask of us, or 429s may bring
FRONTIER_CRAWL_DELAY_MAX_S = 30.0

# --- batches/ and sinks/ -------------------------------------------------------------------------------------
# worker processes; the crawl itself needs one core; 0: in the crawl's own process
BATCH_WORKERS = max(1, (os.cpu_count() or 1) - 1)
BATCH_ITEMS = 100  # items of a batch: 1 -> 100 saves 10-20 x CPU, more saves nothing
BATCH_BYTES = 1024 * 1024  # bytes of a batch
BATCH_AGE_S = 0.5  # seconds the oldest item of a batch waits at most
# bytes spooled and not yet stored, above which the crawl is held back: minutes of a crawl while a store is down
BATCH_BACKLOG_BYTES = 64 * 1024 * 1024
# when an item counts as accepted, so that its page's part is done: spool: no death of a process loses it; fsync: no power cut
# either; commit: it is in the store
BATCH_ACK = "spool"
# seconds between two syncs of the spool to the disk, in a thread: what a power cut may cost with "spool"; 0: never
BATCH_SYNC_S = 0.5
# seconds that a store or a disk which takes nothing is tried again, while the crawl waits; then the run ends failed_storage
BATCH_OUTAGE_S = 900.0
# workers on other machines (scrapy batches work --log ...) instead of BATCH_WORKERS: redis://host:6379/0, rediss:// for TLS, or
# "env:NAME" where that has a password; empty: none
BATCH_LOG = ""
BATCH_ITEM_DEADLINE_S = 30.0  # seconds one item may take in a worker; then it is taken for hung
# MB that a worker may hold: above, it is replaced after its batch; at twice as much it is killed, and the item is to blame
BATCH_WORKER_MAX_MB = 1024
BATCH_DRAIN_TIMEOUT_S = 60.0  # seconds to wait at the end for what is spooled
# keep the spool's segments below the run's folder: an archive of what was scraped, for new steps (scrapy batches run)
BATCH_KEEP_SEGMENTS = False
# functions on rows, in order, with their options; the HTML itself is not stored: keep=True would
BATCH_STEPS = ["clean", {"main_text": {"keep": False}}, "content_hash"]
SINK = "parquet"  # or jsonl, csv, sqlite, postgres, a list of them, an import path: docs/sinks.md

# --- runs/ ---------------------------------------------------------------------------------------------------
RUN_HEARTBEAT_S = 10.0  # seconds between two writes of run.json
RUN_MIN_ITEMS = 1  # stored records below which a finished run has failed
RUN_LOG_INTERVAL_S = 60.0  # seconds between two status lines in a log
# share of pages given up, above which a run has failed: with a tenth missing it is no data set
RUN_MAX_GIVEN_UP_RATE = 0.1
RUN_WARN_RATE = 0.02  # share of pages given up or with a raising callback, above which a run is degraded
RUN_MAX_ERROR_RATE = 0.1  # share of pages whose callback raised, above which a run has failed
RUN_MAX_GONE_RATE = 0.5  # share of pages that are 404 or 410, above which a run has failed
