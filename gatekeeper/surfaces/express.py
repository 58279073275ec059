"""Forwarded and verified requests on the lean connection of ``server.lane``: one reader and one renderer more.

What is decided, what an upstream gets and which of its fields a client gets are the proxy's and verify's own; here
is only how a request comes off a ``Lane`` and how its answer is written there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from gatekeeper.answers import problem, say
from gatekeeper.errors import Problem, StoreUnavailable, UpstreamTimeout, UpstreamUnavailable
from gatekeeper.gate import Gate
from gatekeeper.inbound import WELL_KNOWN, Arrival, Head, InboundRequest, RequestReader
from gatekeeper.live import Ending, LiveConnections
from gatekeeper.observe.metrics import Metrics
from gatekeeper.server.lane import Lane
from gatekeeper.server.refusals import FAILED
from gatekeeper.surfaces.entrance import CLIENT_LEFT, Entrance, ForPeople
from gatekeeper.surfaces.proxy import TOO_MANY, Forwarded, Proxy
from gatekeeper.surfaces.relay import answer_head, is_endless, without_body
from gatekeeper.surfaces.verify import Verify
from gatekeeper.upstream.tunnel import probe_peer
from policies.model import Decision, Reason, Verdict

_log = logging.getLogger("gatekeeper.express")
_VERIFIED: Final = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n%bContent-Length: 0\r\nDate: %b\r\n%b\r\n"
_CLOSE: Final = b"Connection: close\r\n"


class _Exchange:
    """One request and what became of it, for the log."""

    __slots__ = ("decision", "for_people", "inbound", "lane", "reason", "size", "status")

    def __init__(self, lane: Lane, inbound: InboundRequest, for_people: ForPeople) -> None:
        self.for_people = for_people
        self.lane = lane
        self.inbound = inbound
        self.decision: Decision | None = None
        self.status = CLIENT_LEFT
        self.size = 0
        self.reason: str | None = None


class Express:
    """Serves what a lane has read; ``verifies`` are the verify endpoints of one target each."""

    def __init__(
        self,
        reader: RequestReader,
        gate: Gate,
        proxy: Proxy,
        verifies: Mapping[str, Verify],
        entrance: Entrance,
        live: LiveConnections,
        metrics: Metrics,
        *,
        prefix: str,
    ) -> None:
        self._reader = reader
        self._gate = gate
        self._proxy = proxy
        self._verifies = verifies
        self._entrance = entrance
        self._live = live
        self._metrics = metrics
        self._own = prefix

    def read(self, method: str, target: str, head: Head, arrival: Arrival) -> InboundRequest | None:
        """The request; None for the gate's own endpoints but verify, and for what is to be refused."""
        inbound = self._reader.read_head(method, target, head, arrival)
        if not isinstance(inbound, InboundRequest):
            return None
        path = inbound.target.path
        if path.startswith(self._own) and f"{path}/".startswith(f"{self._own}/") and target not in self._verifies:
            return None
        if path == WELL_KNOWN:
            return None
        return inbound

    async def serve(self, lane: Lane, inbound: InboundRequest, body: bytes | None) -> None:
        """Decide and answer."""
        begun = perf_counter()
        self._metrics.in_flight += 1
        exchange = _Exchange(lane, inbound, self._entrance.for_people)
        try:
            verify = self._verifies.get(inbound.target.path)
            if verify is None:
                await self._forward(exchange, body)
            else:
                await _ask(exchange, verify)
        except Problem as fault:
            _say(exchange, say(fault))
        except Exception as fault:  # noqa: BLE001 - no fault may leave the client without an answer
            self._failed(exchange, fault)
        finally:
            self._metrics.in_flight -= 1
            self._entrance.record(
                inbound, exchange.decision, exchange.status, exchange.size, exchange.reason, perf_counter() - begun
            )
            lane.done()

    async def _forward(self, exchange: _Exchange, body: bytes | None) -> None:
        inbound = exchange.inbound
        if inbound.method == "OPTIONS" and (told := await self._proxy.preflight(inbound)) is not None:
            exchange.decision, answer = told
            _say(exchange, answer)
            return
        decision = await self._gate.decide(inbound)
        if self._gate.rules.trial is not None:
            decision = self._gate.reported(inbound, decision)
        exchange.decision = decision
        if decision.verdict is not Verdict.ALLOW:
            _say(exchange, self._proxy.refuse(inbound, decision))
            return
        met = await self._proxy.forward(inbound, decision, body, None if body is None else len(body))
        if isinstance(met, web.Response):
            _say(exchange, met)
        elif met.answer.complete_body is None:
            await self._stream(exchange, met, decision)
        else:
            _relay(exchange, met, met.answer.complete_body)

    async def _stream(self, exchange: _Exchange, met: Forwarded, decision: Decision) -> None:
        """An answer that is still arriving ends with the session of whoever asked for it."""
        endless = is_endless(met.fields)
        if endless and not self._live.has_room(decision.principal):
            met.answer.release()
            _say(exchange, problem(Reason.RATE_LIMITED, detail=TOO_MANY))
            return
        live = self._live.add(
            partial(_cut, exchange, met),
            decision.principal,
            decision.rule,
            endless=endless,
            client=exchange.inbound.client,
        )
        try:
            await _relay_parts(exchange, met, endless=endless)
        finally:
            self._live.remove(live)
            met.answer.release()

    def _failed(self, exchange: _Exchange, fault: Exception) -> None:
        """The client gets an answer where none has begun, and no details in any case (security 28)."""
        lane = exchange.lane
        if exchange.status != CLIENT_LEFT or isinstance(fault, ConnectionResetError):
            lane.abort()
            return
        if isinstance(fault, StoreUnavailable):
            _log.warning("request %s: %s", exchange.inbound.request_id, fault)
            _say(exchange, problem(Reason.STORE_UNAVAILABLE))
            return
        request_id = exchange.inbound.request_id
        _log.error("request %s failed", request_id, exc_info=fault, extra={"request_id": request_id})
        lane.keep_alive = False
        _say(exchange, web.Response(body=FAILED, status=500, content_type="application/problem+json"))


