"""The rules page: those in force with how often each decided (issue 7.7)."""

import json
import re
from contextlib import closing

import pytest_asyncio
import redis
from factories import PASSWORD
from forms import Browser, text_of
from gates import OneGate, bearer, running_gate
from upstreams import Upstream

from gatekeeper.errors import StoreUnavailable

RULES = [
    {"name": "health", "path": "/health", "methods": ["GET"], "allow": "anyone"},
    {"name": "trial", "path": "/api/**", "allow": {"roles": ["staff"]}, "report_only": True},
    {
        "name": "staff",
        "host": "127.0.0.1",
        "path": "/staff/**",
        "networks": ["127.0.0.0/8"],
        "allow": {"roles": ["staff"]},
        "step_up": "10m",
        "limit": {"rate": "100/minute", "by": "user"},
        "request_headers": {"set": {"X-Secret": "hunter2"}},
    },
    {"name": "api", "path": "/api/**", "allow": "authenticated"},
    {"name": "never", "path": "/never", "allow": "nobody"},
    {"name": "slow", "path": "/slow", "allow": "anyone", "limit": {"rate": "1/minute", "report_only": True}},
    *({"name": f"more-{number}", "path": f"/more/{number}", "allow": "anyone"} for number in range(50)),
]


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def gate_of_class(databases, valkey_of_classes, tmp_path_factory):
    dsn = databases.take()
    with closing(redis.Redis.from_url(valkey_of_classes.url)) as client:
        client.flushall()
    async with Upstream() as recording:
        settings = {
            "mfa": {"require_for_roles": []},
            "rules": RULES,
            "upstreams": {"api": {"targets": [recording.address]}},
        }
        folder = tmp_path_factory.mktemp("gate")
        async with running_gate(dsn, valkey_of_classes.url, folder, **settings) as running:
            yield running
    databases.give_back(dsn)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def admin(gate_of_class):
    """The first admin's browser, and some traffic: 3 public, 3 by a user, 2 by nobody, 1 that no rule takes."""
    gate = gate_of_class
    browser = Browser(gate)
    await browser.submit(f"/_gate/setup/{gate.setup_token}", {"email": "root@example.com", "password": PASSWORD})
    ada = bearer(await gate.newcomer())
    for path in ("/health", "/slow", "/slow"):
        await gate.call("GET", path)
    for _ in range(3):
        await gate.call("GET", "/api/x", headers=ada)
    await gate.call("GET", "/api/x")
    await gate.call("GET", "/staff/x", headers=ada)
    await gate.call("GET", "/staff/x")
    await gate.call("GET", "/nowhere")
    return browser


async def _call(admin, path):
    answer = await admin.get(f"/_gate/admin/api/{path}")
    return answer.status, json.loads(await answer.text())


