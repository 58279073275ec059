"""Acts on all accounts of a filter in the panel (issue 7.5, security 12, 22)."""

import re

import pytest
from factories import PASSWORD
from forms import Browser, text_of
from gates import bearer

BULK = "/_gate/admin/users/bulk"


async def _called(admin, body):
    headers = {"Cookie": f"gate={admin.cookies['gate']}", "Origin": admin.gate.url}
    return await admin.gate.call("POST", "/_gate/admin/api/users/bulk", headers=headers, json=body)


@pytest.fixture
async def people(gate):
    """Token answers by name."""
    return {name: await gate.newcomer(f"{name}@example.com") for name in ("ada", "bob")}


async def test_whoever_takes_the_last_filter_away_is_back_at_the_list(gate, admin):
    shown = await (await admin.get(f"{BULK}?state=active&act=lock")).text()
    assert 'href="/_gate/admin/users" title="Remove this filter"' in shown
    shown = await (await admin.get(f"{BULK}?state=active&role=staff&act=lock")).text()
    assert 'href="/_gate/admin/users/bulk?role=staff&amp;act=lock" title="Remove this filter"' in shown
    assert 'class="clear" href="/_gate/admin/users"' in shown


async def test_all_of_a_filter_are_locked_once_their_number_was_seen(gate, admin, people):
    listed = await (await admin.get("/_gate/admin/users?state=active")).text()
    assert 'href="/_gate/admin/users/bulk?state=active&amp;act=lock"' in listed
    assert "users/bulk" not in await (await admin.get("/_gate/admin/users")).text()
    asked = await admin.get(f"{BULK}?act=lock&state=active")
    assert "Lock 2 accounts?" in await text_of(asked)  # without the admin's own
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', await asked.text()))
    assert fields == {"act": "lock", "count": "2", "state": "active"}
    await gate.register("late@example.com")
    refused = await admin.submit(BULK, {**fields, "why": "breach"})
    assert (refused.status, "By now 3 accounts fit, and 2 were agreed to" in await text_of(refused)) == (409, True)
    assert await gate.rows("SELECT 1 AS one FROM users WHERE locked") == []
    done = await admin.submit(BULK, {**fields, "count": "3", "why": "breach"})
    assert done.headers["Location"] == "/_gate/admin/users?state=active&done=users-lock"
    for tokens in people.values():
        assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 401
    assert (await admin.get("/_gate/admin/users")).status == 200
    locked = await gate.rows("SELECT email FROM users WHERE locked ORDER BY email")
    assert [row["email"] for row in locked] == ["ada@example.com", "bob@example.com", "late@example.com"]
    changes = await gate.rows("SELECT action, subject, after FROM audit_log WHERE action LIKE 'user.lock%' ORDER BY id")
    assert {change["subject"] for change in changes[:3]} >= {tokens["user"]["id"] for tokens in people.values()}
    assert (changes[3]["action"], changes[3]["subject"]) == ("user.lock-all", "state active")
    assert changes[3]["after"] == {"accounts": 3, "why": "breach"}


async def test_calls_log_out_unlock_and_force_new_passwords(gate, admin, people):
    for act, query in (("logout", {"text": "ada"}), ("lock", {"text": "ada"}), ("unlock", {"state": "locked"})):
        done = await _called(admin, {"act": act, "why": "x", **query})
        assert (done.status, await done.json()) == (200, {"done": f"users-{act}", "changed": 1})
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(people["ada"]))).status == 401
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(people["bob"]))).status == 200
    await gate.login("ada@example.com")
    done = await _called(admin, {"act": "expire-password", "why": "leak", "state": "active", "count": 2})
    assert await done.json() == {"done": "users-expire-password", "changed": 2}
    answer = await gate.post("login", {"email": "bob@example.com", "password": PASSWORD})
    assert (await answer.json(content_type=None))["type"].endswith("password-change-required")
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(people["bob"]))).status == 401


async def test_what_is_meant_has_to_be_said_and_only_admins_say_it(gate, admin, people):
    assert (await admin.get(f"{BULK}?act=lock")).status == 422
    assert (await admin.get(f"{BULK}?act=melt&state=active")).status == 422
    for body, field in (
        ({"act": "lock", "why": "x"}, "/state"),
        ({"act": "lock", "why": " ", "state": "active"}, "/why"),
        ({"act": "melt", "why": "x", "state": "active"}, "/act"),
        ({"act": "lock", "why": "x", "state": "gone"}, "/state"),
        ({"act": "lock", "why": "x", "state": "active", "unknown": "1"}, "/unknown"),
    ):
        refused = await _called(admin, body)
        assert (refused.status, (await refused.json(content_type=None))["errors"][0]["pointer"]) == (422, field)
    browser = Browser(gate)
    await browser.sign_in("ada@example.com", PASSWORD)
    fields = {"act": "lock", "state": "active", "why": "mine"}
    assert (await browser.submit(BULK, fields)).status == 404
    assert (await browser.submit(BULK, fields)).status == 404
    assert await gate.rows("SELECT 1 AS one FROM users WHERE locked") == []
    assert "1 of them" not in await text_of(await admin.get(f"{BULK}?act=lock&text=ada"))
    await gate.give_roles(people["ada"]["user"]["id"], "admin")
    assert "One of them is an admin" in await text_of(await admin.get(f"{BULK}?act=lock&text=ada"))
