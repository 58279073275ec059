"""``P/verify``: nginx ``auth_request`` and ingress-nginx ask whether a request may pass.

nginx knows 2xx, 401 and 403; anything else becomes a 500 there. So a limit, a lost store or a bad target is 403
with X-Gate-Reason. What is asked comes in headers and counts only from a trusted proxy.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from aiohttp import web
from multidict import istr

from gatekeeper.answers import STATUS, challenge, wanted
from gatekeeper.appkeys import DECISION, INBOUND
from gatekeeper.gate import Gate
from gatekeeper.inbound import HostList, InboundRequest, TrustedProxies, canonical_target, derive_client, is_method
from gatekeeper.surfaces.identity_headers import IDENTITY, IdentityHeaders
from gatekeeper.surfaces.step_up import step_up_location
from policies.model import Decision, Reason, RequestTarget, Verdict

_METHOD, _FOR, _PROTO = istr("X-Original-Method"), istr("X-Forwarded-For"), istr("X-Forwarded-Proto")
_URL, _URI = istr("X-Original-URL"), istr("X-Original-URI")
_ORIGINAL_URL = re.compile(r"(https?)://([^/?#\s]+)(/[^\s]*)?")


class NginxVerify:
    """The handler; any method."""

    def __init__(
        self,
        gate: Gate,
        identity: IdentityHeaders,
        trusted: TrustedProxies,
        hosts: HostList,
        *,
        prefix: str,
        public_url: str,
    ) -> None:
        self._gate = gate
        self._identity = identity
        self._trusted = trusted
        self._hosts = hosts
        self._prefix = prefix
        self._public_url = public_url

    async def handle(self, request: web.Request) -> web.Response:
        """200, 401 or 403, never another; at most one Set-Cookie."""
        decision, asked = await self.ask(request[INBOUND])
        request[DECISION] = decision
        return self.say(decision, asked)

    async def ask(self, inbound: InboundRequest) -> tuple[Decision, InboundRequest]:
        """The decision about the request that nginx asks about, and that request."""
        if not inbound.trusted:
            return Decision(reason=Reason.UNTRUSTED_PROXY), inbound
        asked = self._asked(inbound)
        if asked is None:
            return Decision(reason=Reason.BAD_TARGET), inbound
        decision = await self._gate.decide(asked)
        if self._gate.rules.trial is not None:
            decision = self._gate.reported(asked, decision)
        return decision, asked

    def allowed(self, decision: Decision, asked: InboundRequest) -> bytes:
        """The identity fields of a 200, as lines on the wire."""
        return self._identity.for_verify(decision.principal, asked, asked.target.host)

    def _asked(self, inbound: InboundRequest) -> InboundRequest | None:
        """The request that nginx asks about; None where its description is missing, doubled or malformed."""
        fields = inbound.headers
        methods, chain = fields.getall(_METHOD, ()), fields.getall(_FOR, ())
        if len(methods) != 1 or len(chain) != 1 or not is_method(methods[0]):
            return None
        client, target = derive_client(inbound.peer, chain, self._trusted), self._target(inbound)
        if target is None or client is None:
            return None
        return InboundRequest(
            methods[0],
            target,
            client,
            inbound.peer,
            fields,
            inbound.raw_headers,
            inbound.request_id,
            inbound.received,
            inbound.head,
            inbound.trusted,
        )

    def _target(self, inbound: InboundRequest) -> RequestTarget | None:
        urls = inbound.headers.getall(_URL, [])
        uris = inbound.headers.getall(_URI, [])
        if len(urls) + len(uris) != 1:
            return None
        if uris:
            return canonical_target(uris[0], scheme=self._scheme(inbound), host_field=inbound.target.authority)
        match = _ORIGINAL_URL.fullmatch(urls[0])
        if match is None:
            return None
        target = canonical_target(match[3] or "/", scheme=match[1], host_field=match[2])
        # A Host that disagrees with the URL would let one vhost be asked about and another be served.
        return target if target is not None and target.host == inbound.target.host else None

    def _scheme(self, inbound: InboundRequest) -> str:
        lines = inbound.headers.getall(_PROTO, [])
        return lines[0] if len(lines) == 1 and lines[0] in {"http", "https"} else inbound.target.scheme

    def say(self, decision: Decision, asked: InboundRequest) -> web.Response:
        """The answer: at most one Set-Cookie."""
        answer = web.Response(headers={"Cache-Control": "no-store"})
        if decision.set_cookie is not None:
            answer.headers["Set-Cookie"] = decision.set_cookie
            answer.headers["Cache-Control"] = "private, no-store"
        if decision.verdict is Verdict.ALLOW:
            values = self._identity.values(decision.principal, asked, asked.target.host)
            answer.headers.update(zip(IDENTITY, values, strict=True))
            return answer
        reason = decision.reason or Reason.NO_RULE
        answer.headers["X-Gate-Reason"] = str(reason)
        if STATUS[reason] == 401:
            answer.set_status(401)
            answer.headers["WWW-Authenticate"] = challenge(reason, wanted(decision.step_up))
            answer.headers["Location"] = self._page(decision, asked)
            return answer
        answer.set_status(403)
        if decision.retry_after is not None:
            answer.headers["Retry-After"] = str(int(decision.retry_after) + 1)
        return answer

    def _page(self, decision: Decision, asked: InboundRequest) -> str:
        """The login or step-up page: on the asked host where it is served here, else under public_url."""
        target = asked.target
        back = target.origin_form if asked.method in {"GET", "HEAD"} else "/"
        base = f"{target.scheme}://{target.authority}"
        if not self._hosts.serves(target.host, target.port):
            base, back = self._public_url, "/"
        elif decision.verdict is Verdict.STEP_UP:
            return base + step_up_location(self._prefix, asked, decision.step_up)
        return f"{base}{self._prefix}/login?next={quote(back, safe='')}"
