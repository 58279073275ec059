"""Signing keys in the panel: shown without their private halves, rotated and retired with an audit entry (issue 7)."""

import json

from forms import Browser, text_of
from gates import bearer


async def _keys(admin):
    answer = await admin.get("/_gate/admin/api/keys")
    assert answer.status == 200
    return json.loads(await answer.text())["keys"]


async def _signing(admin, purpose="access"):
    (kid,) = [key["kid"] for key in await _keys(admin) if key["purpose"] == purpose and key["state"] == "signs"]
    return kid


async def test_keys_are_listed_with_what_each_is_good_for_and_no_private_half(gate, admin):
    keys = await _keys(admin)
    assert {(key["purpose"], key["state"], key["retired_at"]) for key in keys} == {
        ("access", "signs", None),
        ("assertion", "signs", None),
    }
    assert set(keys[0]) == {"kid", "purpose", "algorithm", "state", "created_at", "signs_from", "retired_at"}
    page = await admin.get("/_gate/admin/keys")
    seen = await text_of(page)
    assert all(key["kid"] in seen for key in keys)
    assert "2027-01-15 08:00:00 just now" in seen


async def test_a_rotation_publishes_a_key_says_who_and_why_and_signs_nobody_out(gate, admin):
    """security 13, 22"""
    tokens, old = await gate.newcomer("ada@example.com"), await _signing(admin)
    answer = await admin.submit("/_gate/admin/keys/rotate", {"purpose": "access", "why": "yearly <b>"})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/keys?done=key-rotated")
    states = {key["kid"]: key["state"] for key in await _keys(admin) if key["purpose"] == "access"}
    assert (states.pop(old), list(states.values())) == ("signs", ["published"])
    seen = await text_of(await admin.get(answer.headers["Location"]))
    assert ("The new key is published" in seen, "published" in seen) == (True, True)
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 200
    (row,) = await gate.rows(
        "SELECT actor, subject, after, host(address) AS address FROM audit_log WHERE action = 'key.rotate'"
    )
    assert (row["subject"], row["after"]["why"], row["address"]) == (next(iter(states)), "yearly <b>", "127.0.0.1")
    again = await admin.submit("/_gate/admin/keys/rotate", {"purpose": "access", "why": "again"})
    assert again.status == 409
    assert f"A rotation is under way: {row['subject']} is published" in await text_of(again)


async def test_a_retired_key_gets_a_successor_and_cannot_be_retired_twice(gate, admin):
    """security 13"""
    old = await _signing(admin, "assertion")
    answer = await admin.submit("/_gate/admin/keys/retire", {"kid": old, "why": "laptop lost"})
    assert answer.headers["Location"] == "/_gate/admin/keys?done=key-retired"
    new = await _signing(admin, "assertion")
    assert new != old
    (row,) = await gate.rows("SELECT subject, after FROM audit_log WHERE action = 'key.retire'")
    assert (row["subject"], row["after"]["successor"]) == (old, new)
    again = await admin.submit("/_gate/admin/keys/retire", {"kid": old, "why": "again"})
    assert (again.status, "in use" in await text_of(again)) == (409, True)
    assert "Retired" in await text_of(await admin.get("/_gate/admin/keys"))


async def test_what_is_asked_wrongly_changes_nothing(gate, admin):
    before = await _keys(admin)
    for path, fields, status in [
        ("rotate", {"purpose": "refresh", "why": "x"}, 422),
        ("rotate", {"purpose": "access"}, 422),
        ("retire", {"kid": before[0]["kid"], "why": " "}, 422),
        ("retire", {"kid": "<script>", "why": "x"}, 409),
        ("retire", {"why": "x"}, 409),
    ]:
        answer = await admin.submit(f"/_gate/admin/keys/{path}", fields)
        assert (answer.status, "<script>" in await answer.text()) == (status, False), (path, fields)
    assert await _keys(admin) == before
    assert await gate.rows("SELECT 1 FROM audit_log WHERE action LIKE 'key.%'") == []


async def test_a_rotation_wants_a_step_up_and_an_admin(gate, admin, ada):
    """security 22"""
    gate.clock.advance(301)
    for browser, status in ((admin, 303), (ada, 404), (Browser(gate), 303)):
        answer = await browser.submit("/_gate/admin/keys/rotate", {"purpose": "access", "why": "x"})
        assert (answer.status, "done=" in answer.headers.get("Location", "")) == (status, False)
    assert await gate.rows("SELECT 1 FROM audit_log WHERE action LIKE 'key.%'") == []
