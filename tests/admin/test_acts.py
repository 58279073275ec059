"""What admins do in the panel: who may, how fresh they must be, and what the audit log says (security 8, 12, 22)."""

import json
import re

import pytest
from factories import PASSWORD
from forms import Browser, text_of
from gates import bearer


async def _user(gate, email="ada@example.com"):
    return (await gate.register(email))["id"]


async def _auditor(gate):
    await gate.give_roles(await _user(gate, "audit@example.com"), "auditor")
    browser = Browser(gate)
    await browser.sign_in("audit@example.com", PASSWORD)
    return browser


async def _changes(gate, action):
    return await gate.rows(
        f"SELECT actor, subject, before, after, host(address) AS address FROM audit_log WHERE action = '{action}'"
    )


async def test_a_lock_ends_every_session_and_says_who_and_why(gate, admin):
    """security 12, 22"""
    user = await _user(gate)
    tokens = await gate.login("ada@example.com")
    answer = await admin.submit(f"/_gate/admin/users/{user}/lock", {"why": "lost laptop"})
    assert (answer.status, answer.headers["Location"]) == (303, f"/_gate/admin/users/{user}?done=user-locked")
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 401
    assert "is locked" in await text_of(await admin.get(answer.headers["Location"]))
    (change,) = await _changes(gate, "user.lock")
    (row,) = await gate.rows("SELECT id FROM users WHERE email = 'root@example.com'")
    assert (change["actor"], change["subject"], change["address"]) == (str(row["id"]), user, "127.0.0.1")
    assert (change["before"]["locked"], change["after"]["locked"]) == (False, True)
    assert change["after"]["why"] == "lost laptop"


@pytest.mark.parametrize("act", ["lock", "logout", "roles", "reset-factors", "unlock", "revoke-key", "expire-password"])
async def test_nothing_is_done_without_a_reason(gate, admin, act):
    user = await _user(gate)
    answer = await admin.submit(f"/_gate/admin/users/{user}/{act}", {"why": "  "})
    assert answer.status == 422
    assert "Say why" in await text_of(answer)
    assert len(await gate.rows("SELECT 1 FROM audit_log WHERE actor <> subject AND action LIKE 'user.%'")) == 0


async def test_an_old_login_is_asked_to_prove_itself_first(gate, admin):
    """security 22: changes need a step-up of the last 5 minutes"""
    user = await _user(gate)
    gate.clock.advance(301)
    assert (await admin.get(f"/_gate/admin/users/{user}")).status == 200
    answer = await admin.submit(f"/_gate/admin/users/{user}/lock", {"why": "x"})
    assert answer.status == 303
    assert answer.headers["Location"].startswith("/_gate/step-up?next=")
    assert answer.headers["X-Gate-Reason"] == "step-up-required"
    assert await _changes(gate, "user.lock") == []
    call = await gate.call(
        "POST",
        f"/_gate/admin/api/users/{user}/lock",
        json={"why": "x"},
        headers={"Cookie": f"gate={admin.cookies['gate']}", "Origin": gate.url},
    )
    assert (call.status, call.headers["X-Gate-Reason"]) == (401, "step-up-required")
    assert "max_age=300" in call.headers["WWW-Authenticate"]
    await admin.submit("/_gate/step-up", {"method": "password", "password": PASSWORD})
    assert (await admin.submit(f"/_gate/admin/users/{user}/lock", {"why": "x"})).status == 303
    assert len(await _changes(gate, "user.lock")) == 1


async def test_an_idle_stay_ends_and_a_page_that_asks_by_itself_does_not_prolong_it(gate, admin):
    """security 22: idle 15 min"""
    gate.clock.advance(600)
    assert (await admin.get("/_gate/admin/")).status == 200
    gate.clock.advance(600)
    assert (await admin.get("/_gate/admin/", **{"HX-Request": "true"})).status == 200
    gate.clock.advance(301)
    answer = await admin.get("/_gate/admin/")
    assert answer.status == 302
    assert answer.headers["Location"].startswith("/_gate/step-up?next=")
    await admin.submit("/_gate/step-up", {"method": "password", "password": PASSWORD})
    assert (await admin.get("/_gate/admin/")).status == 200


