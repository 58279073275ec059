"""Open signals on the overview: what can be done at once, as forms and as calls (issue 7.1, security 22)."""

import json

import pytest
from factories import PASSWORD
from forms import Browser, text_of

ODD = """
INSERT INTO login_logs (id, time, email, user_id, session, result, method, address, signals, risk, request_id)
SELECT gen_random_uuid(), timestamptz '2027-01-15 07:59:00+00', email, user_id, session, result, 'password',
  '192.0.2.7', ARRAY['impossible_travel'], 70, 'r'
FROM (VALUES (%s, %s::uuid, %s, 'success')) AS rows (email, user_id, session, result)
RETURNING id
"""


@pytest.fixture
async def odd(gate, admin):
    """ada's login that was odd: her tokens, and the id of the attempt."""
    user = await gate.register("ada@example.com")
    tokens = await gate.login("ada@example.com")
    values = ("ada@example.com", user["id"], tokens["session_id"])
    rows = await gate.rows(ODD % tuple(f"'{value}'" for value in values))
    return tokens, str(rows[0]["id"])


async def _open(admin):
    return json.loads(await (await admin.get("/_gate/admin/api/signals")).text())


async def test_an_odd_login_waits_on_the_overview_until_its_session_is_ended_there(gate, admin, odd):
    tokens, attempt = odd
    seen = await text_of(await admin.get("/_gate/admin/"))
    assert "impossible travel" in seen
    assert (await _open(admin))["total"] == 1
    answer = await admin.submit(f"/_gate/admin/signals/{attempt}/end", {})
    assert answer.status == 303
    assert answer.headers["Location"].endswith("/_gate/admin/?done=session-ended")
    refused = await gate.call("GET", "/x", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert refused.status == 401
    assert (await _open(admin))["total"] == 0
    assert "Nothing is odd that nobody has dealt with." in await text_of(await admin.get("/_gate/admin/"))
    changes = await gate.rows("SELECT action, after FROM audit_log WHERE action = 'session.end'")
    assert len(changes) == 1


async def test_each_act_closes_the_line_and_is_in_the_audit_log(gate, admin, odd):
    _, attempt = odd
    for act, action in (("lock", "user.lock"), ("ban", "ban.add"), ("close", "signal.close")):
        await gate.rows("DELETE FROM signal_reviews RETURNING 1")
        answer = await admin.submit(f"/_gate/admin/signals/{attempt}/{act}", {"back": "signals"})
        assert answer.status == 303, act
        assert "/admin/signals?done=" in answer.headers["Location"]
        assert (await _open(admin))["total"] == 0
        rows = await gate.rows(f"SELECT actor, after FROM audit_log WHERE action = '{action}'")
        assert len(rows) == 1, act
        assert "impossible travel" in json.dumps(rows[0]["after"]), act


async def test_an_odd_login_from_the_admin_s_own_address_is_banned_only_if_that_is_meant(gate, admin, odd):
    _, attempt = odd
    await gate.rows("UPDATE login_logs SET address = '127.0.0.1' RETURNING 1")
    answer = await admin.submit(f"/_gate/admin/signals/{attempt}/ban", {"back": "signals"})
    assert (answer.status, "127.0.0.1 is the address from which" in await answer.text()) == (422, True)
    assert (await _open(admin))["total"] == 1
    meant = await admin.submit(f"/_gate/admin/signals/{attempt}/ban", {"back": "signals", "sure": "yes"})
    assert meant.status == 303
    assert (await _open(admin))["total"] == 0


async def test_what_is_not_open_cannot_be_acted_on(gate, admin, odd):
    _, attempt = odd
    for path in (f"{attempt}/nonsense", "nonsense/ban", "00000000-0000-0000-0000-000000000000/ban"):
        answer = await admin.submit(f"/_gate/admin/signals/{path}", {})
        assert answer.status == 404, path
    assert (await _open(admin))["total"] == 1


async def test_nobody_else_learns_of_open_signals(gate, odd):
    await gate.register("eve@example.com")
    eve = Browser(gate)
    await eve.sign_in("eve@example.com", PASSWORD)
    assert (await eve.get("/_gate/admin/api/signals")).status == 404
