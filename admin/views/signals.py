"""Open signals: what is odd and waits for an admin, with what can be done about it at once."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from aiohttp import web

from admin.acts import Done, Fields, is_sure
from admin.bodies import overview as bodies
from admin.calls import acts, reads
from admin.guard import Visit
from admin.lists import PanelReader
from admin.odd import Odd, OddReader
from admin.render import Renderer
from admin.views.bans import unsure
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.bans.desk import BadBan, BanDesk, OwnBan
from gatekeeper.errors import Problem
from gatekeeper.identity.session_desk import SessionDesk
from gatekeeper.identity.user_desk import UserDesk, checked_why, invalid
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.journal.questions import LoginReader
from gatekeeper.journal.rows import public
from policies.model import Reason

_LISTED: Final = 50
_BANNED_FOR: Final = 86_400.0  # seconds

_Deed = Callable[[Odd, Visit, str], Awaitable[str]]


class SignalViews:
    """``P/admin/signals`` and ``P/admin/api/signals``."""

    def __init__(
        self,
        odd: OddReader,
        logins: LoginReader,
        reader: PanelReader,
        users: UserDesk,
        sessions: SessionDesk,
        bans: BanDesk,
        audit: AuditLog,
        renderer: Renderer,
    ) -> None:
        self._odd = odd
        self._logins = logins
        self._reader = reader
        self._users = users
        self._sessions = sessions
        self._bans = bans
        self._audit = audit
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """All that are open, newest first."""
        found = await self._odd.open(visit.now, count=_LISTED)
        return self._renderer.page(request, visit, "signals.html", {"odd": found}, here="overview")

    @reads("signals", "Open signals", bodies.OpenSignals)
    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"total", "since", "signals": [...]}``, newest first; acts are asked for by the id of ``attempt``."""
        found = await self._odd.open(visit.now, count=_LISTED)
        since = None if found.reach is None else rfc3339(found.reach)
        return json_answer({"total": found.total, "since": since, "signals": [_row(one) for one in found.lines]})

    @acts("signals/{attempt}/end", "End the session of an open signal", bodies.SignalBody, bodies.SignalDone)
    async def end(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """End the session, and close the signal."""
        return await self._dealt(request, visit, fields, self._end)

    @acts("signals/{attempt}/lock", "Lock the account of one", bodies.SignalBody, bodies.SignalDone)
    async def lock(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Lock the account, and close the signal."""
        return await self._dealt(request, visit, fields, self._lock)

    @acts("signals/{attempt}/ban", "Ban the address of one for a day", bodies.SignalBan, bodies.SignalDone)
    async def ban(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Ban the address, and close the signal."""
        return await self._dealt(request, visit, fields, partial(self._ban, sure=is_sure(fields)))

    @acts("signals/{attempt}/close", "Close an open signal", bodies.SignalBody, bodies.SignalDone)
    async def close(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Nothing more has to be done."""
        return await self._dealt(request, visit, fields, self._close)

    async def _dealt(self, request: web.Request, visit: Visit, fields: Fields, act: _Deed) -> Done:
        odd = await self._found(request.match_info["attempt"], visit.now)
        why = checked_why(fields.get("why", "").strip() or _why(odd))
        notice = await act(odd, visit, why)
        await self._odd.close(odd, visit.by.name, visit.now)
        return Done(notice, "signals" if fields.get("back") == "signals" else "", {"subject": odd.subject})

    async def _found(self, text: str, now: float) -> Odd:
        """The line with the attempt that was shown, though the line may have grown riskier ones since."""
        try:
            attempt = uuid.UUID(text)
        except ValueError:
            raise Problem(404, Reason.NOT_FOUND) from None
        odd, shown = await self._odd.of(attempt, now), await self._logins.find(attempt)
        if odd is None or shown is None:
            raise Problem(404, Reason.NOT_FOUND, "This is no open signal any more; somebody may have dealt with it.")
        return replace(odd, attempt=shown)

    async def _end(self, odd: Odd, visit: Visit, why: str) -> str:
        found = await self._reader.session(odd.attempt.session) if odd.attempt.session else None
        if found is None:
            raise invalid("attempt", "This attempt led to no session.")
        await self._sessions.end(found[0], visit.by, why, visit.now)
        return "session-ended"

    async def _lock(self, odd: Odd, visit: Visit, why: str) -> str:
        if odd.attempt.user_id is None:
            raise invalid("attempt", "There is no account to lock.")
        await self._users.lock(odd.attempt.user_id, visit.by, why, visit.now)
        return "user-locked"

    async def _ban(self, odd: Odd, visit: Visit, why: str, *, sure: bool) -> str:
        whom = str(odd.attempt.address)
        try:
            await self._bans.add(whom, visit.by, visit.now, length=_BANNED_FOR, reason=why, own=sure)
        except OwnBan as own:
            raise unsure(own, "signals") from None
        except BadBan as bad:
            raise invalid("attempt", f"{bad}.") from None
        return "ban-added"

    async def _close(self, odd: Odd, visit: Visit, why: str) -> str:
        by = visit.by
        after: dict[str, object] = {"signals": list(odd.attempt.signals), "attempts": odd.attempts, "reason": why}
        await self._audit.record_change(
            Change(visit.now, by.name, "signal.close", odd.subject, None, after, by.address, by.request_id, by.key)
        )
        return "signal-closed"


def _why(odd: Odd) -> str:
    return ", ".join(signal.replace("_", " ") for signal in odd.attempt.signals)[:200]


def _row(odd: Odd) -> dict[str, Any]:
    return {
        "subject": odd.subject,
        "attempts": odd.attempts,
        "first": rfc3339(odd.first),
        "last": rfc3339(odd.last),
        "attempt": public(odd.attempt),
    }
