"""A Scrapy project for crawls that go through paid proxies, every night, and must be trusted.

proxies/   who a request goes out as          bans/      was that page a block?
frontier/  which page next                    batches/   items to worker processes
sinks/     where records end                  runs/      what happened, in one word
lab/       a small hostile web on loopback    commands/  thin `scrapy ...` commands

In each folder a *rule* file decides (plain data in, a value out), an *I/O* file touches files, sockets or
processes, and an *adapter* (middleware, handler, pipeline, scheduler, extension) is the Scrapy component.
"""
