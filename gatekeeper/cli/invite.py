"""``gatekeeper user invite``: a link that makes one account. Called by ``cli.user``.

The link is printed, and mailed where mail is configured: by a gate that runs, or by the next one to start.
"""

from __future__ import annotations

from gatekeeper.cli.notices import silent_notifier
from gatekeeper.config.model import Config
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.registration import Invitations
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.postgres import Postgres


async def invite(
    config: Config, postgres: Postgres, email: str, roles: tuple[str, ...], life: float, by: str, now: float
) -> tuple[str, bool]:
    """The link, and whether it is mailed too; ``email`` is canonical, ``life`` in seconds."""
    notifier = silent_notifier(config, postgres)
    invitations = Invitations(PostgresLinks(postgres), notifier, Addresses(config.public_url, config.prefix))
    link = await invitations.make(email, roles, life, by, now)
    return link, config.mail.smtp.host is not None