async def _ask(exchange: _Exchange, verify: Verify) -> None:
    decision, asked = await verify.ask(exchange.inbound)
    exchange.decision = decision
    if decision.verdict is not Verdict.ALLOW or decision.set_cookie is not None:
        _say(exchange, verify.say(decision, asked))
        return
    lane, fields = exchange.lane, verify.allowed(decision, asked)
    exchange.status = 200
    lane.write(_VERIFIED % (fields, rfc822_formatted_time().encode(), b"" if lane.keep_alive else _CLOSE))


def _relay(exchange: _Exchange, met: Forwarded, body: bytes) -> None:
    """An answer that has arrived whole: one write."""
    lane, asked_head = exchange.lane, exchange.inbound.method == "HEAD"
    if without_body(met.answer.status, asked_head=asked_head):
        body = b""
    head = answer_head(
        met.answer,
        met.fields,
        len(body),
        chunked=False,
        keep_alive=lane.keep_alive,
        asked_head=asked_head,
        lines=met.lines,
    )
    exchange.status, exchange.size = met.answer.status, len(body)
    lane.write(head + body)


async def _relay_parts(exchange: _Exchange, met: Forwarded, *, endless: bool) -> None:
    """As ``RelayedAnswer`` says: one of known length is timed between its parts, others pause as long as they like."""
    lane, answer = exchange.lane, met.answer
    length = answer.content_length
    if length is None or endless:
        answer.allow_silence(endless=endless)
        if lane.transport is not None:
            probe_peer(lane.transport)
    head = answer_head(answer, met.fields, length, chunked=length is None, keep_alive=lane.keep_alive, asked_head=False)
    exchange.status = answer.status
    lane.write(head)
    try:
        while part := await answer.read():
            exchange.size += len(part)
            lane.write(part if length is not None else b"%x\r\n%b\r\n" % (len(part), part))
            await lane.writable()
    except (UpstreamUnavailable, UpstreamTimeout):
        exchange.reason = exchange.reason or Reason.UPSTREAM_UNAVAILABLE
        lane.abort()
        return
    if length is None:
        lane.write(b"0\r\n\r\n")


def _cut(exchange: _Exchange, met: Forwarded, ending: Ending) -> None:
    """End a body that is still arriving, without its end; on a drain after what was already written."""
    lane = exchange.lane
    met.answer.release()
    lane.keep_alive = False
    if ending is not Ending.DRAIN:
        exchange.reason = Reason(ending.value)
        lane.abort()
    elif lane.transport is not None:
        lane.transport.close()


def _say(exchange: _Exchange, answer: web.Response) -> None:
    """An answer of the gate's own."""
    if answer.status >= 400:
        answer = exchange.for_people(exchange.inbound, answer)
    lane, body = exchange.lane, answer.body if isinstance(answer.body, bytes) else b""
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Length: {len(body)}", f"Date: {rfc822_formatted_time()}"]
    if answer.keep_alive is False:
        lane.keep_alive = False
    if not lane.keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    exchange.status, exchange.size = answer.status, len(body)
    exchange.reason = answer.headers.get("X-Gate-Reason")
    lane.write(head if exchange.inbound.method == "HEAD" else head + body)
