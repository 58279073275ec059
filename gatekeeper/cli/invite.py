"""Invitations as ``gatekeeper user invite`` makes them: printed, and mailed where mail is configured, by a gate that
runs or by the next one to start. Called by ``cli.user``.
"""

from __future__ import annotations

from gatekeeper.cli.notices import silent_notifier
from gatekeeper.config.model import Config
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.registration import Invitations
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.postgres import Postgres


def invitations(config: Config, postgres: Postgres) -> Invitations:
    """What makes them."""
    addresses = Addresses(config.public_url, config.prefix)
    return Invitations(PostgresLinks(postgres), silent_notifier(config, postgres), addresses)
