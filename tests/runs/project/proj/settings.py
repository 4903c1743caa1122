"""Settings of the small project."""

SPIDER_MODULES = ["proj.spiders"]
COMMANDS_MODULE = "scraper.commands"
EXTENSIONS = {"scraper.runs.extension.RunExtension": 1000, "scrapy.extensions.logstats.LogStats": None}
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False
RETRY_ENABLED = False
LOG_LEVEL = "INFO"
DATA_DIR = "data"
RUN_HEARTBEAT_S = 0.5
RUN_LOG_INTERVAL_S = 60
RUN_MIN_ITEMS = 1
RUN_MAX_ERROR_RATE = 0.5
RUN_MAX_GIVEN_UP_RATE = 0.2
RUN_WARN_RATE = 0.01
RUN_MAX_GONE_RATE = 0.5
LOG_VERSIONS = []
STATS_DUMP = False
