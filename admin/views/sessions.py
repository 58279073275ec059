"""Sessions that live: a page, its JSON, and ending one, all of a user or all of a filter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies import sessions as bodies
from admin.bodies.common import DoneTo
from admin.calls import acts, reads
from admin.guard import Visit
from admin.lists import PanelReader, Place, SessionFilter
from admin.paging import SHOWN, chips, country_of, filled, network_of, place_of, query_of, said_place
from admin.render import Renderer
from admin.wording import device, rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem
from gatekeeper.identity.session_desk import SessionDesk
from gatekeeper.identity.user_desk import checked_why, invalid
from gatekeeper.tokens.durable import SessionRecord
from gatekeeper.tokens.sessions import Session
from policies.model import Reason

FILTERS: Final = {"user": "User", "address": "Address", "country": "Country", "agent": "Device"}
_ROUNDS: Final = 4  # portions of records among which a page of living ones is looked for
_PORTION: Final = 500  # sessions that are ended at once


class LiveSessions(Protocol):
    """Sessions as Redis has them. Raises StoreUnavailable."""

    async def find(self, session: str) -> Session | None: ...


class HeldConnections(Protocol):
    """Tunnels and event streams on all workers, as of some seconds ago. Raises StoreUnavailable."""

    async def of(self, sessions: Sequence[str], now: float) -> dict[str, int]:
        """How many each of these sessions holds; those that hold none are left out."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that lives, and whose it is; ``live`` is None of one that does not any more. ``held`` are the
    connections that it holds open.
    """

    record: SessionRecord
    email: str
    live: Session | None
    held: int = 0


class SessionViews:
    """``P/admin/sessions`` and ``P/admin/api/sessions``. ``idle_ttl`` in seconds."""

    def __init__(
        self,
        reader: PanelReader,
        live: LiveSessions,
        held: HeldConnections,
        desk: SessionDesk,
        renderer: Renderer,
        *,
        idle_ttl: float,
    ) -> None:
        self._reader = reader
        self._live = live
        self._held = held
        self._desk = desk
        self._renderer = renderer
        self._idle_ttl = idle_ttl

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The living sessions that fit, newest first."""
        filters, wanted = _asked(request)
        entries, more = await self.living(wanted, visit.now, place_of(request.query.get("after")))
        following = said_place(entries[-1].record.started_at, entries[-1].record.id) if more and entries else None
        context = {
            "sessions": entries,
            "filters": filters,
            "chips": chips(filters, FILTERS),
            "following": following,
            "query": query_of(filters),
            "first": "after" not in request.query,
        }
        return self._renderer.page(request, visit, "sessions.html", context, here="sessions")

    @reads("sessions", "Open sessions, newest first", bodies.Sessions, query=bodies.SessionsPage)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"sessions": [...], "next"}``, newest first."""
        _, wanted = _asked(request)
        entries, more = await self.living(wanted, visit.now, place_of(request.query.get("after")))
        following = said_place(entries[-1].record.started_at, entries[-1].record.id) if more and entries else None
        return json_answer({"sessions": [_row(entry) for entry in entries], "next": following})

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """One session, living or not."""
        entry = await self._one(request, visit)
        context = {"entry": entry, "idles_out": entry.live.seen_at + self._idle_ttl if entry.live else None}
        return self._renderer.page(request, visit, "session.html", context, here="sessions")

    @reads("sessions/{session}", "One session, living or not", bodies.Session)
    async def one_call(self, request: web.Request, visit: Visit) -> web.Response:
        """The same as JSON."""
        return json_answer(_row(await self._one(request, visit)))

    @reads("sessions/count", "How many sessions fit", bodies.SessionCount, query=bodies.MatchingSessions)
    async def count(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"count"}``, by the durable record: some may have idled out."""
        _, wanted = _asked(request)
        return json_answer({"count": await self._reader.count_sessions(wanted, visit.now)})

    async def confirm_all(self, request: web.Request, visit: Visit) -> web.Response:
        """How many sessions of a filter would end."""
        filters, wanted = _asked(request)
        if not filters:
            raise invalid("user", "Choose whose or which sessions first: not all of everybody's are ended at once.")
        context = {
            "filters": filters,
            "chips": chips(filters, FILTERS),
            "query": query_of(filters),
            "count": await self._reader.count_sessions(wanted, visit.now),
        }
        return self._renderer.page(request, visit, "sessions_end.html", context, here="sessions")

    @acts(
        "sessions/{session}", "End a session", bodies.EndSession, DoneTo, method="DELETE", form="sessions/{session}/end"
    )
    async def end(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """End one."""
        record, _ = await self._found(request)
        why = checked_why(fields.get("why", "by a call" if request.method == "DELETE" else ""))
        await self._desk.end(record, visit.by, why, visit.now)
        page = f"users/{record.user_id}" if fields.get("back") == "user" else "sessions"
        return Done("session-ended", page, {"id": record.id})

    @acts("sessions/end", "End every session of a filter", bodies.EndSessions, bodies.EndedSessions)
    async def end_all(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """End all of a filter, but the one that asks."""
        filters = filled(fields, FILTERS)
        if not filters:
            raise invalid("user", "Choose whose or which sessions first.")
        why = checked_why(fields.get("why", ""))
        described = ", ".join(f"{name} {value}" for name, value in filters.items())
        matching = self._portions(_filter(filters), visit)
        count = await self._desk.end_all(matching, described, visit.by, why, visit.now)
        return Done("sessions-ended", "sessions", {"ended": count})

    async def living(
        self, wanted: SessionFilter, now: float, after: Place | None, *, count: int = SHOWN
    ) -> tuple[list[OpenSession], bool]:
        """The newest that would be let in now, and whether there may be more: the durable record does not know which
        have idled out.
        """
        found: list[OpenSession] = []
        for _ in range(_ROUNDS):
            records = await self._reader.sessions(wanted, now, count=count, after=after)
            states = await asyncio.gather(*(self._live.find(record.id) for record, _ in records))
            for (record, email), state in zip(records, states, strict=True):
                if state is not None and state.alive(now, self._idle_ttl):
                    found.append(OpenSession(record, email, state))
                    if len(found) > count:
                        return await self._holding(found[:count], now), True
            if len(records) < count:
                return await self._holding(found, now), False
            after = Place(records[-1][0].started_at, records[-1][0].id)
        return await self._holding(found, now), True

    async def _holding(self, entries: list[OpenSession], now: float) -> list[OpenSession]:
        held = await self._held.of([entry.record.id for entry in entries], now)
        return [replace(entry, held=held.get(entry.record.id, 0)) for entry in entries]

    async def _portions(self, wanted: SessionFilter, visit: Visit) -> AsyncGenerator[list[str], None]:
        after = None
        while records := await self._reader.sessions(wanted, visit.now, count=_PORTION, after=after):
            after = Place(records[-1][0].started_at, records[-1][0].id)
            yield [record.id for record, _ in records if record.id != visit.admin.session]

    async def _one(self, request: web.Request, visit: Visit) -> OpenSession:
        record, email = await self._found(request)
        live = await self._live.find(record.id)
        # What a raised epoch has ended is dead, though Redis still has it.
        if record.ended_at is not None or live is None or not live.alive(visit.now, self._idle_ttl):
            return OpenSession(record, email, None)
        return (await self._holding([OpenSession(record, email, live)], visit.now))[0]

    async def _found(self, request: web.Request) -> tuple[SessionRecord, str]:
        found = await self._reader.session(request.match_info["session"])
        if found is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no such session.")
        return found


def _asked(request: web.Request) -> tuple[dict[str, str], SessionFilter]:
    filters = filled(request.query, FILTERS)
    return filters, _filter(filters)


def _filter(filters: Fields) -> SessionFilter:
    return SessionFilter(
        email=filters.get("user"),
        network=network_of(filters.get("address")),
        country=country_of(filters.get("country")),
        agent=filters.get("agent"),
    )


def _row(entry: OpenSession) -> dict[str, object]:
    record, live = entry.record, entry.live
    return {
        "id": record.id,
        "user_id": record.user_id,
        "email": entry.email,
        "started_at": rfc3339(record.started_at),
        "seen_at": rfc3339(live.seen_at) if live else None,
        "expires_at": rfc3339(record.expires_at),
        "refreshed_at": rfc3339(live.rotated_at) if live else None,
        "generation": live.generation if live else None,
        "acr": live.acr if live else None,
        "proved_at": rfc3339(live.auth_time) if live else None,
        "second_factor_at": rfc3339(live.mfa_time) if live and live.mfa_time else None,
        "must_enrol": live.must_enrol if live else None,
        "connections": entry.held,
        "address": str(record.origin.address),
        "country": record.origin.country,
        "device": device(record.origin.user_agent),
        "user_agent": record.origin.user_agent,
        "amr": list(record.amr),
    }
