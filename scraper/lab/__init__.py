"""A small hostile web on loopback with metered proxies in front of it: demo, test bench, policy bench.

Sites: catalogue.py (the truth) -> shops.py (what a shop serves) -> defences.py (who is refused, and how, with the
marks of vendors.py) -> filler.py (weight) -> sites.py (HTTP, faults).  Proxies: exits.py and credentials.py (rules) ->
gateways.py over wire.py.  worlds.py says which sites, rules, prices and pools there are, needs.py what a player who knows
them would use.  truth.py keeps the books, server.py joins all, process.py starts it from elsewhere, __main__.py by hand.
It imports nothing else of the project, so it cannot share a misunderstanding with what it tests.
"""
