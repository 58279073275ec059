"""Sessions in the panel: what was proved, tokens, connections that they hold (issue 7.4)."""

import pytest
from factories import PASSWORD
from forms import Browser, text_of
from gates import bearer, running_gate
from second_factors import enrol_totp
from sockets import WebSockets, Wire

from gatekeeper.app.build import held_keeper


async def _read(gate, admin, path):
    answer = await gate.call("GET", f"/_gate/admin/api/{path}", headers={"Cookie": f"gate={admin.cookies['gate']}"})
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_a_session_says_what_was_proved_and_how_its_tokens_stand(gate, admin):
    mine = await enrol_totp(gate, await gate.newcomer())
    session = mine.tokens["session_id"]
    shown = await _read(gate, admin, f"sessions/{session}")
    assert (shown["acr"], shown["generation"], shown["connections"]) == ("2fa", 1, 0)
    assert shown["second_factor_at"] is not None
    await gate.post("refresh", {"refresh_token": mine.tokens["refresh_token"]})
    page = await text_of(await admin.get(f"/_gate/admin/sessions/{session}"))
    assert "Refresh token number 2, since" in page
    assert "Access token held against this record" in page
    assert "Live connections none" in page
    await gate.post("logout", {"scope": "all"}, headers=bearer(mine.tokens))
    assert "Refresh token" not in await text_of(await admin.get(f"/_gate/admin/sessions/{session}"))


async def test_sessions_are_looked_for_by_device(gate, admin):
    await gate.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD}
    for agent in ("curl/8.5.0", "Wget/1.24"):
        assert (await gate.post("login", body, headers={"User-Agent": agent})).status == 200
    found = await _read(gate, admin, "sessions?agent=WGET")
    assert [one["user_agent"] for one in found["sessions"]] == ["Wget/1.24"]
    page = await text_of(await admin.get("/_gate/admin/sessions/end?agent=wget"))
    assert "End 1 session?" in page


HOUR = 3600


async def test_long_unused_ones_are_counted_listed_and_ended_and_those_in_use_stay(gate, admin, monkeypatch):
    """security 12"""
    monkeypatch.setattr("admin.open_sessions._PORTION", 2)
    used = await gate.newcomer("used@example.com")
    gate.clock.advance(1)  # the newest are looked at first
    idle = [await gate.newcomer(f"{name}@example.com") for name in ("ada", "bob", "eve")]
    gate.clock.advance(30 * HOUR)
    assert (await gate.post("refresh", {"refresh_token": used["refresh_token"]})).status == 200
    assert (await admin.sign_in("root@example.com", PASSWORD)).status == 303
    assert await _read(gate, admin, "sessions/count?idle=1d") == {"count": 4, "whole": True}  # the admin's first too
    listed = await _read(gate, admin, "sessions?idle=1d")
    assert {one["id"] for one in listed["sessions"]} >= {tokens["session_id"] for tokens in idle}
    assert used["session_id"] not in {one["id"] for one in listed["sessions"]}
    assert await _read(gate, admin, "sessions/count?idle=2d") == {"count": 0, "whole": True}
    page = await text_of(await admin.get("/_gate/admin/sessions/end?idle=1d"))
    assert "End 4 sessions?" in page
    assert "Unused for a day" in page
    with monkeypatch.context() as patch:
        patch.setattr("admin.open_sessions._LOOKED_AT", 1)
        assert await _read(gate, admin, "sessions/count?idle=1d") == {"count": 2, "whole": False}
        assert "End at least 2 sessions?" in await text_of(await admin.get("/_gate/admin/sessions/end?idle=1d"))
    await admin.submit("/_gate/admin/sessions/end", {"idle": "1d", "why": "spring cleaning"})
    ended = await gate.rows("SELECT id FROM sessions WHERE end_reason = 'ended-by-admin'")
    assert len(ended) == 4
    assert (await gate.post("refresh", {"refresh_token": idle[0]["refresh_token"]})).status == 401
    assert used["session_id"] not in {row["id"] for row in ended}
    (change,) = await gate.rows("SELECT subject, after FROM audit_log WHERE action = 'session.end-all'")
    assert (change["subject"], change["after"]["sessions"]) == ("idle 1d", 4)


async def test_sessions_are_told_by_how_they_were_opened_and_how_long_ago(gate, admin):
    await enrol_totp(gate, await gate.newcomer())
    gate.clock.advance(3 * HOUR)
    await gate.newcomer("bob@example.com")
    await admin.sign_in("root@example.com", PASSWORD)

    async def found(query):
        return sorted(
            one["email"].partition("@")[0] for one in (await _read(gate, admin, f"sessions?{query}"))["sessions"]
        )

    assert await found("method=password&age=1h") == ["ada", "root"]
    assert await found("method=passkey") == []
    assert await found("factor=none&user=bob") == ["bob"]
    page = await text_of(await admin.get("/_gate/admin/sessions?method=password&factor=none&age=30d"))
    assert "Signed in by a password" in page
    assert "Signed in over 30 days ago" in page
    for wrong in ("method=magic", "factor=app", "age=soon", "idle=-1h"):
        assert (await admin.get(f"/_gate/admin/sessions?{wrong}")).status == 422


@pytest.fixture
async def tunnelled(postgres_dsn, redis_url, tmp_path):
    """A gate in front of an upstream that speaks WebSocket."""
    async with WebSockets() as sockets:
        settings = sockets.settings(mfa={"require_for_roles": []})
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
            yield running


async def test_a_session_shows_the_connections_that_it_holds(tunnelled):
    admin = Browser(tunnelled)
    await admin.submit(f"/_gate/setup/{tunnelled.setup_token}", {"email": "root@example.com", "password": PASSWORD})
    tokens = await tunnelled.newcomer()
    async with Wire(tunnelled.url) as client:
        await client.open(tokens=tokens)
        await held_keeper(tunnelled.gatekeeper.reloader.running).tell()
        (ada,) = (await _read(tunnelled, admin, "sessions?user=ada"))["sessions"]
        assert ada["connections"] == 1
        page = await text_of(await admin.get(f"/_gate/admin/sessions/{tokens['session_id']}"))
        assert "Live connections 1" in page
