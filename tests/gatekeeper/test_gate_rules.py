"""What rules in full select and count, through the gate: criteria, keys of limits, what only reports."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from factories import ISSUER, access_tokens, ban_list, inbound, key_ring, refresh_tokens, rule_book
from fakes import MemoryKeys, MemoryRecords, MemorySessions

from gatekeeper.authenticator import Authenticator
from gatekeeper.bans.door import Door
from gatekeeper.gate import Gate
from gatekeeper.inbound import HostList
from gatekeeper.tokens.api_keys import KeyReader, KeyUses
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.sessions import Sessions
from policies.model import Decision, Reason, Verdict
from policies.rates import Limit

OTHER = ip_address("10.0.0.2")


class Scene:
    """A gate over sessions in memory, and strangers who ask it."""

    def __init__(self) -> None:
        store, tokens, refresh = MemorySessions(), access_tokens(key_ring()), refresh_tokens()
        cookies = Cookies(secure=False)
        sessions = Sessions(store, MemoryRecords(), tokens, refresh, refresh_ttl=3600, idle_ttl=3600, reuse_window=10)
        bans = ban_list()
        keys = KeyReader(store, MemoryKeys(), KeyUses())
        authenticator = Authenticator(tokens, refresh, store, sessions, cookies, bans, keys)
        self._limit = Limit("default", 100, 60)
        self.gate = Gate(rule_book(), HostList(ISSUER), authenticator, store, cookies, self._limit, Door(bans))

    def follow(self, *rules) -> None:
        self.gate.reload(rule_book(*rules), self._limit)

    async def ask(self, **changes) -> Decision:
        return await self.gate.decide(inbound(**changes))


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_a_request_says_and_where_it_comes_from_select_the_rule(scene):
    scene.follow(
        {"path": "/x", "query": {"debug": "1"}, "allow": "nobody"},
        {"path": "/x", "headers": {"X-Beta": True}, "allow": "authenticated"},
        {"path": "/x", "networks": ["192.0.2.0/24"], "schedule": {"hours": "00:00-24:00"}, "allow": "anyone"},
        {"path": "/x", "countries": ["CH"], "allow": "anyone"},
    )

    async def verdict(path: str = "/x", **changes) -> tuple[str | None, Reason | None]:
        decision = await scene.ask(path=path, **changes)
        return decision.rule.name if decision.rule else None, decision.reason

    assert await verdict() == ("rule-2", None)
    assert await verdict("/x?debug=1") == ("rule-0", Reason.RULE_DENIED)
    assert await verdict("/x?debug=1&debug=0") == (None, Reason.NO_RULE)
    assert await verdict(headers={"x_beta": "yes"}) == ("rule-1", Reason.CREDENTIALS_MISSING)
    assert await verdict(client=ip_address("10.0.0.1")) == (None, Reason.NO_RULE)  # nobody knows the country


@pytest.mark.parametrize(
    ("by", "same", "other"),
    [
        ("rule", {"client": OTHER}, None),
        (
            "header:X-Tenant",
            {"client": OTHER, "headers": {"x-tenant": "a"}},
            {"headers": {"X-Tenant": "b"}},
        ),
        ("address", {"headers": {"X-Tenant": "b"}}, {"client": OTHER}),
    ],
)
async def test_a_limit_counts_together_whom_it_says(scene, by, same, other):
    scene.follow({"path": "/x", "allow": "anyone", "limit": {"rate": "1/minute, 5/1h", "by": by}})
    first = await scene.ask(path="/x", headers={"X-Tenant": "a"})
    assert first.verdict is Verdict.ALLOW
    assert first.standing.limit.policy == '"rule-0";q=1;w=60, "rule-0-3600s";q=5;w=3600'
    assert (await scene.ask(path="/x", **same)).reason is Reason.RATE_LIMITED
    if other is not None:
        assert (await scene.ask(path="/x", **other)).verdict is Verdict.ALLOW


async def test_who_leaves_out_the_header_that_a_limit_goes_by_is_counted_by_address(scene):
    limit = {"rate": "1/minute", "by": "header:X-Tenant"}
    scene.follow({"path": "/x", "allow": "anyone", "limit": limit})
    verdicts = [(await scene.ask(path="/x")).verdict for _ in range(2)]
    assert verdicts == [Verdict.ALLOW, Verdict.DENY]


async def test_a_rule_that_only_reports_decides_nothing_and_says_what_it_would_have_done(scene):
    scene.follow(
        {"path": "/x/**", "allow": {"roles": ["staff"]}, "report_only": True},
        {"path": "/x/y", "allow": "nobody"},
        {"path": "/**", "allow": "anyone"},
    )
    assert scene.gate.rules.trial is not None
    for path, rule, reason in (("/x", "rule-2", None), ("/x/y", "rule-1", Reason.RULE_DENIED)):
        request = inbound(path=path)
        decision = scene.gate.reported(request, await scene.gate.decide(request))
        assert (decision.rule.name, decision.reason) == (rule, reason)
        report = decision.reported
        assert (report.rule, report.verdict, report.reason) == ("rule-0", Verdict.LOGIN, Reason.CREDENTIALS_MISSING)
    elsewhere = inbound(path="/z")
    assert scene.gate.reported(elsewhere, await scene.gate.decide(elsewhere)).reported is None


async def test_a_rule_that_only_reports_shadows_none_and_is_tried_in_its_place(scene):
    scene.follow(
        {"path": "/a", "allow": "anyone"},
        {"path": "/**", "allow": "nobody", "report_only": True},
        {"path": "/**", "allow": "anyone"},
    )
    for path, reported in (("/a", None), ("/b", Reason.RULE_DENIED)):
        request = inbound(path=path)
        decision = scene.gate.reported(request, await scene.gate.decide(request))
        assert decision.verdict is Verdict.ALLOW
        assert (decision.reported and decision.reported.reason) is reported


async def test_a_limit_that_only_reports_refuses_nothing_and_shows_nothing_to_clients(scene):
    scene.follow({"path": "/x", "allow": "anyone", "limit": {"rate": "1/minute", "report_only": True}})
    first, second = [await scene.ask(path="/x") for _ in range(2)]
    assert (first.verdict, first.standing, first.reported) == (Verdict.ALLOW, None, None)
    assert (second.verdict, second.standing) == (Verdict.ALLOW, None)
    assert (second.reported.rule, second.reported.reason) == ("rule-0", Reason.RATE_LIMITED)


def test_books_without_such_rules_have_no_trial(scene):
    scene.follow({"path": "/x", "allow": "anyone"})
    assert scene.gate.rules.trial is None
