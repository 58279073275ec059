"""POST step-up (RFC 9470): a fresh token of the same session, and what it is worth."""

import json

import pytest
import pytest_asyncio
from factories import NOW, PASSWORD
from gates import bearer, running_gate
from second_factors import code, enrol_totp

RULES = [
    {"name": "vault", "path": "/vault", "allow": "authenticated", "step_up": "10m"},
    {"name": "two", "path": "/two", "allow": "authenticated", "mfa": True},
    {"name": "both", "path": "/both", "allow": "authenticated", "mfa": True, "step_up": "10m"},
    {"name": "api", "path": "/**", "allow": "authenticated"},
]


@pytest_asyncio.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


async def _reaches(gate, tokens, *paths):
    return [(await gate.call("GET", path, headers=bearer(tokens))).status for path in paths]


async def _step_up(gate, tokens, **body):
    answer = await gate.post("step-up", body, headers=bearer(tokens))
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_a_password_renews_the_login_in_the_same_session(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    assert await _reaches(gate, tokens, "/vault") == [401]
    fresh = await _step_up(gate, tokens, method="password", password=PASSWORD)
    assert (fresh["session_id"], fresh["refresh_token"]) == (tokens["session_id"], None)
    assert await _reaches(gate, fresh, "/vault", "/two") == [200, 401]
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(fresh))).json()
    assert (who["acr"], who["amr"]) == ("1fa", ["pwd"])


async def test_the_older_token_goes_on_but_is_worth_no_more(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    await _step_up(gate, tokens, method="password", password=PASSWORD)
    assert await _reaches(gate, tokens, "/vault", "/x") == [401, 200]


async def test_a_refreshed_token_carries_the_step_up(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    await _step_up(gate, tokens, method="password", password=PASSWORD)
    renewed = await (await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})).json()
    assert await _reaches(gate, renewed, "/vault") == [200]


async def test_an_apps_code_makes_the_session_one_of_two_factors(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    gate.clock.advance(700)
    assert await _reaches(gate, mine.tokens, "/two", "/both") == [200, 401]
    fresh = await _step_up(gate, mine.tokens, method="totp", code=code(mine.secret, gate))
    assert await _reaches(gate, fresh, "/vault", "/two", "/both") == [200, 200, 200]


async def test_a_password_does_not_renew_the_second_factor_and_does_not_lose_it(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    gate.clock.advance(700)
    fresh = await _step_up(gate, mine.tokens, method="password", password=PASSWORD)
    assert await _reaches(gate, fresh, "/vault", "/two", "/both") == [200, 200, 401]


async def test_a_step_up_with_cookies_sets_only_the_access_cookie(gate):
    tokens = await gate.newcomer()
    cookie = {"Cookie": f"gate={tokens['access_token']}"}
    body = {"method": "password", "password": PASSWORD}
    assert (await gate.post("step-up", body, headers={**cookie, "Sec-Fetch-Site": "cross-site"})).status == 403
    answer = await gate.post("step-up", body, headers={**cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status == 200
    assert "access_token" not in await answer.json()
    (line,) = answer.headers.getall("Set-Cookie")
    assert line.startswith("gate=")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"method": "password", "password": "wrong"}, 401, "invalid-credentials"),
        ({"method": "totp", "code": "123456"}, 401, "mfa-invalid"),
        ({"method": "recovery-code", "code": "123456"}, 401, "mfa-invalid"),
        ({"method": "otp", "challenge": "x", "code": "123456"}, 401, "mfa-invalid"),
        ({"method": "passkey", "challenge": "x", "response": {}}, 401, "mfa-invalid"),
        ({"method": "password"}, 422, "validation"),
        ({"method": "otp", "code": "123456"}, 422, "validation"),
        ({"method": "sms"}, 422, "validation"),
    ],
)
async def test_what_is_not_right_is_refused_and_changes_nothing(gate, body, status, reason):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    answer = await gate.post("step-up", body, headers=bearer(tokens))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (status, reason), await answer.text()
    renewed = await (await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})).json()
    assert await _reaches(gate, renewed, "/vault") == [401]


async def test_a_logged_out_session_cannot_be_stepped_up(gate):
    tokens = await gate.newcomer()
    await gate.post("logout", {}, headers=bearer(tokens))
    answer = await gate.post("step-up", {"method": "password", "password": PASSWORD}, headers=bearer(tokens))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "session-ended")


