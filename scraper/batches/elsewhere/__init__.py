"""Workers on other machines, through Redis Streams.

remote.py     I/O   the crawl's end: what pool.py is for workers of this machine      window.py   RULE  how much may be under way
work.py       I/O   the other end: `scrapy batches work`                              served.py   I/O   one crawl's batches there
redis_log.py  I/O   what both say through Redis    machine.py  I/O   what a machine may and can do    link.py   I/O   a server that may be away
"""
