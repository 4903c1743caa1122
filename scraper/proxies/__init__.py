"""Who a request goes out as, and what that cost.

sources.py reads proxies.toml and its secrets; pools.py checks it and builds the gateway's username; ladder.py chooses
the pool for a site, roster.py the identity; gateway.py names a gateway's error; ledger.py counts bytes and money;
addresses.py refuses private targets. handler.py sends (one connection pool per identity, bytes counted at the socket
by sockets.py); middleware.py assigns identities and learns from verdicts.
"""
