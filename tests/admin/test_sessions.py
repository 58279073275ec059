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
