"""The refusal of a decision, as the proxy and the verify surfaces say it. Called by both."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from gatekeeper.answers import problem, wanted
from gatekeeper.inbound import HostList, InboundRequest
from gatekeeper.surfaces.step_up import step_up_location
from policies.model import Decision, Reason, Verdict

READING = frozenset({"GET", "HEAD"})


def refusal(decision: Decision) -> web.Response:
    """problem+json with the status of ``answers.STATUS``, and what the decision says beside it."""
    reason, extra = decision.reason or Reason.NO_RULE, wanted(decision.step_up)
    if decision.retry_after is not None:
        extra["retry_after"] = int(decision.retry_after) + 1
    answer = problem(reason, extra=extra)
    if decision.standing is not None:
        answer.headers["RateLimit-Policy"] = decision.standing.limit.policy
        answer.headers["RateLimit"] = decision.standing.item
    return with_cookie(answer, decision)


def to_page(asked: InboundRequest, decision: Decision, location: str) -> web.Response:
    """A browser's way to the login or step-up page: 302, or 303 where it asked by another method than GET or HEAD."""
    reason = decision.reason or Reason.CREDENTIALS_MISSING
    answer = web.Response(
        status=302 if asked.method in READING else 303,
        headers={
            "Location": location,
            "Cache-Control": "no-store",
            "X-Gate-Reason": str(reason),
            "Vary": "Cookie, Sec-Fetch-Mode, Accept",
        },
    )
    return with_cookie(answer, decision)


def with_cookie(answer: web.Response, decision: Decision) -> web.Response:
    """The answer, with the cookie of a session that was renewed in passing."""
    if decision.set_cookie is not None:
        answer.headers.add("Set-Cookie", decision.set_cookie)
        answer.headers["Cache-Control"] = "private, no-store"
        answer.headers.add("Vary", "Cookie")
    return answer


def page_path(prefix: str, asked: InboundRequest, decision: Decision) -> str:
    """Path and query of the login or step-up page that leads back to what was asked."""
    if decision.verdict is Verdict.STEP_UP:
        return step_up_location(prefix, asked, decision.step_up)
    back = asked.target.origin_form if asked.method in READING else "/"
    return f"{prefix}/login?next={quote(back, safe='')}"


class PagesElsewhere:
    """Addresses of the gate's pages for other proxies: on the asked host where it is served here, else under
    ``public_url``.
    """

    def __init__(self, hosts: HostList, *, prefix: str, public_url: str) -> None:
        self._hosts = hosts
        self._prefix = prefix
        self._public_url = public_url

    def of(self, asked: InboundRequest, decision: Decision) -> str:
        """The whole address of the page that helps."""
        target = asked.target
        if not self._hosts.serves(target.host, target.port):
            return f"{self._public_url}{self._prefix}/login?next=%2F"
        return f"{target.scheme}://{target.authority}{page_path(self._prefix, asked, decision)}"