class TestOfOneGate(OneGate):
    async def test_each_rule_says_how_often_it_let_through_asked_and_refused(self, admin):
        _, told = await _call(admin, "rules")
        hits = {one["name"]: one["hits"] for one in told["rules"]}
        assert hits["health"] == {"allowed": 1, "asked": 0, "refused": 0}
        assert hits["api"] == {"allowed": 3, "asked": 1, "refused": 0}
        assert hits["staff"] == {"allowed": 0, "asked": 1, "refused": 1}
        assert hits["never"] == {"allowed": 0, "asked": 0, "refused": 0}
        assert told["no_rule"] == 1
        last = {one["name"]: one["last_hit"] for one in told["rules"]}
        assert (last["health"], last["never"]) == ("2027-01-15T08:00:00Z", None)

    async def test_a_rule_on_trial_says_what_it_would_have_done_and_a_limit_on_trial_too(self, admin):
        _, told = await _call(admin, "rules")
        found = {one["name"]: one for one in told["rules"]}
        assert (found["trial"]["report_only"], found["trial"]["hits"]) == (
            True,
            {"allowed": 0, "asked": 1, "refused": 3},
        )
        assert (found["slow"]["over_limit"], found["slow"]["hits"]["allowed"]) == (1, 2)
        assert found["trial"]["reasons"] == {"rule-denied": 3, "credentials-missing": 1}

    async def test_rules_are_said_in_words_and_no_value_that_they_set_is(self, admin):
        _, told = await _call(admin, "rules")
        staff = next(one for one in told["rules"] if one["name"] == "staff")
        assert (staff["number"], [(one["key"], one["value"]) for one in staff["matches"]]) == (
            3,
            [("host", "127.0.0.1"), ("path", "/staff/**"), ("networks", "127.0.0.0/8")],
        )
        assert [(one["key"], one["value"]) for one in staff["admits"]] == [
            ("allow", "roles staff"),
            ("step_up", "a login or step-up at most 10m old"),
            ("limit", "100 in 1m by user"),
        ]
        assert {"key": "request_headers", "value": "sets X-Secret"} in staff["does"]
        page = await (await admin.get("/_gate/admin/rules/named/staff")).text()
        assert "X-Secret" in page
        assert "hunter2" not in page + json.dumps(told)

    async def test_long_books_are_paged_and_searched(self, admin):
        _, first = await _call(admin, "rules")
        assert (len(first["rules"]), first["next"]) == (50, 50)
        _, second = await _call(admin, f"rules?after={first['next']}")
        assert [one["number"] for one in second["rules"]] == [51, 52, 53, 54, 55, 56]
        assert second["next"] is None
        _, found = await _call(admin, "rules?find=STAFF")
        assert [one["name"] for one in found["rules"]] == ["trial", "staff"]
        seen = await text_of(await admin.get("/_gate/admin/rules?find=%3Cb%3E"))
        assert "No rule says “<b>”." in seen

    async def test_a_rules_own_page_shows_its_hits_over_time(self, admin):
        seen = await text_of(await admin.get("/_gate/admin/rules/named/trial?range=7d"))
        assert "would have refused 3" in seen
        assert "This rule decides nothing." in seen
        seen = await text_of(await admin.get("/_gate/admin/rules/named/never"))
        assert "It has not decided anything in 31 days." in seen
        assert (await admin.get("/_gate/admin/rules/named/nothing")).status == 404
        assert (await admin.get("/_gate/admin/rules?range=9d")).status == 422

    async def test_counts_begin_with_the_range(self, gate, admin):
        gate.clock.advance(25 * 3600)
        await admin.sign_in("root@example.com", PASSWORD)
        _, told = await _call(admin, "rules")
        assert told["rules"][0]["hits"]["allowed"] == 0
        assert told["rules"][0]["last_hit"] == "2027-01-15T08:00:00Z"
        _, told = await _call(admin, "rules?range=7d")
        assert told["rules"][0]["hits"]["allowed"] == 1

    async def test_without_a_database_rules_are_shown_without_their_hits(self, gate, admin, monkeypatch):
        async def away(*_):
            raise StoreUnavailable("postgres", "away")

        monkeypatch.setattr(type(gate.gatekeeper.reloader.running.stores.rule_hits), "totals", away)
        page = await admin.get("/_gate/admin/rules")
        assert (page.status, "nobody knows how often rules decided" in await page.text()) == (200, True)
        _, told = await _call(admin, "rules")
        assert (told["rules"][0]["name"], told["rules"][0]["hits"], told["no_rule"]) == ("health", None, None)

    async def test_a_pasted_configuration_is_judged_and_shown_as_text(self, gate, admin):
        page = "/_gate/admin/rules/check"
        text = "# <script>alert(1)</script></textarea>\nrules:\n  - {name: a, path: x<b>, allow: anyone}\n"
        answer = await admin.submit(page, {"text": text})
        assert answer.status == 200
        shown = await answer.text()
        assert "rules[0].path" in shown
        assert "<script>alert" not in shown
        assert "<b>" not in shown
        assert gate.gatekeeper.reloader.running.reloads.good
        answer = await admin.submit(page, {"text": "rules:\n  - {name: api, path: /x, allow: nobody}"})
        seen = await text_of(answer)
        assert "It holds." in seen
        assert "Rules changed api" in seen
        assert (await admin.submit(page, {"text": " "})).status == 422
        assert (await admin.submit(page, {"text": "#" * (65 << 10)})).status == 413

    async def test_a_program_is_told_the_same(self, gate, admin):
        cookies = {"Cookie": f"gate={admin.cookies['gate']}", "Sec-Fetch-Site": "same-origin"}
        path = "/_gate/admin/api/rules/check"
        answer = await gate.call("POST", path, json={"text": "rules: 7\nlisten: x"}, headers=cookies)
        told = json.loads(await answer.text())
        assert (told["good"], {one["key"] for one in told["faults"]}) == (False, {"rules", "listen"})
        assert (await gate.call("POST", path, json={"more": "x"}, headers=cookies)).status == 422
        foreign = {**cookies, "Sec-Fetch-Site": "cross-site"}
        assert (await gate.call("POST", path, json={"text": ""}, headers=foreign)).status == 403
        assert (await gate.call("POST", path, json={"text": ""})).status == 401

    async def test_the_tester_knows_keys_and_header_fields(self, admin):
        _, told = await _call(admin, "rules/explain?url=/api/x&scopes=GET%20/api/**,%20reports&user=ada@example.com")
        assert told["allowed"] is True
        assert "which stands for its owner here" in told["caller"]
        _, told = await _call(admin, "rules/explain?url=/api/x&scopes=reports")
        assert (told["allowed"], told["reason"]) == (False, "rule-denied")
        assert (await _call(admin, "rules/explain?url=/api/x&header=X-Env:%20test"))[0] == 200
        for wrong in ("header=X%20Env:1", "header=none", "scopes=/a/../b"):
            page = await admin.get(f"/_gate/admin/rules?url=/api/x&{wrong}")
            assert page.status == 422
            assert re.search(rf'name="{wrong.partition("=")[0]}"[^>]*aria-invalid="true"', await page.text())
