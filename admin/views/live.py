"""What happens at the gate right now: the newest events as a page, as JSON, and as a stream (WHATWG HTML 9.2).

The page asks for itself anew when the stream says that there is news; it has that said once a second at most, so that
a busy minute costs no more than a quiet one. A stream ends with its session, like every other connection of one
(security 7), and after a minute in any case: the browser opens another, which the guard looks at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from admin.bodies import activity as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.render import Renderer
from admin.wording import facts
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.live import Ending, LiveConnection
from policies.model import Address, Principal, Reason
from policies.rules import Rule

MOST_STREAMS: Final = 50  # on one worker; each holds a connection to Redis
LIFE: Final = 60.0  # seconds of one stream
BEAT: Final = 15.0  # seconds after which something is sent, so that nobody on the way takes it for dead
PACE: Final = 1.0  # seconds between two looks for whoever wants to know only that there is news
_PATIENCE: Final = 10.0  # seconds for a client to take what was sent
_SHOWN: Final = 100
_LOOKED_AT: Final = 1000  # for those of one kind
_BEGINNING: Final = "0-0"  # the place before the first event
_RETRY: Final = b"retry: 1000\n\n"
KINDS: Final = {"": "Everything", "login": "Logins", "signal": "Signals", "change": "Changes"}
_ATTEMPTS: Final = ("login.", "signal.")


class Seen(Protocol):
    """An event of the stream: its place there, and itself as JSON."""

    @property
    def id(self) -> str: ...

    @property
    def event(self) -> bytes: ...


class Feed(Protocol):
    """The newest events of all gates (``store.activity.RedisActivity``)."""

    async def recent(self, count: int) -> Sequence[Seen]:
        """The newest, oldest first. Raises StoreUnavailable."""

    def follow(self, place: str) -> AsyncGenerator[Seen, None]:
        """Those behind a place, for ever; never raises for an outage."""

    def is_place(self, text: str) -> bool:
        """Whether a client's word for a place is one."""


class Connections(Protocol):
    """Ends connections with their session (``gatekeeper.live.LiveConnections``)."""

    def has_room(self, principal: Principal | None) -> bool: ...

    def add(
        self,
        close: Callable[[Ending], None],
        principal: Principal | None,
        rule: Rule | None,
        *,
        endless: bool,
        client: Address | None = None,
    ) -> LiveConnection: ...

    def remove(self, live: LiveConnection) -> None: ...


