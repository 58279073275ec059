"""What people changed: the audit log with what was before and after, and whether anybody changed it afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web

from admin.bodies import activity as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.lists import ChangeFilter, ChangeRow, PanelReader
from admin.paging import SHOWN, chips, filled, moment_of, number_of, query_of
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem
from gatekeeper.journal.sealing import Seal, Verified
from policies.model import Reason

FILTERS: Final = {"action": "What", "actor": "Who", "subject": "To whom", "since": "Since", "until": "Until"}
_PATIENCE: Final = 30.0  # seconds for holding the whole log against its seals
_FAULTS_SHOWN: Final = 100
_MICRO: Final = 1e6
_LONGEST_ID: Final = 18  # digits


class Seals(Protocol):
    """Holds the audit log against its seals (``journal.sealing.Inspector``). Raises StoreUnavailable."""

    async def whole(self) -> Verified: ...

    async def one(self, entry: int) -> tuple[Seal | None, bool]:
        """The seal over an entry, and whether both hold."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """How an entry's seal stands; ``at`` in Unix seconds."""

    number: int | None
    at: float | None
    holds: bool


class ActivityViews:
    """``P/admin/activity`` and ``P/admin/api/activity``."""

    def __init__(self, reader: PanelReader, seals: Seals, renderer: Renderer, *, patience: float = _PATIENCE) -> None:
        self._reader = reader
        self._seals = seals
        self._renderer = renderer
        self._patience = patience
        self._verifying = asyncio.Lock()

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The changes that fit, newest first."""
        return await self._list(request, visit, None)

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """A change with all that is known of it, and its seal."""
        row = await self._found(request)
        context = {"change": row, "sealed": await self._sealed(row.id)}
        return self._renderer.page(request, visit, "change.html", context, here="activity")

    async def verified(self, request: web.Request, visit: Visit) -> web.Response:
        """The list under what holding all of the log against its seals has brought to light."""
        return await self._list(request, visit, await self._verify())

    @reads("activity", "The audit log, newest first", bodies.Changes, query=bodies.ChangesPage)
    async def listing(self, request: web.Request, _visit: Visit) -> web.Response:
        """``{"changes": [...], "next"}``, newest first."""
        _, rows, following = await self._asked(request)
        return json_answer({"changes": [_row(row) for row in rows], "next": following})

    @reads("activity/{change}", "One change, and whether it is sealed", bodies.SealedChange)
    async def one_call(self, request: web.Request, _visit: Visit) -> web.Response:
        """A change with ``sealed``: ``{"number", "at", "holds"}``, the first two null where it is not sealed yet."""
        row = await self._found(request)
        sealed = await self._sealed(row.id)
        at = None if sealed.at is None else rfc3339(sealed.at)
        return json_answer({**_row(row), "sealed": {"number": sealed.number, "at": at, "holds": sealed.holds}})

    @reads("activity/verify", "Whether anybody changed the audit log", bodies.Verified, method="POST", refusals=(503,))
    async def verify(self, _request: web.Request, _visit: Visit) -> web.Response:
        """``{"unchanged", "faults", "entries", "seals", "waiting", "remembered", "newest"}``; the last is null or
        ``{"number", "hash", "at"}``.
        """
        found = await self._verify()
        newest = found.newest
        return json_answer(
            {
                "unchanged": not found.faults,
                "faults": found.faults[:_FAULTS_SHOWN],
                "entries": found.entries,
                "seals": found.seals,
                "waiting": found.waiting,
                "remembered": found.remembered,
                "newest": newest
                and {"number": newest.number, "hash": newest.hash.hex(), "at": rfc3339(newest.sealed_at / _MICRO)},
            }
        )

    async def _list(self, request: web.Request, visit: Visit, found: Verified | None) -> web.Response:
        filters, rows, following = await self._asked(request)
        context = {
            "changes": rows,
            "filters": filters,
            "chips": chips(filters, FILTERS),
            "following": following,
            "query": query_of(filters),
            "first": "after" not in request.query,
            "found": found,
            "faults_shown": _FAULTS_SHOWN,
        }
        return self._renderer.page(request, visit, "activity.html", context, here="activity")

    async def _asked(self, request: web.Request) -> tuple[dict[str, str], list[ChangeRow], int | None]:
        filters = filled(request.query, FILTERS)
        wanted = ChangeFilter(
            filters.get("action"),
            filters.get("actor"),
            filters.get("subject"),
            moment_of(filters.get("since"), "since"),
            moment_of(filters.get("until"), "until"),
        )
        rows = await self._reader.changes(wanted, count=SHOWN + 1, after=number_of(request.query.get("after")))
        return filters, rows[:SHOWN], rows[SHOWN - 1].id if len(rows) > SHOWN else None

    async def _found(self, request: web.Request) -> ChangeRow:
        number = request.match_info["change"]
        known = number.isascii() and number.isdigit() and len(number) <= _LONGEST_ID
        row = await self._reader.change(int(number)) if known else None
        if row is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such change.")
        return row

    async def _sealed(self, entry: int) -> _Sealed:
        seal, holds = await self._seals.one(entry)
        return _Sealed(None, None, holds) if seal is None else _Sealed(seal.number, seal.sealed_at / _MICRO, holds)

    async def _verify(self) -> Verified:
        """One at a time, and not for ever: it reads the whole log."""
        if self._verifying.locked():
            raise Problem(503, Reason.BUSY, "The audit log is being verified already.", retry_after=5)
        try:
            async with self._verifying, asyncio.timeout(self._patience):
                return await self._seals.whole()
        except TimeoutError:
            detail = f"It took more than {self._patience:g} s; gatekeeper audit verify has no such limit."
            raise Problem(503, Reason.BUSY, detail, retry_after=60) from None


def _row(row: ChangeRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "time": rfc3339(row.time),
        "actor": row.actor,
        "actor_email": row.actor_email,
        "action": row.action,
        "subject": row.subject,
        "subject_email": row.subject_email,
        "before": row.before,
        "after": row.after,
        "address": row.address,
        "request_id": row.request_id,
    }
