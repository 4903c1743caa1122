"""Was that page a block, and what now?

signatures.toml holds what vendors' block pages are known by; signatures.py reads it; rules.py turns an answer into a
verdict (headers first, then body); contracts.py asks whether a page holds what the spider says a good page holds;
completeness.py whether a compressed body is whole; reactions.py is the table of what follows from a verdict.
middleware.py has the two phases: HeaderPhase before a redirect is followed, BodyPhase on the decompressed body.
"""