async def test_auditors_look_and_change_nothing(gate, admin):
    """security 22"""
    user, auditor = await _user(gate), await _auditor(gate)
    for path in ("", "logins", "sessions", "users", f"users/{user}", "bans", "rules", "activity", "keys", "config"):
        page = await auditor.get(f"/_gate/admin/{path}")
        assert page.status == 200
        posts = re.findall(r'method="post" action="([^"]+)"', await page.text())
        assert set(posts) <= {"/_gate/admin/activity/verify"}  # which changes nothing
    for path in (
        f"users/{user}/lock",
        "users/invite",
        "users/new",
        f"users/{user}/revoke-key",
        f"users/{user}/expire-password",
        f"users/{user}/forget-device",
        "logins/00000000-0000-4000-8000-000000000000/trust",
        "sessions/end",
        "bans",
        "bans/lift",
        "rules/reload",
        "keys/rotate",
    ):
        answer = await auditor.submit(f"/_gate/admin/{path}", {"why": "x", "subject": "192.0.2.1", "user": "ada"})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "rule-denied")
    assert await gate.rows("SELECT 1 FROM bans") == []


async def test_others_learn_nothing_of_acts(gate, admin, ada):
    """security 22"""
    for browser in (ada, Browser(gate)):
        answer = await browser.submit("/_gate/admin/bans", {"subject": "192.0.2.1", "why": "x"})
        assert answer.status == (404 if browser is ada else 303)
    assert await gate.rows("SELECT 1 FROM bans") == []


@pytest.mark.parametrize("headers", [{"Origin": "http://elsewhere.example"}, {"Origin": None, "Sec-Fetch-Site": None}])
async def test_an_act_of_another_site_does_nothing(gate, admin, headers):
    """security 8"""
    answer = await admin.submit("/_gate/admin/bans", {"subject": "192.0.2.1", "why": "x"}, headers)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    assert await gate.rows("SELECT 1 FROM bans") == []


async def test_nobody_shuts_themselves_out(gate, admin):
    (row,) = await gate.rows("SELECT id FROM users WHERE email = 'root@example.com'")
    for act, fields in (("lock", {}), ("roles", {"roles": "staff"}), ("reset-factors", {})):
        answer = await admin.submit(f"/_gate/admin/users/{row['id']}/{act}", {"why": "x", **fields})
        assert answer.status == 422, act
    assert (await admin.get("/_gate/admin/")).status == 200


async def test_roles_and_factors_and_logout(gate, admin):
    user = await _user(gate)
    base = f"/_gate/admin/users/{user}"
    await admin.submit(f"{base}/roles", {"why": "new job", "roles": "staff, ops"})
    (row,) = await gate.rows(f"SELECT roles FROM users WHERE id = '{user}'")
    assert row["roles"] == ["ops", "staff"]
    assert (await admin.submit(f"{base}/roles", {"why": "x", "roles": "not/one"})).status == 422
    tokens = await gate.login("ada@example.com")
    await admin.submit(f"{base}/reset-factors", {"why": "new phone"})
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 401
    (change,) = await _changes(gate, "user.reset-factors")
    assert change["after"]["why"] == "new phone"
    await admin.submit(f"{base}/lock", {"why": "x"})
    await admin.submit(f"{base}/unlock", {"why": "found"})
    assert (await gate.login("ada@example.com"))["user"]["id"] == user


@pytest.mark.parametrize("user", ["nonsense", "00000000-0000-4000-8000-000000000000"])
async def test_an_unknown_user_is_said_to_be_unknown(admin, user):
    assert (await admin.get(f"/_gate/admin/users/{user}")).status == 404
    assert (await admin.submit(f"/_gate/admin/users/{user}/lock", {"why": "x"})).status == 404


async def test_one_session_ends_and_the_others_go_on(gate, admin):
    """security 12"""
    await _user(gate)
    first, second = [await gate.login("ada@example.com") for _ in range(2)]
    answer = await admin.submit(f"/_gate/admin/sessions/{first['session_id']}/end", {"why": "odd place"})
    assert answer.headers["Location"] == "/_gate/admin/sessions?done=session-ended"
    ask = [await gate.call("GET", "/_gate/auth/session", headers=bearer(one)) for one in (first, second)]
    assert [one.status for one in ask] == [401, 200]
    page = await text_of(await admin.get(f"/_gate/admin/sessions/{first['session_id']}"))
    assert "over" in page
    assert "ended-by-admin" in page
    (change,) = await _changes(gate, "session.end")
    assert (change["subject"], change["after"]["why"]) == (first["session_id"], "odd place")


async def test_all_sessions_of_a_filter_end_after_a_count_and_never_ones_own(gate, admin):
    await _user(gate)
    tokens = [await gate.login("ada@example.com") for _ in range(3)]
    page = await text_of(await admin.get("/_gate/admin/sessions/end?user=example.com"))
    assert "End 4 sessions?" in page
    assert (await admin.submit("/_gate/admin/sessions/end", {"why": "x"})).status == 422
    await admin.submit("/_gate/admin/sessions/end", {"user": "example.com", "why": "breach"})
    for one in tokens:
        assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(one))).status == 401
    assert (await admin.get("/_gate/admin/sessions")).status == 200
    (change,) = await _changes(gate, "session.end-all")
    assert change["after"] == {"sessions": 3, "why": "breach"}


