"""Was that page a block, and what now?

answers.py      an answer as plain data, and what its body shows a reader
marks/*.toml    what vendors' block pages are known by; signature_file.py reads them, signatures.py
                matches them, tables.py adds those of BAN_SIGNATURES_FILE
rules.py        an answer becomes a verdict: headers first, then body
contracts.py    whether a page holds what the spider says a good page holds
completeness.py whether a compressed body is whole
reactions.py    the table of what follows from a verdict; forbidden.py: pages refused to everybody
pauses.py       when a site where nothing passes is left alone, and for how long; pausing.py does it
robots.py       robots.txt, never out of a block page's mouth
middleware.py   the two phases: HeaderPhase before a redirect is followed, BodyPhase on the body that bodies.py made
                ready; pages.py: what they know of a request; tries.py: the next try at a page;
                redirects.py: redirects that lead nowhere are listed
kinds.py        what good pages share, without a contract; suspicions.py reports those that look like one soft block
samples.py      the first page that each rule refused, kept by keeper.py
explain.py      why an answer is judged as it is (`scrapy bans explain`); wording.py: one signature in words; given.py: the
                answer in a file; asking.py: the one of a site; whose.py: whose contract is asked for
"""
