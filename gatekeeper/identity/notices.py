"""Owners are told what happened to their account: by mail, with when, from where and on what. Called by the services
that make the change, once it is made.

What a client sent is in these mails only as a place, a known program and system, and an address; never as its own
text. Each carries a link for whoever it was not (``disowning``).
"""

from __future__ import annotations

import logging
from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.links import Addresses, Link, LinkPurpose, LinkStore, new_token
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier
from gatekeeper.tokens.durable import SessionOrigin, SessionRecord
from gatekeeper.tokens.sessions import UserState
from geo.device import find_device

LIFE: Final = 7 * 86_400.0  # seconds for which such news are worth sending, and their links good
UNKNOWN: Final = "unknown"
EVERY: Final = "every second factor"
APP: Final = "an authenticator app"
A_PASSKEY: Final = "a passkey"

_log = logging.getLogger("gatekeeper.identity")


class Notices:
    """The service. Its methods raise StoreUnavailable. Without a ``caller`` an administrator made the change."""

    def __init__(self, notifier: Notifier, links: LinkStore, addresses: Addresses) -> None:
        self._notifier = notifier
        self._links = links
        self._addresses = addresses

    async def signed_in(self, user: UserState, what: str, origin: SessionOrigin, now: float) -> None:
        """Somebody signed in from somewhere new; ``what`` is in words what was new, such as ``a country``."""
        await self._tell(Kind.NEW_SIGN_IN, user.id, user.email, origin, now, what=what)

    async def session_moved(self, user: UserState, what: str, origin: SessionOrigin, now: float) -> None:
        """A session goes on somewhere new; ``what`` as in ``signed_in``."""
        await self._tell(Kind.SESSION_MOVED, user.id, user.email, origin, now, what=what)

    async def token_stolen(self, record: SessionRecord, user: UserState, now: float) -> None:
        """A refresh token came a second time, and its session has ended (RFC 9700 4.14.2). A ``TheftNews``: the theft
        is answered whether or not its owner can be told.
        """
        try:
            began = moment(record.started_at)
            await self._tell(Kind.TOKEN_STOLEN, user.id, user.email, record.origin, now, when=began)
        except StoreUnavailable as fault:
            _log.warning("the owner could not be told of a stolen token: %s", fault, extra={"user": user.id})

    async def password_changed(self, user: UserState, caller: Caller | None, now: float) -> None:
        """It is another, and other sessions have ended."""
        await self._tell(Kind.PASSWORD_CHANGED, user.id, user.email, _origin(caller), now)

    async def email_changing(self, user: UserState, address: str, caller: Caller | None, now: float) -> None:
        """Somebody wants the account to have another e-mail, which has yet to be confirmed."""
        await self._tell(Kind.EMAIL_CHANGING, user.id, user.email, _origin(caller), now, address=address)

    async def email_changed(self, before: UserState, after: UserState, caller: Caller | None, now: float) -> None:
        """Both addresses are told; the older one may take the account back."""
        origin, address = _origin(caller), after.email
        await self._tell(Kind.EMAIL_CHANGED, before.id, before.email, origin, now, address=address)
        await self._tell(Kind.EMAIL_CHANGED, after.id, after.email, origin, now, address=address, not_me="")

    async def factor_added(self, user: str, email: str, what: str, caller: Caller | None, now: float) -> None:
        """``what`` is the factor in words, such as ``an authenticator app``."""
        await self._tell(Kind.FACTOR_ADDED, user, email, _origin(caller), now, what=what)

    async def factor_removed(self, user: str, email: str, what: str, caller: Caller | None, now: float) -> None:
        """As ``factor_added``."""
        await self._tell(Kind.FACTOR_REMOVED, user, email, _origin(caller), now, what=what)

    async def api_key_added(self, user: str, email: str, start: str, caller: Caller | None, now: float) -> None:
        """A program may act for the account; ``start`` is how its key begins."""
        await self._tell(Kind.API_KEY_ADDED, user, email, _origin(caller), now, what=f"{start}…")

    async def recovery_codes_renewed(self, user: str, email: str, caller: Caller | None, now: float) -> None:
        """The old ones are void."""
        await self._tell(Kind.RECOVERY_CODES, user, email, _origin(caller), now)

    async def _tell(
        self, kind: Kind, user: str, email: str, origin: SessionOrigin | None, now: float, **facts: str
    ) -> None:
        whole = {**seen(origin, now), "account": self._addresses.account, **facts}
        if "not_me" not in whole:
            token, kept = new_token()
            await self._links.add(Link(kept, LinkPurpose.NOT_ME, user, email, now, now + LIFE))
            whole["not_me"] = self._addresses.not_me(token)
        await self._notifier.send(Message(kind, email, now + LIFE, whole), now)


def moment(time: float) -> str:
    """A time (Unix seconds) as mails say it."""
    return as_datetime(time).strftime("%Y-%m-%d %H:%M UTC")


def seen(origin: SessionOrigin | None, now: float) -> dict[str, str]:
    """``when``, ``device``, ``from_address`` and ``place`` of a request, as facts of a message; without one it was an
    administrator.
    """
    if origin is None:
        return {"when": moment(now), "device": "an administrator", "from_address": UNKNOWN, "place": UNKNOWN}
    found = find_device(origin.user_agent)
    named = [part for part in (found.program, found.system) if part is not None]
    return {
        "when": moment(now),
        "device": " on ".join(named) or UNKNOWN,
        "from_address": str(origin.address),
        "place": origin.country or UNKNOWN,
    }


def _origin(caller: Caller | None) -> SessionOrigin | None:
    return None if caller is None else caller.origin()
