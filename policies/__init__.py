"""The decision point: rules, limits and bans as pure functions over plain facts.

Imports neither aiohttp nor a database driver; stores come in as Protocols that
the modules here define. Called by ``gatekeeper.gate`` for every request and by
``gatekeeper explain``.
"""
