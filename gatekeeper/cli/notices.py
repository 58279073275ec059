"""What commands tell the owners of accounts: by mail, where mail is configured, sent by a gate that runs or by the next
one to start. Called by ``cli.user`` and ``cli.invite``.
"""

from __future__ import annotations

from gatekeeper.app.mail import notifier_of
from gatekeeper.bootstrap import secret_of
from gatekeeper.config.model import Config
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.notices import Notices
from gatekeeper.notify.outbox import Notifier
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.postgres import Postgres


class _Unprinted:
    """The console sender's lines, which a command says in its own words."""

    def write(self, line: bytes) -> None:
        """Nowhere."""


def silent_notifier(config: Config, postgres: Postgres) -> Notifier:
    """What takes messages of a command."""
    return notifier_of(config, postgres, secret_of(config.storage), _Unprinted())


def notices(config: Config, postgres: Postgres) -> Notices:
    """What tells owners of changes that a command made."""
    addresses = Addresses(config.public_url, config.prefix)
    return Notices(silent_notifier(config, postgres), PostgresLinks(postgres), addresses)
