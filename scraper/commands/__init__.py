"""The project's own ``scrapy`` commands (setting COMMANDS_MODULE), thin: they print and call the folders.

crawl.py   ``scrapy crawl``, with a run record, a summary and an exit code that tells the truth
"""
