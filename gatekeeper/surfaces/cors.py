"""Preflights (the Fetch standard, 4.8) and CORS of the gate's own API.

A preflight carries no credentials, so none are asked for: the gate answers it for the rule that would decide about
the request it announces. It is counted, and refused, like any other request of that address.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from gatekeeper.gate import Gate
from gatekeeper.inbound import InboundRequest
from gatekeeper.surfaces.effects import origin_of
from policies.cors import Cors
from policies.model import Decision, Reason, Verdict

#: Refusals that stand whatever the preflight asks for; the others speak of credentials, which it cannot have.
_STAND: Final = frozenset({Reason.UNKNOWN_HOST, Reason.BANNED, Reason.RATE_LIMITED, Reason.UNTRUSTED_PROXY})


class Preflights:
    """Answers preflights for the rules of ``gate``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def answer(self, inbound: InboundRequest) -> tuple[Decision, web.Response | None] | None:
        """What was decided, and the answer unless it is refused; None: no preflight that a rule admits."""
        method, origin = _asked_method(inbound), origin_of(inbound)
        if method is None or origin is None or not self._gate.rules.has_cors:
            return None
        announced = replace(inbound, method=method)
        rule = self._gate.rules.find(method, announced.target, announced)
        cors = rule.effects.cors if rule is not None and rule.effects is not None else None
        fields = None if cors is None else cors.preflight_fields(origin, method, _asked_headers(inbound))
        if fields is None:
            return None
        decision = await self._gate.decide(announced)
        if decision.reason in _STAND:
            return decision, None
        return Decision(Verdict.ALLOW, None, rule, standing=decision.standing), _preflight(fields)


def _asked_method(inbound: InboundRequest) -> str | None:
    lines = inbound.headers.getall("Access-Control-Request-Method", ())
    return lines[0] if len(lines) == 1 else None


def _asked_headers(inbound: InboundRequest) -> str | None:
    return ", ".join(inbound.headers.getall("Access-Control-Request-Headers", ())) or None


def _preflight(fields: list[tuple[str, str]]) -> web.Response:
    answer = web.Response(status=204, headers={"Cache-Control": "no-store"})
    for name, value in fields:
        answer.headers.add(name, value)
    return answer


class ApiCors:
    """CORS of what is under ``P/auth``: tokens in bodies and Authorization; cookies never come along.

    Without ``cors`` no other origin is let in, and a preflight is a method that nothing there takes.
    """

    def __init__(self, cors: Cors | None, prefix: str) -> None:
        self.cors = cors
        self._under = f"{prefix}/auth/"

    def reload(self, cors: Cors | None) -> None:
        """Other origins, from the next request on."""
        self.cors = cors

    def setup(self, app: web.Application) -> None:
        """Have it obeyed by ``app``."""
        resource = _PreflightsOf(self, f"{self._under}{{tail:.*}}")
        app.router.register_resource(resource)
        resource.add_route("OPTIONS", self._preflight)
        app.on_response_prepare.append(self._prepare)

    async def _preflight(self, request: web.Request) -> web.Response:
        asked = request.headers.get("Access-Control-Request-Method", "")
        headers = request.headers.get("Access-Control-Request-Headers")
        fields = self.cors and self.cors.preflight_fields(request.headers.get("Origin", ""), asked, headers)
        return _preflight(fields or [])

    async def _prepare(self, request: web.Request, answer: web.StreamResponse) -> None:
        if self.cors is not None and request.path.startswith(self._under) and request.method != "OPTIONS":
            for name, value in self.cors.answer_fields(request.headers.get("Origin")):
                answer.headers.add(name, value)


class _PreflightsOf(web.DynamicResource):
    """Is there for preflights only, and only while some origin is let in; otherwise what was there before answers."""

    def __init__(self, api: ApiCors, path: str) -> None:
        super().__init__(path)
        self._api = api

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """The match, and the methods that the path takes."""
        if self._api.cors is None or request.method != "OPTIONS":
            return None, set()
        return await super().resolve(request)
