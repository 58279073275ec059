"""The proxy surface: forward what the gate allows, say why it refuses the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import perf_counter
from typing import NamedTuple, assert_never

from aiohttp import HttpVersion11, web

from gatekeeper.answers import problem
from gatekeeper.appkeys import DECISION, INBOUND
from gatekeeper.browsers import is_navigation
from gatekeeper.errors import GatekeeperError, UpstreamTimeout, UpstreamUnavailable
from gatekeeper.gate import Gate
from gatekeeper.inbound import Head, InboundRequest, rate_key
from gatekeeper.inbound.head import MOST_REMEMBERED
from gatekeeper.live import LiveConnections
from gatekeeper.observe.metrics import Metrics
from gatekeeper.surfaces.cors import Preflights
from gatekeeper.surfaces.effects import allow_reading, changed_answer, changed_request, check_length, removed_names
from gatekeeper.surfaces.identity_headers import (
    FORWARDING_NAMES,
    IDENTITY_NAMES,
    ForwardingFields,
    IdentityHeaders,
)
from gatekeeper.surfaces.refusal import page_path, refusal, to_page
from gatekeeper.surfaces.relay import RelayedAnswer, field_lines, is_dated
from gatekeeper.surfaces.tunnel import offer, switch
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.upstream.circuit import CircuitOpen
from gatekeeper.upstream.headers import RawHeaders, request_headers_for_upstream, response_headers_for_client
from gatekeeper.upstream.messages import FieldBlock, OutboundRequest, encode_fields
from gatekeeper.upstream.pool import UpstreamPool
from gatekeeper.upstream.response import AnswerHead, UpstreamResponse
from gatekeeper.upstream.sticky import Route, Sticky
from policies.effects import FieldChanges
from policies.model import Decision, Reason, Verdict
from policies.rules import Rule

_COOKIE_NAMES = frozenset(name.encode() for name in Cookies.EVER)
TOO_MANY = "This session has too many open connections."
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What the proxy needs of the configuration; ``body_limit`` in bytes."""

    prefix: str
    body_limit: int


class Forwarded(NamedTuple):
    """An upstream's answer, and the fields that the client gets with it; ``lines`` are those on the wire, if known."""

    answer: UpstreamResponse
    fields: RawHeaders
    lines: bytes | None


