"""Introspection and revocation, built over the parts of a worker. Called by ``gatekeeper.app.edge``."""

from __future__ import annotations

from gatekeeper.app.parts import Running, TokenParts
from gatekeeper.config.model import Config
from gatekeeper.identity.token_desk import TokenDesk
from gatekeeper.identity.token_endpoints import TokenEndpoints
from gatekeeper.tokens.foreign import ForeignEndings


def token_endpoints(config: Config, tokens: TokenParts, running: Running) -> TokenEndpoints:
    """The two calls that services make with an API key."""
    stores = running.stores
    desk = TokenDesk(
        tokens.access,
        tokens.refresh,
        tokens.foreign,
        stores.live,
        tokens.sessions,
        tokens.authenticator,
        ForeignEndings(stores.live, stores.foreign),
        running.bans.bans,
        issuer=config.public_url,
        audience=config.tokens.audience,
    )
    return TokenEndpoints(tokens.authenticator, desk, stores.journal, limit=config.sizes.json_body)
