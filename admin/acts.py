"""Changes that the panel makes: the same act behind a form (303 back, with a notice) and behind a call (JSON, by
``admin.calls``). Used by ``admin.app`` around the acts of the views; who may act is the guard's to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from admin.guard import View, Visit
from gatekeeper.errors import Problem
from gatekeeper.pages.forms import read_form, see_other
from policies.model import Reason

Fields = Mapping[str, str]
SURE: Final = "sure"  # the field

#: What is said once after an act, by the name that the address has for it.
NOTICES: Final[Mapping[str, str]] = {
    "session-ended": "The session has ended, from its next request on.",
    "sessions-ended": "Those sessions have ended, from their next requests on.",
    "user-locked": "The account is locked and every session of it has ended.",
    "user-unlocked": "The account may log in again.",
    "user-logged-out": "Every session of the account has ended.",
    "user-roles": "The roles are in force from the next request on.",
    "user-factors": "The second factors are gone and every session has ended; the next login asks for new ones.",
    "user-renamed": "The name is in force from the next request on.",
    "user-email-asked": "A mail is on its way to both addresses; the link in that to the new one changes it.",
    "user-factor": "That second factor is gone and every session has ended; the owner is told.",
    "user-password-expired": "Every session has ended, and the next login by password has to choose another first.",
    "users-lock": "Those accounts are locked and every session of theirs has ended.",
    "users-unlock": "Those accounts may log in again.",
    "users-logout": "Every session of those accounts has ended.",
    "users-expire-password": "Those sessions have ended, and logins by password have to choose another first.",
    "user-added": "The account is there; its owner may sign in.",
    "device-trusted": "The signals know that device from now on.",
    "device-forgotten": "The device's sessions have ended, and its next login counts as one of a new device.",
    "key-revoked": "The API key is refused from its next request on, everywhere.",
    "signal-closed": "The signal is closed.",
    "ban-added": "The ban is in force on every node within a second.",
    "bans-imported": "The list is in force on every node within a second.",
    "bans-none": "Everything in the list is over by now: nothing was changed.",
    "ban-lifted": "The ban is lifted.",
    "mail-retried": "Sent within seconds; what fails again comes back here.",
    "mail-discarded": "Discarded: nobody gets it.",
    "mail-none": "There was nothing that this could be done to.",
    "key-rotated": "The new key is published and signs in a while; the others verify until their last token is over.",
    "key-retired": "The key has ended: what it signed is refused on every node within seconds.",
    "reload-asked": "The configuration is being read again; this page says in a moment what became of it.",
}


class Unsure(Problem):
    """An act that harms the one who asks for it, and has to be asked for again with ``sure`` = ``yes``.

    ``hits`` say what it would do, a line each; ``label`` is the button's, ``back`` the page of those who would rather
    not.
    """

    def __init__(self, hits: Sequence[str], *, label: str, back: str) -> None:
        errors = [{"pointer": f"/{SURE}", "detail": hit} for hit in hits]
        super().__init__(
            422, Reason.VALIDATION, f"This would shut you out. If it is meant, say {SURE}: yes.", errors=errors
        )
        self.hits = tuple(hits)
        self.label = label
        self.back = back


@dataclass(frozen=True, slots=True)
class Done:
    """What an act led to: a key of NOTICES, the panel's page to go on to, and what a call is told."""

    notice: str
    page: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Act = Callable[[web.Request, Visit, Fields], Awaitable[Done]]
Ask = Callable[[web.Request, Visit, Fields, Unsure], web.Response]


class Acts:
    """Wraps acts. ``home`` is the panel's address without a slash at its end; ``limit`` in bytes of a body; ``ask`` is
    the page that asks again.
    """

    def __init__(self, home: str, limit: int, ask: Ask) -> None:
        self._home = home
        self._limit = limit
        self._ask = ask

    def by_form(self, act: Act) -> View:
        """POST of a form of the panel."""

        async def handle(request: web.Request, visit: Visit) -> web.Response:
            fields = await read_form(request, self._limit)
            try:
                done = await act(request, visit, fields)
            except Unsure as unsure:
                return self._ask(request, visit, fields, unsure)
            mark = "&" if "?" in done.page else "?"
            return see_other(f"{self._home}/{done.page}{mark}done={done.notice}")

        return handle


def is_sure(fields: Fields) -> bool:
    """Whether an act is asked for although it harms the one who asks."""
    return fields.get(SURE) in {"yes", "true"}


def notice_of(request: web.Request) -> str | None:
    """What the last act led to, as the page says it."""
    return NOTICES.get(request.query.get("done", ""))
