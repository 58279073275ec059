"""``gatekeeper user invite``: a link that makes one account. Called by ``cli.user``.

The link is printed, and mailed where mail is configured: by a gate that runs, or by the next one to start.
"""

from __future__ import annotations

from gatekeeper.app.mail import notifier_of
from gatekeeper.bootstrap import secret_of
from gatekeeper.config.model import Config
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.registration import Invitations
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.postgres import Postgres


class _Unprinted:
    """The console sender's lines, which the command says in its own words."""

    def write(self, line: bytes) -> None:
        """Nowhere."""


async def invite(
    config: Config, postgres: Postgres, email: str, roles: tuple[str, ...], life: float, by: str, now: float
) -> tuple[str, bool]:
    """The link, and whether it is mailed too; ``email`` is canonical, ``life`` in seconds."""
    notifier = notifier_of(config, postgres, secret_of(config.storage), _Unprinted())
    invitations = Invitations(PostgresLinks(postgres), notifier, Addresses(config.public_url, config.prefix))
    link = await invitations.make(email, roles, life, by, now)
    return link, config.mail.smtp.host is not None