class Proxy:
    """The catch-all handler."""

    def __init__(
        self,
        gate: Gate,
        upstreams: Mapping[str, UpstreamPool],
        identity: IdentityHeaders,
        settings: ProxySettings,
        metrics: Metrics,
        live: LiveConnections,
    ) -> None:
        self._gate = gate
        self._upstreams = upstreams
        self._cookie_names = _own_cookies(upstreams)
        self._identity = identity
        self._forwarding = ForwardingFields()
        self._settings = settings
        self._metrics = metrics
        self._live = live
        self._preflights = Preflights(gate)
        self._known_fields: dict[tuple[Head, bool, FieldChanges | None], FieldBlock] = {}
        self._known_answers: dict[AnswerHead, tuple[RawHeaders, bytes | None]] = {}

    def reload(self) -> None:
        """Other upstreams are in force, and other rules."""
        self._cookie_names = _own_cookies(self._upstreams)
        self._known_fields.clear()
        self._known_answers.clear()  # both hold what the old cookie names let through

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Decide, then forward or refuse."""
        inbound = request[INBOUND]
        if f"{inbound.target.path}/".startswith(f"{self._settings.prefix}/"):
            return problem(Reason.NOT_FOUND)  # the gate's own: whatever no route took is not forwarded
        if "Expect" in request.headers and request.headers["Expect"].lower() != "100-continue":
            return problem(Reason.VALIDATION, status=417)
        if inbound.method == "OPTIONS" and (met := await self.preflight(inbound)) is not None:
            request[DECISION], answer = met
            return answer
        decision = await self._gate.decide(inbound)
        if self._gate.rules.trial is not None:
            decision = self._gate.reported(inbound, decision)
        request[DECISION] = decision
        if decision.verdict is Verdict.ALLOW:
            return await self._forward(request, inbound, decision)
        return self.refuse(inbound, decision)

    async def preflight(self, inbound: InboundRequest) -> tuple[Decision, web.Response] | None:
        """The answer to a preflight that a rule's CORS admits; None for every other request."""
        met = await self._preflights.answer(inbound)
        if met is None:
            return None
        decision, answer = met
        return decision, self.refuse(inbound, decision) if answer is None else answer

    def refuse(self, inbound: InboundRequest, decision: Decision) -> web.Response:
        """The answer to a request that is not forwarded."""
        answer = self._refused(inbound, decision)
        return answer if decision.rule is None else allow_reading(answer, decision.rule.effects, inbound)

    def _refused(self, inbound: InboundRequest, decision: Decision) -> web.Response:
        match decision.verdict:
            case Verdict.LOGIN | Verdict.STEP_UP if is_navigation(inbound.headers):
                return to_page(inbound, decision, page_path(self._settings.prefix, inbound, decision))
            case Verdict.ALLOW:
                raise ValueError("an allowed request is forwarded")
            case Verdict.DENY | Verdict.LOGIN | Verdict.STEP_UP:
                return refusal(decision)
            case _:
                assert_never(decision.verdict)

    async def _forward(self, request: web.Request, inbound: InboundRequest, decision: Decision) -> web.StreamResponse:
        upgrade: tuple[bytes, ...] = ()
        if "Upgrade" in inbound.headers and decision.rule is not None:
            upgrade = offer(request, decision.rule)
            if upgrade and not self._live.has_room(decision.principal):
                return problem(Reason.RATE_LIMITED, detail=TOO_MANY)
        body, length = self._body(request, decision.rule)
        met = await self.forward(inbound, decision, body, length, upgrade)
        if isinstance(met, web.Response):
            return met
        if met.answer.switched is not None:
            return switch(request, met.answer, met.fields, decision, self._live)
        relayed = RelayedAnswer(met.answer, met.fields)
        if met.answer.complete_body is None:
            return await self._stream(request, met.answer, relayed, decision)
        await relayed.send(request)
        return relayed

    async def forward(
        self,
        inbound: InboundRequest,
        decision: Decision,
        body: AsyncIterator[bytes] | bytes | None,
        length: int | None,
        upgrade: tuple[bytes, ...] = (),
    ) -> Forwarded | web.Response:
        """Send an allowed request on; the upstream's answer, or the gate's own where there is none."""
        rule = decision.rule
        if rule is None:  # an Allow without a rule cannot be forwarded anywhere
            return problem(Reason.NO_RULE)
        effects = rule.effects
        pool = self._upstreams[rule.upstream]
        try:
            block = self._fields_for_upstream(inbound, decision, rule)
        except ValueError:
            return problem(Reason.VALIDATION, detail="A header field holds characters that may not be forwarded.")
        outbound = OutboundRequest(inbound.method, inbound.target.origin_form, [], body, length, upgrade, block)
        if effects is not None:
            outbound = changed_request(outbound, effects, inbound)
        route = None if pool.sticky is None else _route(pool.sticky, inbound, decision)
        begun = perf_counter()
        try:
            answer = await pool.send(outbound, route)
        except ValueError:  # the client's body is not what its head said
            return _closing(problem(Reason.VALIDATION, detail="The request cannot be forwarded as it is."))
        except (UpstreamTimeout, UpstreamUnavailable) as fault:
            return allow_reading(_upstream_fault(rule.upstream, fault), effects, inbound)
        self._metrics.upstream(rule.upstream, perf_counter() - begun)
        try:
            fields, lines = self._fields_for_client(answer)
        except ValueError:
            answer.release()
            return allow_reading(_upstream_fault(rule.upstream), effects, inbound)
        if effects is not None:
            fields, lines = changed_answer(fields, effects, inbound), None
        if decision.set_cookie is None and route is None and decision.standing is None:
            return Forwarded(answer, fields, lines)
        return Forwarded(answer, _with_own(fields, decision, route), None)

    async def _stream(
        self, request: web.Request, answer: UpstreamResponse, relayed: RelayedAnswer, decision: Decision
    ) -> web.StreamResponse:
        """An answer that is still arriving ends with the session of whoever asked for it."""
        endless = relayed.endless
        if endless and not self._live.has_room(decision.principal):
            answer.release()
            return problem(Reason.RATE_LIMITED, detail=TOO_MANY)
        live = self._live.add(
            partial(relayed.cut, request),
            decision.principal,
            decision.rule,
            endless=endless,
            client=request[INBOUND].client,
        )
        try:
            await relayed.send(request)
        finally:
            self._live.remove(live)
        return relayed

    def _fields_for_upstream(self, inbound: InboundRequest, decision: Decision, rule: Rule) -> FieldBlock:
        """All fields but framing: the client's, less what it may not say, and the gate's own."""
        lines, hosts = self._clients_fields(inbound, rule)
        lines += self._forwarding.of(inbound, trusted=inbound.trusted)
        lines += self._identity.for_upstream(decision.principal, inbound, rule.upstream)
        return FieldBlock(lines, hosts)

    def _clients_fields(self, inbound: InboundRequest, rule: Rule) -> FieldBlock:
        head = inbound.head
        changes = None if rule.effects is None else rule.effects.request
        known = None if head is None else self._known_fields.get((head, rule.pass_authorization, changes))
        if known is not None:
            return known
        fields = request_headers_for_upstream(
            list(inbound.raw_headers),
            identity_names=IDENTITY_NAMES,
            cookie_names=self._cookie_names,
            pass_authorization=rule.pass_authorization and not _is_bearer(inbound),
            drop=FORWARDING_NAMES if changes is None else FORWARDING_NAMES | removed_names(changes),
            set_fields=() if changes is None else changes.put,
        )
        block = encode_fields(fields)
        if head is not None:
            if len(self._known_fields) >= MOST_REMEMBERED:
                self._known_fields.clear()
            self._known_fields[head, rule.pass_authorization, changes] = block
        return block

    def _fields_for_client(self, answer: UpstreamResponse) -> tuple[RawHeaders, bytes | None]:
        """The upstream's fields, less what does not cross the gate; also as lines on the wire, where they are known.

        Raises ValueError for what is no field.
        """
        head = answer.head
        known = None if head is None else self._known_answers.get(head)
        if known is not None:
            return known
        fields = response_headers_for_client(answer.headers, cookie_names=self._cookie_names)
        if head is None:
            return fields, None
        if len(self._known_answers) >= MOST_REMEMBERED:
            self._known_answers.clear()
        found = self._known_answers[head] = fields, field_lines(fields) if is_dated(fields) else None
        return found

    def _body(self, request: web.Request, rule: Rule | None) -> tuple[AsyncIterator[bytes] | bytes | None, int | None]:
        if not request.can_read_body:
            return None, None
        length, limit = request.content_length, self._settings.body_limit
        if rule is not None and rule.effects is not None and rule.effects.body is not None:
            limit = rule.effects.body
        if length is not None:
            check_length(length, limit)
        if length is not None and request.content.is_eof():
            whole = request.content.read_nowait()
            return whole, len(whole)
        return _parts(request, limit), length