class TestWhoMustEnrol:
    """A session that must add a factor gets around that by nothing else."""

    @pytest_asyncio.fixture
    async def tokens(self, gate):
        user = await gate.register("ada@example.com")
        await gate.give_roles(user["id"], "admin")
        return await gate.login("ada@example.com")

    async def test_not_by_recovery_codes(self, gate, tokens):
        answer = await gate.post("factors/recovery-codes", headers=bearer(tokens))
        assert answer.status == 409
        assert await gate.rows("SELECT * FROM recovery_codes") == []

    async def test_not_by_a_mailed_code(self, gate, tokens):
        options = await gate.post("passkey/options", {"purpose": "step-up"}, headers=bearer(tokens))
        challenge = (await options.json())["challenge"]
        body = {"method": "otp", "challenge": challenge, "code": "123456"}
        answer = await gate.post("step-up", body, headers=bearer(tokens))
        assert answer.headers["X-Gate-Reason"] == "mfa-invalid"
        assert "no second factor of this account" in await answer.text()


class TestFreshness:
    """Changes of factors want a login or step-up of the last five minutes."""

    async def test_an_old_login_must_step_up_before_factors_change(self, gate):
        tokens = await gate.newcomer()
        gate.clock.advance(301)
        answer = await gate.post("factors/totp", headers=bearer(tokens))
        body = json.loads(await answer.text())
        assert (answer.status, body["type"]) == (401, "urn:gatekeeper:step-up-required")
        assert body["max_age"] == 300
        fresh = await _step_up(gate, tokens, method="password", password=PASSWORD)
        assert (await gate.post("factors/totp", headers=bearer(fresh))).status == 200

    async def test_whoever_has_a_factor_must_show_it_before_factors_change(self, gate):
        mine = await enrol_totp(gate, await gate.newcomer())
        gate.clock.advance(301)
        fresh = await _step_up(gate, mine.tokens, method="password", password=PASSWORD)
        for method, path in (("DELETE", "totp"), ("POST", "recovery-codes"), ("DELETE", "devices"), ("POST", "totp")):
            answer = await gate.call(method, f"/_gate/auth/factors/{path}", headers=bearer(fresh))
            assert answer.status == 401, path
            assert 'acr_values="2fa"' in answer.headers["WWW-Authenticate"]
        shown = await _step_up(gate, fresh, method="totp", code=code(mine.secret, gate))
        assert (await gate.call("DELETE", "/_gate/auth/factors/totp", headers=bearer(shown))).status == 204

    async def test_removing_the_last_factor_removes_what_stood_in_for_it(self, gate):
        mine = await enrol_totp(gate, await gate.newcomer())
        assert (await gate.call("DELETE", "/_gate/auth/factors/totp", headers=bearer(mine.tokens))).status == 204
        listed = await (await gate.call("GET", "/_gate/auth/factors", headers=bearer(mine.tokens))).json()
        assert listed == {
            "required": False,
            "totp": None,
            "passkeys": [],
            "recovery_codes_left": 0,
            "remembered_devices": 0,
        }
        assert (await gate.login("ada@example.com"))["session_id"]

    async def test_every_change_is_in_the_audit_log(self, gate):
        mine = await enrol_totp(gate, await gate.newcomer())
        await gate.post("factors/recovery-codes", headers=bearer(mine.tokens))
        await gate.call("DELETE", "/_gate/auth/factors/devices", headers=bearer(mine.tokens))
        await gate.call("DELETE", "/_gate/auth/factors/totp", headers=bearer(mine.tokens))
        rows = await gate.rows("SELECT action, actor, subject FROM audit_log WHERE action LIKE 'factor.%' ORDER BY id")
        assert [row["action"] for row in rows] == [
            "factor.totp.add",
            "factor.recovery-codes.renew",
            "factor.devices.forget",
            "factor.totp.remove",
        ]
        assert {row["actor"] for row in rows} == {row["subject"] for row in rows} == {mine.tokens["user"]["id"]}


async def test_guesses_at_a_new_secret_are_limited(gate):
    tokens = await gate.newcomer()
    await gate.post("factors/totp", headers=bearer(tokens))
    statuses = [
        (await gate.post("factors/totp/confirm", {"code": f"{at:06}"}, headers=bearer(tokens))).status
        for at in range(7)
    ]
    assert statuses[:5].count(401) >= 4
    assert statuses[5:] == [429, 429] or 200 in statuses
    assert gate.clock.now() == NOW
