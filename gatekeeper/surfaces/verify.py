"""``P/verify…``: another proxy asks whether a request may pass. Called by ``app.build`` and ``surfaces.express``.

A ``Verify`` is a dialect, which reads what is asked (``surfaces.asked``), and a way to refuse. Its 200 has identity
fields, empty where unknown, for the asking proxy to put over what a client sent (security 3), and where that proxy
can take them what remains of the client's cookies (``surfaces.remaining``).

nginx knows 2xx, 401 and 403; anything else becomes a 500 there. So a limit, a lost store or a bad target is 403 with
X-Gate-Reason. Every other proxy hands an answer on as it is, and gets what the gate's own proxy would say.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gatekeeper.answers import STATUS, challenge, wanted
from gatekeeper.appkeys import DECISION, INBOUND
from gatekeeper.browsers import is_navigation
from gatekeeper.gate import Gate
from gatekeeper.inbound import InboundRequest, TrustedProxies
from gatekeeper.surfaces.asked import Dialect
from gatekeeper.surfaces.effects import allow_reading
from gatekeeper.surfaces.identity_headers import IDENTITY, IdentityHeaders
from gatekeeper.surfaces.refusal import PagesElsewhere, refusal, to_page, with_cookie
from gatekeeper.surfaces.remaining import Remaining
from policies.model import Decision, Reason, Verdict

Refuse = Callable[[Decision, InboundRequest], web.Response]


class Verify:
    """One verify endpoint; any method."""

    def __init__(
        self,
        gate: Gate,
        identity: IdentityHeaders,
        trusted: TrustedProxies,
        dialect: Dialect,
        refuse: Refuse,
        remaining: Remaining | None = None,
    ) -> None:
        self._gate = gate
        self._identity = identity
        self._trusted = trusted
        self._dialect = dialect
        self._refuse = refuse
        self._remaining = remaining

    async def handle(self, request: web.Request) -> web.Response:
        """200, or what ``refuse`` says; at most one Set-Cookie."""
        decision, asked = await self.ask(request[INBOUND])
        request[DECISION] = decision
        return self.say(decision, asked)

    async def ask(self, inbound: InboundRequest) -> tuple[Decision, InboundRequest]:
        """The decision about the request that is asked about, and that request."""
        if not inbound.trusted:
            return Decision(reason=Reason.UNTRUSTED_PROXY), inbound
        asked = self._dialect(inbound, self._trusted)
        if asked is None:
            return Decision(reason=Reason.BAD_TARGET), inbound
        decision = await self._gate.decide(asked)
        if self._gate.rules.trial is not None:
            decision = self._gate.reported(asked, decision)
        return decision, asked

    def allowed(self, decision: Decision, asked: InboundRequest) -> bytes:
        """The fields of a 200 that are for the app, as lines on the wire."""
        lines = self._identity.for_verify(decision.principal, asked, asked.target.host)
        return lines if self._remaining is None else lines + self._remaining.lines(asked, decision.rule)

    def say(self, decision: Decision, asked: InboundRequest) -> web.Response:
        """The answer: at most one Set-Cookie."""
        if decision.verdict is not Verdict.ALLOW:
            return self._refuse(decision, asked)
        answer = web.Response(headers={"Cache-Control": "no-store"})
        answer.headers.update(
            zip(IDENTITY, self._identity.values(decision.principal, asked, asked.target.host), strict=True)
        )
        if self._remaining is not None:
            answer.headers.update(self._remaining.fields(asked, decision.rule))
        return with_cookie(answer, decision)


class NginxRefusals:
    """401 with the page that helps in Location, else 403; no body, since nginx drops it."""

    def __init__(self, pages: PagesElsewhere) -> None:
        self._pages = pages

    def __call__(self, decision: Decision, asked: InboundRequest) -> web.Response:
        reason = decision.reason or Reason.NO_RULE
        answer = web.Response(status=403, headers={"Cache-Control": "no-store", "X-Gate-Reason": str(reason)})
        if STATUS[reason] == 401:
            answer.set_status(401)
            answer.headers["WWW-Authenticate"] = challenge(reason, wanted(decision.step_up))
            answer.headers["Location"] = self._pages.of(asked, decision)
        elif decision.retry_after is not None:
            answer.headers["Retry-After"] = str(int(decision.retry_after) + 1)
        return with_cookie(answer, decision)


class ForwardRefusals:
    """As the gate's own proxy refuses; a navigating browser is led to the page that helps."""

    def __init__(self, pages: PagesElsewhere) -> None:
        self._pages = pages

    def __call__(self, decision: Decision, asked: InboundRequest) -> web.Response:
        if decision.verdict in {Verdict.LOGIN, Verdict.STEP_UP} and is_navigation(asked.headers):
            answer = to_page(asked, decision, self._pages.of(asked, decision))
        else:
            answer = refusal(decision)
        return answer if decision.rule is None else allow_reading(answer, decision.rule.effects, asked)