def _own_cookies(upstreams: Mapping[str, UpstreamPool]) -> frozenset[bytes]:
    """The cookies that are between client and gate alone."""
    routes = [pool.sticky.cookie_names for pool in upstreams.values() if pool.sticky is not None]
    return _COOKIE_NAMES.union(*routes)


async def _parts(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    if request.version == HttpVersion11 and "Expect" in request.headers and request.transport is not None:
        request.transport.write(_CONTINUE)
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        check_length(size, limit)
        yield part


def _upstream_fault(upstream: str, fault: GatekeeperError | None = None) -> web.Response:
    """502 or 504, naming the upstream and never its address; with Retry-After where it was not even asked."""
    reason = Reason.UPSTREAM_TIMEOUT if isinstance(fault, UpstreamTimeout) else Reason.UPSTREAM_UNAVAILABLE
    extra: dict[str, object] = {"upstream": upstream}
    if isinstance(fault, CircuitOpen):
        extra["retry_after"] = ceil(fault.retry_after)
    return problem(reason, extra=extra)


def _with_own(fields: RawHeaders, decision: Decision, route: Route | None) -> RawHeaders:
    """The upstream's fields and what the gate itself has to say."""
    for cookie in (decision.set_cookie, None if route is None else route.set_cookie):
        if cookie is not None:
            fields = [*_without_caching(fields), *_cookie_fields(cookie)]
    if decision.standing is not None:
        fields = [
            *fields,
            (b"RateLimit-Policy", decision.standing.limit.policy.encode()),
            (b"RateLimit", decision.standing.item.encode()),
        ]
    return fields


def _closing(answer: web.Response) -> web.Response:
    answer.force_close()
    return answer


def _route(sticky: Sticky, inbound: InboundRequest, decision: Decision) -> Route:
    client = rate_key(inbound.client) if decision.principal is None else decision.principal.subject
    return sticky.route(client, inbound.headers.getall("Cookie", ()))


def _is_bearer(inbound: InboundRequest) -> bool:
    return inbound.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"


def _cookie_fields(value: str) -> RawHeaders:
    return [(b"Set-Cookie", value.encode()), (b"Cache-Control", b"private, no-store"), (b"Vary", b"Cookie")]


def _without_caching(fields: RawHeaders) -> RawHeaders:
    return [field for field in fields if field[0].lower() not in {b"cache-control", b"expires", b"pragma"}]