async def test_the_same_by_calls(gate, admin):
    user = await _user(gate)
    tokens = await gate.login("ada@example.com")
    root = await gate.login("root@example.com")
    answer = await gate.call("DELETE", f"/_gate/admin/api/sessions/{tokens['session_id']}", headers=bearer(root))
    assert json.loads(await answer.text()) == {"done": "session-ended", "id": tokens["session_id"]}
    answer = await gate.call("POST", f"/_gate/admin/api/users/{user}/lock", json={"why": "x"}, headers=bearer(root))
    assert json.loads(await answer.text()) == {"done": "user-locked", "id": user}
    for body, status in (([], 422), ({"why": 1}, 422), ({}, 422)):
        answer = await gate.call("POST", f"/_gate/admin/api/users/{user}/unlock", json=body, headers=bearer(root))
        assert answer.status == status


async def test_an_invitation_is_shown_once_and_makes_the_account(gate, admin):
    page = await (
        await admin.submit("/_gate/admin/users/invite", {"email": "New@Example.com", "roles": "staff"})
    ).text()
    assert "new@example.com is invited" in page
    assert gate.console.token("new@example.com", "invitation") in page
    taken = await admin.submit("/_gate/admin/users/invite", {"email": "root@example.com", "roles": ""})
    assert taken.status == 409
    bad = await admin.submit("/_gate/admin/users/invite", {"email": "nonsense", "roles": ""})
    assert bad.status == 422


async def test_bans_are_made_shown_and_lifted(gate, admin):
    answer = await admin.submit("/_gate/admin/bans", {"subject": "192.0.2.0/24", "length": "1h", "why": "scans"})
    assert answer.headers["Location"] == "/_gate/admin/bans?done=ban-added"
    page = await text_of(await admin.get("/_gate/admin/bans"))
    assert "192.0.2.0/24 network 2027-01-15 09:00:00 in 1 h" in page
    assert "scans" in page
    assert "Bans of 192.0.2.0/24" in await text_of(await admin.get("/_gate/admin/bans?subject=192.0.2.0/24"))
    assert (await admin.submit("/_gate/admin/bans", {"subject": "nonsense", "why": "x"})).status == 422
    assert (await admin.submit("/_gate/admin/bans", {"subject": "CH", "length": "soon", "why": "x"})).status == 422
    await admin.submit("/_gate/admin/bans/lift", {"subject": "192.0.2.0/24"})
    assert "Nobody is banned." in await text_of(await admin.get("/_gate/admin/bans"))
    assert [row["after"] is None for row in await _changes(gate, "ban.lift")] == [True]


async def test_a_call_with_a_cookie_from_another_site_does_nothing(gate, admin):
    """security 8"""
    cookie = {"Cookie": f"gate={admin.cookies['gate']}"}
    body = {"subject": "192.0.2.1", "why": "x"}
    for origin in ({}, {"Origin": "http://elsewhere.example"}, {"Origin": gate.url, "Sec-Fetch-Site": "same-site"}):
        answer = await gate.call("POST", "/_gate/admin/api/bans", json=body, headers={**cookie, **origin})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    assert await gate.rows("SELECT 1 FROM bans") == []


async def test_the_configuration_is_read_again_by_whoever_reads_it_and_that_is_in_the_audit_log(gate, admin):
    asked = []
    gate.gatekeeper.reloads.request = lambda: asked.append(1)
    answer = await admin.submit("/_gate/admin/rules/reload", {"why": "a new rule"})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/rules?done=reload-asked")
    assert asked == [1]
    (change,) = await _changes(gate, "rules.reload-asked")
    assert (change["subject"], change["after"]) == ("configuration", {"why": "a new rule"})
    assert "is being read again" in await text_of(await admin.get(answer.headers["Location"]))


async def test_a_refused_configuration_is_shown(gate, admin):
    assert "newest configuration of this node is in force" in await text_of(await admin.get("/_gate/admin/rules"))
    gate.gatekeeper.reload(None)
    assert "A newer configuration was refused" in await text_of(await admin.get("/_gate/admin/rules"))
    assert "refused" in await text_of(await admin.get("/_gate/admin/"))


async def test_where_nobody_reads_the_configuration_that_is_said(gate, admin):
    assert (await admin.submit("/_gate/admin/rules/reload", {"why": "x"})).status == 409
