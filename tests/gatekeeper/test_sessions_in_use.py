"""A whole gate: sessions that go on somewhere else, or in another browser, are found, and what follows."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from factories import PASSWORD
from gates import running_gate

ADA = "ada@example.com"
LAPTOP = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
AT_HOME = {"User-Agent": LAPTOP, "X-Forwarded-For": "192.0.2.1"}
MOVED = {"User-Agent": LAPTOP, "X-Forwarded-For": "198.51.100.7"}
STOLEN = {"User-Agent": "curl/8.1", "X-Forwarded-For": "198.51.100.7"}


@pytest.fixture
def gate_with(postgres_dsn, redis_url, tmp_path, upstream):
    @asynccontextmanager
    async def made(**anomalies):
        settings = {
            "upstreams": {"api": {"targets": [upstream.address]}},
            "rules": [{"name": "api", "path": "/**", "allow": "authenticated"}],
            "trusted_proxies": ["127.0.0.0/8"],
            "anomalies": anomalies,
            "sessions": {"bind": []},
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
            await running.register(ADA)
            yield running

    return made


async def _login(gate, where=AT_HOME, **more):
    answer = await gate.post(
        "login", {"email": ADA, "password": PASSWORD, **more}, headers={**where, "Origin": gate.url}
    )
    assert answer.status == 200, await answer.text()
    return answer, await answer.json()


async def _refresh(gate, tokens, where):
    gate.clock.advance(60)
    answer = await gate.post("refresh", {"refresh_token": tokens["refresh_token"]}, headers=where)
    return answer.status, await answer.json()


async def _odd(gate):
    return await gate.rows("SELECT * FROM login_logs WHERE method = 'refresh' ORDER BY time, id")


def _told(gate, kind="session-moved"):
    return gate.console.lines.count(f"Notice for {ADA}: {kind}")


async def test_a_session_that_goes_on_at_another_address_is_a_row_and_its_owner_is_told_once(gate_with):
    async with gate_with() as gate:
        _, tokens = await _login(gate)
        status, tokens = await _refresh(gate, tokens, AT_HOME)
        assert (status, await _odd(gate)) == (200, [])
        status, tokens = await _refresh(gate, tokens, MOVED)
        assert status == 200
        (row,) = await _odd(gate)
        assert (row["signals"], row["result"], row["action"], row["session"]) == (
            ["address_changed"],
            "success",
            "notify",
            tokens["session_id"],
        )
        assert row["evidence"]["address_changed"]["from"] == "192.0.2.1"
        assert row["evidence"]["address_changed"]["to"] == row["address"] == "198.51.100.7"
        for where in (AT_HOME, MOVED):  # both are usual by now
            status, tokens = await _refresh(gate, tokens, where)
            assert status == 200
        third = {**MOVED, "X-Forwarded-For": "203.0.113.3"}
        assert (await _refresh(gate, tokens, third))[0] == 200
        assert len(await _odd(gate)) == 2
        assert _told(gate) == 1, "one mail a session and day"


def _at(address, browser=LAPTOP):
    return {"User-Agent": browser, "X-Forwarded-For": address}


async def test_moves_within_the_usual_country_are_rows_and_their_owner_is_told_seldom(gate_with):
    async with gate_with() as gate:  # of these the bundled database knows that they are in the United States
        _, tokens = await _login(gate, _at("8.8.8.8"))
        _, other = await _login(gate, _at("8.8.8.8"))
        _, tokens = await _refresh(gate, tokens, _at("8.8.4.4"))
        assert await _odd(gate) == [], "the same block"
        assert (await _refresh(gate, tokens, _at("4.4.4.4")))[0] == 200
        _, other = await _refresh(gate, other, _at("17.1.2.3"))
        rows = await _odd(gate)
        assert [row["signals"] for row in rows] == [["address_changed"], ["address_changed"]]
        assert rows[0]["evidence"]["address_changed"]["within_country"] is True
        assert _told(gate) == 1, "one mail a user and month"
        gate.clock.advance(1)
        assert (await _refresh(gate, other, _at("192.0.2.1", "curl/8.1")))[0] == 200
        assert _told(gate) == 2, "what may be a theft is told all the same"


async def test_a_stolen_token_in_another_browser_ends_the_session_where_that_is_wanted(gate_with):
    async with gate_with(fingerprint_mismatch="deny") as gate:
        _, tokens = await _login(gate)
        status, refused = await _refresh(gate, tokens, STOLEN)
        assert (status, refused["type"]) == (401, "urn:gatekeeper:session-ended")
        (row,) = await _odd(gate)
        assert set(row["signals"]) == {"address_changed", "fingerprint_mismatch"}
        assert (row["result"], row["reason"], row["action"]) == ("blocked", "session-ended", "deny")
        used = await gate.call("GET", "/x", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert used.status == 401
        assert _told(gate) == 1


async def test_revoke_ends_all_sessions_and_report_only_none(gate_with):
    async with gate_with(fingerprint_mismatch="revoke") as gate:
        _, other = await _login(gate)
        gate.clock.advance(1)
        _, tokens = await _login(gate)
        assert (await _refresh(gate, tokens, STOLEN))[0] == 401
        assert (await _refresh(gate, other, AT_HOME))[0] == 401


async def test_report_only_writes_down_and_ends_nothing(gate_with):
    async with gate_with(fingerprint_mismatch="revoke", report_only=True) as gate:
        _, tokens = await _login(gate)
        assert (await _refresh(gate, tokens, STOLEN))[0] == 200
        (row,) = await _odd(gate)
        assert (row["action"], row["evidence"]["fingerprint_mismatch"]["action"]) == ("log", "revoke")
        assert _told(gate) == 0


async def test_a_refresh_token_that_comes_twice_is_a_row_with_whoever_brought_it(gate_with):
    async with gate_with() as gate:
        _, other = await _login(gate)
        gate.clock.advance(1)
        _, old = await _login(gate)
        status, _ = await _refresh(gate, old, AT_HOME)
        assert status == 200
        status, refused = await _refresh(gate, old, STOLEN)
        assert (status, refused["type"]) == (401, "urn:gatekeeper:refresh-reused")
        (row,) = await _odd(gate)
        assert (row["signals"], row["result"], row["reason"]) == (["refresh_reuse"], "blocked", "refresh-reused")
        assert (row["address"], row["session"], row["email"]) == ("198.51.100.7", old["session_id"], ADA)
        assert _told(gate, "token-stolen") == 1
        assert (await _refresh(gate, other, AT_HOME))[0] == 200, "only the family ends"


async def test_a_cookie_that_is_renewed_in_passing_elsewhere_is_looked_at_too(gate_with):
    async with gate_with(fingerprint_mismatch="deny") as gate:
        answer, _ = await _login(gate, cookies=True)
        kept = [one.partition(";")[0] for one in answer.headers.getall("Set-Cookie")]
        refresh = next(one for one in kept if one.startswith("gate-refresh="))
        gate.clock.advance(60)
        assert (await gate.call("GET", "/x", headers={**AT_HOME, "Cookie": refresh})).status == 200
        gate.clock.advance(60)
        async with asyncio.timeout(60):  # nobody waits for the look
            while (await gate.call("GET", "/x", headers={**STOLEN, "Cookie": refresh})).status != 401:
                pass
            while not (rows := await _odd(gate)):  # written once it has ended
                pass
        (row,) = rows
        assert "fingerprint_mismatch" in row["signals"]
