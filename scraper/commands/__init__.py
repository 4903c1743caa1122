"""The project's own ``scrapy`` commands (setting COMMANDS_MODULE), thin: they print and call the folders.

batches.py  ``scrapy batches``, what a run has left and how to bring it to its end (batches_printing.py prints)
bans.py     ``scrapy bans``, why an answer is judged as it is
proxies.py  ``scrapy proxies``, whether the pools answer and why one is chosen
crawl.py    ``scrapy crawl``, with a run record, a summary and an exit code that tells the truth
"""
