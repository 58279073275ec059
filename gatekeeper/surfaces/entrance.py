"""The outermost layer of every request: read it once, catch what goes wrong, write the access log's line.

No handler sees a request that is not canonical, and no fault leaves as a traceback (security 28).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

from aiohttp import web

from gatekeeper.answers import problem, say
from gatekeeper.appkeys import DECISION, INBOUND
from gatekeeper.bans.door import Door
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.inbound import NOWHERE, WELL_KNOWN, HostList, InboundRequest, Refused, RequestReader
from gatekeeper.observe.access import AccessEntry, AccessLog
from gatekeeper.observe.metrics import Metrics
from gatekeeper.observe.reports import ReportLines
from gatekeeper.server.connection import Connection
from gatekeeper.surfaces.relay import RelayedAnswer
from policies.model import Decision, Reason, Report
from policies.rules import Rule

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ForPeople = Callable[[InboundRequest, web.Response], web.Response]
CLIENT_LEFT = 499  # as nginx logs it
_log = logging.getLogger("gatekeeper.entrance")


def as_it_is(_request: InboundRequest, answer: web.Response) -> web.Response:
    """A refusal that is the same for people and programs."""
    return answer


class Entrance:
    """The one middleware. ``for_people`` says a refusal to whoever asked."""

    def __init__(
        self,
        reader: RequestReader,
        hosts: HostList,
        door: Door,
        access: AccessLog | None,
        metrics: Metrics,
        *,
        prefix: str,
        for_people: ForPeople = as_it_is,
    ) -> None:
        self.for_people = for_people
        self._reader = reader
        self._hosts = hosts
        self._door = door
        self._access = access
        self._metrics = metrics
        self._own = f"{prefix}/"
        self._health = f"{prefix}/health/"
        self._verify = f"{prefix}/verify"
        self._reports = ReportLines()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Around every handler."""
        begun = perf_counter()
        read = self._read(request)
        if isinstance(read, Refused):
            refusal = self._refuse(request, read)
            self._record_unread(request, refusal, begun)
            return refusal
        request[INBOUND] = read
        self._metrics.in_flight += 1
        try:
            answer = await self._guarded(request, read, handler)
        except BaseException:
            self._record(request, read, None, begun)  # the client left, or the worker is ending
            raise
        finally:
            self._metrics.in_flight -= 1
        if answer.status >= 400 and isinstance(answer, web.Response):
            answer = self.for_people(read, answer)
        self._record(request, read, answer, begun)
        return answer

    def before(self, handler: Handler) -> Handler:
        """``handler`` with this layer around it, for requests that no router sees."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.middleware(request, handler)

        return handle

    async def _guarded(self, request: web.Request, read: InboundRequest, handler: Handler) -> web.StreamResponse:
        try:
            refusal = self._misdirected(request, read)
            return refusal if refusal is not None else await handler(request)
        except Problem as fault:
            return say(fault)
        except StoreUnavailable as fault:
            _log.warning("request %s: %s", read.request_id, fault)
            return problem(Reason.STORE_UNAVAILABLE)
        except web.HTTPException as answer:
            return _plain(answer)

    def _read(self, request: web.Request) -> InboundRequest | Refused:
        connection = request.protocol
        arrival = connection.arrival if isinstance(connection, Connection) else NOWHERE
        return self._reader.read(request.method, request.raw_path, request.headers, request.raw_headers, arrival)

    def _misdirected(self, request: web.Request, read: InboundRequest) -> web.Response | None:
        """The gate's own endpoints: only on served hosts, and only where aiohttp routed what was canonical."""
        path = read.target.path
        if not path.startswith(self._own) and path != WELL_KNOWN:
            return None
        if path not in {request.rel_url.raw_path, request.path}:
            return problem(Reason.NOT_FOUND)
        if path.startswith((self._health, self._verify)):
            return None
        if not self._hosts.serves(read.target.host, read.target.port):
            return problem(Reason.UNKNOWN_HOST)
        banned = self._door.refuses(read)
        return None if banned is None else _turned_away(banned)

    def _refuse(self, request: web.Request, refused: Refused) -> web.Response:
        if request.raw_path.partition("?")[0] == self._verify:  # nginx knows no 400 from a subrequest
            answer = problem(Reason.BAD_TARGET, status=403)
            answer.headers["X-Gate-Reason"] = str(refused.reason)
            return answer
        return problem(refused.reason, status=refused.status)

    def _record(
        self, request: web.Request, read: InboundRequest, answer: web.StreamResponse | None, begun: float
    ) -> None:
        status, size, reason = (CLIENT_LEFT, 0, None) if answer is None else _told(answer)
        self.record(read, request.get(DECISION), status, size, reason, perf_counter() - begun)

    def _record_unread(self, request: web.Request, answer: web.Response, begun: float) -> None:
        """A request that is none has no canonical form: its line shows what was sent."""
        seconds, (request_id, time) = perf_counter() - begun, self._reader.stamp()
        self._metrics.request("own", "", answer.status, seconds)
        if self._access is None:
            return
        connection = request.protocol
        self._access.write(
            AccessEntry(
                time=time,
                request_id=request_id,
                client=connection.arrival.peer if isinstance(connection, Connection) else "",
                method=request.method,
                host=request.headers.get("Host", ""),
                path=request.raw_path,
                status=answer.status,
                size=len(answer.body) if isinstance(answer.body, bytes) else 0,
                seconds=seconds,
                reason=answer.headers.get("X-Gate-Reason"),
                headers=request.headers,
            )
        )

    def record(
        self,
        read: InboundRequest,
        decision: Decision | None,
        status: int,
        size: int,
        reason: str | None,
        seconds: float,
    ) -> None:
        """Count one request and write its line; ``decision`` None for the gate's own endpoints."""
        rule = decision.rule if decision else None
        self._count(decision, rule, read, status, seconds)
        if self._access is None or not self._access.wants(status, reason):
            return
        self._access.write(
            AccessEntry(
                time=read.received,
                request_id=read.request_id,
                client=str(read.client),
                method=read.method,
                host=read.target.authority,
                path=read.target.path,
                status=status,
                size=size,
                seconds=seconds,
                user=decision.principal.subject if decision and decision.principal else None,
                reason=reason,
                rule=rule.name if rule else None,
                upstream=rule.upstream if rule else None,
                headers=read.headers,
            )
        )

    def _count(
        self, decision: Decision | None, rule: Rule | None, read: InboundRequest, status: int, seconds: float
    ) -> None:
        if decision is None:
            self._metrics.request("own", "", status, seconds)
            return
        surface = "verify" if read.target.path.startswith(self._verify) else "proxy"
        self._metrics.request(surface, rule.upstream if rule else "", status, seconds)
        self._metrics.decision(decision.verdict.name.lower(), decision.reason or "", rule.name if rule else "")
        if decision.reported is not None:
            self._report(decision.reported, read)
        if decision.reason is Reason.RATE_LIMITED:
            self._door.over_limit(read.client, read.received)
            self._metrics.limited(decision.standing.limit.name if decision.standing else "default")

    def _report(self, report: Report, read: InboundRequest) -> None:
        """What a rule that only reports would have done, for who decides whether it may go into force."""
        self._metrics.reported(report.rule, report.verdict.name.lower(), report.reason or "")
        self._reports.write(report, read.target.path, read.request_id, read.received)


def _told(answer: web.StreamResponse) -> tuple[int, int, str | None]:
    """Status, bytes of the body, and the reason where it was refused or broke off."""
    if isinstance(answer, RelayedAnswer):
        return answer.status, answer.sent, answer.why
    size = len(answer.body) if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else 0
    return answer.status, size, answer.headers.get("X-Gate-Reason")


def _turned_away(decision: Decision) -> web.Response:
    extra = {} if decision.retry_after is None else {"retry_after": int(decision.retry_after) + 1}
    return problem(decision.reason or Reason.BANNED, extra=extra)


def _plain(answer: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own refusals (no such route, wrong method) in our words."""
    match answer.status:
        case 404:
            return problem(Reason.NOT_FOUND)
        case 405:
            refusal = problem(Reason.METHOD_NOT_ALLOWED)
            refusal.headers["Allow"] = answer.headers.get("Allow", "")
            return refusal
        case 413:
            return problem(Reason.TOO_LARGE)
        case status if status >= 400:
            return problem(Reason.VALIDATION, status=status)
        case _:
            return web.Response(status=answer.status, headers=answer.headers)