class Names(Protocol):
    """Knows accounts' e-mails. Raises StoreUnavailable."""

    async def emails(self, users: Collection[str]) -> Mapping[str, str]:
        """By id, of those that there are."""


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event in a row of the page; ``time`` in Unix seconds, ``user`` the id of whom it is about, if known."""

    type: str
    time: float
    tone: str
    who: str
    user: str | None
    address: str | None
    country: str | None
    said: str
    path: str | None


class LiveViews:
    """``P/admin/activity/live``, ``P/admin/api/activity/live`` and ``P/admin/api/activity/stream``."""

    def __init__(
        self,
        feed: Feed,
        names: Names,
        connections: Connections,
        renderer: Renderer,
        *,
        life: float = LIFE,
        beat: float = BEAT,
        pace: float = PACE,
    ) -> None:
        self._feed = feed
        self._names = names
        self._connections = connections
        self._renderer = renderer
        self._life = life
        self._beat = beat
        self._pace = pace
        self._streams = 0

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The newest events, newest first."""
        kind = request.query.get("kind", "")
        kind = kind if kind in KINDS else ""
        place, newest = await self._recent(kind)
        events = [event for _, event in reversed(newest)][:_SHOWN]
        people = {event["data"].get(part) or "" for event in events for part in ("actor", "subject")}
        names = await self._names.emails(people)
        shown = [_shown(event, names) for event in events]
        context = {"events": shown, "kind": kind, "kinds": KINDS, "place": place}
        return self._renderer.page(request, visit, "live.html", context, here="activity")

    @reads("activity/live", "The newest events, oldest first", bodies.LiveEvents)
    async def listing(self, _request: web.Request, _visit: Visit) -> web.Response:
        """``{"events": [{"place", "type", "id", "time", "data"}]}``, oldest first; a stream goes on at a ``place``."""
        _, newest = await self._recent("")
        return json_answer({"events": [{"place": place, **event} for place, event in newest]})

    @reads(
        "activity/stream",
        "Events as they happen",
        query=bodies.StreamQuery,
        media_type="text/event-stream",
        background=True,
        refusals=(503,),
    )
    async def stream(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """``text/event-stream``: what follows ``Last-Event-ID`` (or ``after``), then every event as it happens; or,
        with ``news``, the place of the newest whenever it is another than before.
        """
        if self._streams >= MOST_STREAMS or not self._connections.has_room(visit.admin):
            raise Problem(503, Reason.BUSY, "Too many streams are open.", retry_after=10)
        place = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        if not self._feed.is_place(place):
            newest = await self._feed.recent(1)
            place = newest[-1].id if newest else _BEGINNING
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        answer = web.StreamResponse(headers=headers)
        over = asyncio.Event()
        live = self._connections.add(lambda _why: over.set(), visit.admin, None, endless=True, client=visit.by.address)
        relay = self._tell if "news" in request.query else self._relay
        self._streams += 1
        try:
            await answer.prepare(request)
            with suppress(ConnectionError, TimeoutError):  # whoever left, or does not take what is sent, has it over
                await relay(answer, place, over)
        finally:
            self._streams -= 1
            self._connections.remove(live)
        return answer

    async def _relay(self, answer: web.StreamResponse, place: str, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._life
        await _send(answer, _RETRY)
        async with aclosing(self._feed.follow(place)) as events:
            following = asyncio.ensure_future(anext(events))
            ended = asyncio.ensure_future(over.wait())
            try:
                while not ended.done() and (left := end - loop.time()) > 0:
                    await asyncio.wait(
                        {following, ended}, timeout=min(left, self._beat), return_when=asyncio.FIRST_COMPLETED
                    )
                    if not following.done():
                        await _send(answer, b":\n\n")
                        continue
                    seen = following.result()
                    await _send(answer, b"id: %b\ndata: %b\n\n" % (seen.id.encode(), seen.event))
                    following = asyncio.ensure_future(anext(events))
            finally:
                following.cancel()
                ended.cancel()
                await asyncio.wait({following, ended})
        await answer.write_eof()

    async def _tell(self, answer: web.StreamResponse, place: str, over: asyncio.Event) -> None:
        """Looks at the place of the newest event alone; during an outage there is no news."""
        loop = asyncio.get_running_loop()
        begun = said = loop.time()
        await _send(answer, _RETRY)
        while not over.is_set() and (left := begun + self._life - loop.time()) > 0:
            newest: Sequence[Seen] = ()
            with suppress(StoreUnavailable):
                newest = await self._feed.recent(1)
            if newest and newest[-1].id != place:
                place, said = newest[-1].id, loop.time()
                await _send(answer, b"id: %b\ndata: {}\n\n" % place.encode())
            elif loop.time() - said >= self._beat:
                said = loop.time()
                await _send(answer, b":\n\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._pace, left)):
                    await over.wait()
        await answer.write_eof()

    async def _recent(self, kind: str) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        """Where the stream ends now, and those of the kind, with their places."""
        seen = await self._feed.recent(_LOOKED_AT if kind else _SHOWN)
        read = ((one.id, orjson.loads(one.event)) for one in seen)
        return seen[-1].id if seen else _BEGINNING, [one for one in read if _is_of(one[1]["type"], kind)]


async def _send(answer: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(_PATIENCE):
        await answer.write(data)


def _is_of(name: str, kind: str) -> bool:
    if kind == "change":
        return not name.startswith(_ATTEMPTS)
    return not kind or name.startswith(f"{kind}.")


def _shown(event: Mapping[str, Any], names: Mapping[str, str]) -> ShownEvent:
    name, data = str(event["type"]), event["data"]
    time = datetime.fromisoformat(event["time"]).timestamp()
    if not name.startswith(_ATTEMPTS):
        actor = data["actor"]
        user = actor if actor in names else None
        said, path = names.get(data["subject"], str(data["subject"])), f"activity?action={name}"
        return ShownEvent(name, time, "", names.get(actor, actor), user, data["address"], None, said, path)
    signal = name.startswith("signal.")
    attempt = data["attempt"] if signal else data["id"]
    said = facts(data["evidence"] or {}) if signal else str(data["reason"] or data["method"] or "")
    tone = "warn" if signal else str(data["result"])
    return ShownEvent(
        name,
        time,
        tone,
        str(data["email"]),
        data["user_id"],
        data["address"],
        data["country"],
        said,
        f"logins/{attempt}",
    )
