"""A whole gate: odd logins are found, written down, and what the configuration says follows."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from factories import PASSWORD
from gates import PATIENCE, running_gate
from second_factors import code, enrol_totp

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.mail_links import PostgresLinks

ADA = "ada@example.com"
LAPTOP = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)
AT_HOME = {"User-Agent": LAPTOP, "X-Forwarded-For": "192.0.2.1"}
ELSEWHERE = {"User-Agent": PHONE, "X-Forwarded-For": "198.51.100.7"}


@pytest.fixture
def gate_with(postgres_dsn, redis_url, tmp_path, upstream):
    @asynccontextmanager
    async def made(**anomalies):
        settings = {
            "upstreams": {"api": {"targets": [upstream.address]}},
            "rules": [{"name": "api", "path": "/**", "allow": "authenticated"}],
            "trusted_proxies": ["127.0.0.0/8"],
            "limits": {"login_per_ip": "1000/minute", "login_per_account": "1000/minute"},
            "anomalies": anomalies,
            "bans": {"after": 100, "spray": {"accounts": 100, "within": "10m"}},
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
            await running.register(ADA)
            yield running

    return made


async def _try(gate, where, email=ADA, password=PASSWORD):
    answer = await gate.post("login", {"email": email, "password": password}, headers=where)
    return answer.status, await answer.json()


async def _rows(gate):
    await gate.gatekeeper.login_log.settle()
    return await gate.rows("SELECT * FROM login_logs ORDER BY time, id")


async def test_a_new_browser_is_in_the_row_with_its_evidence_and_its_owner_is_told(gate_with):
    async with gate_with() as gate:
        assert (await _try(gate, AT_HOME))[0] == 200
        gate.clock.advance(60)
        assert (await _try(gate, AT_HOME))[0] == 200
        gate.clock.advance(60)
        assert (await _try(gate, ELSEWHERE))[0] == 200
        first, second, third = await _rows(gate)
        assert (first["signals"], first["risk"], first["evidence"], first["action"]) == ([], None, None, None)
        assert second["signals"] == []
        assert third["signals"] == ["new_device", "new_address"]
        assert third["evidence"]["new_device"] == {"known_devices": 1, "weight": 20, "action": "notify"}
        assert (third["risk"], third["action"]) == (24, "notify")
        assert (third["browser"], third["os"], third["device_kind"]) == ("Mobile Safari", "iOS", "phone")
        assert third["fingerprint"] != first["fingerprint"] == second["fingerprint"]
        assert third["latency_ms"] is not None
        assert gate.console.lines.count(f"Notice for {ADA}: new-sign-in") == 1


async def test_what_was_told_once_is_usual_from_then_on(gate_with):
    async with gate_with() as gate:
        for where in (AT_HOME, ELSEWHERE, ELSEWHERE):
            gate.clock.advance(60)
            await _try(gate, where)
        assert [row["signals"] for row in await _rows(gate)] == [[], ["new_device", "new_address"], []]


async def test_a_login_stands_though_its_owner_cannot_be_told(gate_with, monkeypatch):
    async def away(*_):
        raise StoreUnavailable("postgres", "away")

    async with gate_with() as gate:
        await _try(gate, AT_HOME)
        gate.clock.advance(60)
        monkeypatch.setattr(PostgresLinks, "add", away)
        assert (await _try(gate, ELSEWHERE))[0] == 200
        assert [row["result"] for row in await _rows(gate)] == ["success", "success"]


async def test_report_only_finds_and_does_nothing(gate_with):
    async with gate_with(new_device="deny", report_only=True) as gate:
        await _try(gate, AT_HOME)
        gate.clock.advance(60)
        assert (await _try(gate, ELSEWHERE))[0] == 200
        assert (await _rows(gate))[1]["action"] == "log"
        assert f"Notice for {ADA}: new-sign-in" not in gate.console.lines


async def test_deny_lets_nobody_in_though_the_password_is_right_and_learns_nothing(gate_with):
    async with gate_with(new_device="deny") as gate:
        await _try(gate, AT_HOME)
        for _ in range(2):
            gate.clock.advance(60)
            status, body = await _try(gate, ELSEWHERE)
            assert (status, body["type"].rpartition(":")[2]) == (403, "rule-denied")
        last = (await _rows(gate))[-1]
        assert (last["result"], last["reason"], last["session"], last["action"]) == (
            "blocked",
            "rule-denied",
            None,
            "deny",
        )
        assert f"Notice for {ADA}: new-sign-in" in gate.console.lines


async def test_revoke_ends_every_session_of_the_user(gate_with):
    async with gate_with(new_device="revoke") as gate:
        _, tokens = await _try(gate, AT_HOME)
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await gate.call("GET", "/x", headers=bearer)).status == 200
        gate.clock.advance(60)
        assert (await _try(gate, ELSEWHERE))[0] == 403
        assert (await gate.call("GET", "/x", headers=bearer)).status == 401


async def test_a_spray_is_banned_at_once_and_whoever_mistypes_and_gets_it_right_is_not(gate_with):
    async with gate_with(spray_accounts=3) as gate:
        for number in range(6):  # an office in the morning
            await gate.register(f"user{number}@example.com")
            await _try(gate, AT_HOME, f"user{number}@example.com", "wrong")
            assert (await _try(gate, AT_HOME, f"user{number}@example.com"))[0] == 200
        for number in range(3):
            status, _ = await _try(gate, ELSEWHERE, f"user{number}@example.com", "wrong")
            assert status == 401
        status, body = await _try(gate, ELSEWHERE)
        assert (status, body["type"].rpartition(":")[2]) == (403, "banned")
        assert (await _try(gate, AT_HOME))[0] == 200
        row = next(row for row in await _rows(gate) if "password_spray" in row["signals"])
        assert (row["evidence"]["password_spray"]["accounts"], row["action"]) == (3, "ban")


async def test_a_right_password_after_many_wrong_ones_is_told(gate_with):
    async with gate_with(brute_force_failures=4) as gate:
        await _try(gate, AT_HOME)
        for _ in range(4):
            await _try(gate, ELSEWHERE, password="wrong")
        gate.clock.advance(1)
        await _try(gate, AT_HOME)
        last = (await _rows(gate))[-1]
        assert (last["result"], last["signals"]) == ("success", ["brute_force"])
        assert last["evidence"]["brute_force"]["failures"] == 4


async def test_signals_are_events_and_metrics_too(gate_with):
    async with gate_with() as gate:
        await _try(gate, AT_HOME)
        gate.clock.advance(60)
        await _try(gate, ELSEWHERE)
        gate.gatekeeper.metrics.flush()
        text = gate.gatekeeper.metrics.render().decode()
        assert 'gatekeeper_signals_total{kind="new_device"} 1.0' in text


async def test_step_up_asks_for_the_second_factor_whatever_is_remembered_of_the_device(gate_with):
    async with gate_with(new_device="step-up") as gate:
        _, tokens = await _try(gate, AT_HOME)
        mine = await enrol_totp(gate, tokens)
        _, problem = await _try(gate, AT_HOME)
        body = {"challenge": problem["challenge"], "code": code(mine.secret, gate), "remember": True}
        answer = await gate.post("totp/verify", body, headers={**AT_HOME, "Sec-Fetch-Site": "same-origin"})
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert cookie.startswith("gate-device=")
        assert (await _try(gate, {**AT_HOME, "Cookie": cookie}))[0] == 200
        gate.clock.advance(60)
        status, problem = await _try(gate, {**ELSEWHERE, "Cookie": cookie})
        assert (status, problem["methods"][0]) == (401, "totp")
        assert (await _rows(gate))[-1]["action"] == "step-up"
        body = {"challenge": problem["challenge"], "code": code(mine.secret, gate)}
        assert (await gate.post("totp/verify", body, headers=ELSEWHERE)).status == 200
        gate.clock.advance(60)
        assert (await _try(gate, {**ELSEWHERE, "Cookie": cookie}))[0] == 200  # it is known by now


async def test_a_list_of_networks_in_a_file_is_read_again_when_it_changes(gate_with, tmp_path):
    exits = tmp_path / "exits.txt"
    exits.write_text("203.0.113.0/24\n")
    async with gate_with(listed_networks=[f"file:{exits}"]) as gate:
        await _try(gate, AT_HOME)
        assert (await _rows(gate))[-1]["signals"] == []
        exits.write_text("203.0.113.0/24\n192.0.2.1  # an exit\n")
        async with asyncio.timeout(PATIENCE):
            while not (await _rows(gate))[-1]["signals"]:
                gate.clock.advance(1)
                await _try(gate, AT_HOME)
        found = (await _rows(gate))[-1]
        assert (found["signals"], found["evidence"]["listed_network"]["listed"]) == (["listed_network"], "192.0.2.1")
