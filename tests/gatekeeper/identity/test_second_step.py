"""Login with a second factor as a client meets it (security 15, 19)."""

import asyncio
import json

import pytest
from factories import PASSWORD
from gates import bearer
from second_factors import challenged, code, enrol_totp

EMAIL = "ada@example.com"
SAME = {"Sec-Fetch-Site": "same-origin"}


async def _refused(answer, status, reason):
    body = await answer.text()
    assert (answer.status, answer.headers.get("X-Gate-Reason")) == (status, reason), body
    return json.loads(body)


async def test_a_right_password_asks_for_the_second_factor(gate):
    await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    assert problem["methods"] == ["totp", "otp", "recovery-code"]
    assert problem["type"] == "urn:gatekeeper:mfa-required"
    assert problem["expires_in"] == 300
    assert len(problem["challenge"]) > 40


async def test_a_wrong_password_says_nothing_of_factors(gate):
    await enrol_totp(gate, await gate.newcomer())
    answer = await gate.post("login", {"email": EMAIL, "password": "wrong horse battery 9"})
    assert set(await _refused(answer, 401, "invalid-credentials")) == {"type", "title", "status", "detail"}


async def test_password_and_code_make_a_session_of_two_factors(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    answer = await gate.post("totp/verify", {"challenge": problem["challenge"], "code": code(mine.secret, gate)})
    assert answer.status == 200, await answer.text()
    tokens = await answer.json()
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).json()
    assert (who["acr"], who["amr"]) == ("2fa", ["pwd", "otp", "mfa"])
    (row,) = await gate.rows("SELECT * FROM login_logs WHERE factor IS NOT NULL")
    assert (row["result"], row["method"], row["factor"], row["session"]) == (
        "success",
        "password",
        "totp",
        tokens["session_id"],
    )


async def test_a_code_counts_once_over_all_logins(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    problems = [await challenged(gate, EMAIL, PASSWORD) for _ in range(2)]
    body = {"code": code(mine.secret, gate)}
    first = await gate.post("totp/verify", {"challenge": problems[0]["challenge"], **body})
    assert first.status == 200
    second = await gate.post("totp/verify", {"challenge": problems[1]["challenge"], **body})
    await _refused(second, 401, "mfa-invalid")


async def test_a_challenge_that_was_answered_is_over(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    challenge = (await challenged(gate, EMAIL, PASSWORD))["challenge"]
    body = {"challenge": challenge, "code": code(mine.secret, gate)}
    assert (await gate.post("totp/verify", body)).status == 200
    gate.clock.advance(30)
    await _refused(await gate.post("totp/verify", {**body, "code": code(mine.secret, gate)}), 401, "mfa-invalid")


async def test_of_twenty_parallel_right_codes_one_makes_a_session(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    body = {"challenge": problem["challenge"], "code": code(mine.secret, gate)}
    answers = await asyncio.gather(*(gate.post("totp/verify", body) for _ in range(20)))
    assert [answer.status for answer in answers].count(200) == 1
    (row,) = await gate.rows("SELECT count(*) AS n FROM login_logs WHERE factor = 'totp' AND result = 'success'")
    assert row["n"] == 1


async def test_a_challenge_dies_with_its_tries_however_many_guess_at_once(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    right = code(mine.secret, gate)
    wrong = "000000" if right != "000000" else "000001"
    body = {"challenge": problem["challenge"], "code": wrong}
    answers = await asyncio.gather(*(gate.post("totp/verify", body) for _ in range(30)))
    assert {answer.status for answer in answers} <= {401, 429}
    assert sum(answer.status == 401 for answer in answers) <= 5
    await _refused(await gate.post("totp/verify", {**body, "code": right}), 429, "rate-limited")


async def test_whoever_knows_a_password_guesses_codes_no_faster_by_many_challenges(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    right = code(mine.secret, gate)
    wrong = "000000" if right != "000000" else "000001"
    statuses = []
    for _ in range(7):
        problem = await challenged(gate, EMAIL, PASSWORD)
        answer = await gate.post("totp/verify", {"challenge": problem["challenge"], "code": wrong})
        statuses.append(answer.status)
    assert statuses == [401] * 5 + [429] * 2


async def test_a_challenge_is_over_after_five_minutes(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    gate.clock.advance(301)
    body = {"challenge": problem["challenge"], "code": code(mine.secret, gate)}
    await _refused(await gate.post("totp/verify", body), 401, "mfa-invalid")


async def test_a_challenge_of_before_a_password_change_or_lock_is_worth_nothing(gate):
    """security 12"""
    mine = await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    changed = await gate.post(
        "password/change",
        {"current_password": PASSWORD, "new_password": "another long secret 7"},
        headers=bearer(mine.tokens),
    )
    assert changed.status == 200
    body = {"challenge": problem["challenge"], "code": code(mine.secret, gate)}
    await _refused(await gate.post("totp/verify", body), 401, "mfa-invalid")


@pytest.mark.parametrize("challenge", ["x", "a" * 24 + "." + "b" * 24, "\u00e4", "a" * 128])
async def test_an_unknown_challenge_is_refused(gate, challenge):
    await _refused(await gate.post("totp/verify", {"challenge": challenge, "code": "123456"}), 401, "mfa-invalid")


async def test_a_recovery_code_lets_in_once_and_is_used_up(gate):
    mine = await enrol_totp(gate, await gate.newcomer())
    spent = mine.recovery_codes[0]
    for expected in (200, 401):
        problem = await challenged(gate, EMAIL, PASSWORD)
        answer = await gate.post("recovery-code/verify", {"challenge": problem["challenge"], "code": spent})
        assert answer.status == expected, await answer.text()
    listed = await (await gate.call("GET", "/_gate/auth/factors", headers=bearer(mine.tokens))).json()
    assert listed["recovery_codes_left"] == 9


async def test_with_cookies_the_tokens_go_into_cookies_and_a_foreign_page_gets_none(gate):
    """security 8"""
    mine = await enrol_totp(gate, await gate.newcomer())
    problem = await challenged(gate, EMAIL, PASSWORD)
    body = {"challenge": problem["challenge"], "code": code(mine.secret, gate), "cookies": True}
    await _refused(await gate.post("totp/verify", body, headers={"Sec-Fetch-Site": "cross-site"}), 403, "csrf")
    answer = await gate.post("totp/verify", body, headers=SAME)
    assert answer.status == 200
    assert "access_token" not in await answer.json()
    names = [line.partition("=")[0] for line in answer.headers.getall("Set-Cookie")]
    assert names == ["gate", "gate-refresh", "gate-known"]


class TestRememberedDevices:
    async def _cookie(self, gate, mine) -> str:
        problem = await challenged(gate, EMAIL, PASSWORD)
        body = {"challenge": problem["challenge"], "code": code(mine.secret, gate), "remember": True}
        answer = await gate.post("totp/verify", body, headers=SAME)
        assert answer.status == 200, await answer.text()
        (line,) = answer.headers.getall("Set-Cookie")
        assert line.startswith("gate-device=")
        assert "Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax" in line
        return line.partition(";")[0]

    async def _login(self, gate, cookie):
        return await gate.post("login", {"email": EMAIL, "password": PASSWORD}, headers={"Cookie": cookie})

    async def test_a_remembered_device_needs_only_the_password_but_is_one_factor(self, gate):
        cookie = await self._cookie(gate, await enrol_totp(gate, await gate.newcomer()))
        answer = await self._login(gate, cookie)
        assert answer.status == 200, await answer.text()
        who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(await answer.json()))).json()
        assert who["acr"] == "1fa"

    async def test_it_is_remembered_for_as_long_as_configured(self, gate):
        cookie = await self._cookie(gate, await enrol_totp(gate, await gate.newcomer()))
        gate.clock.advance(30 * 86400 + 1)
        await _refused(await self._login(gate, cookie), 401, "mfa-required")

    async def test_forgetting_the_devices_is_in_force_at_once(self, gate):
        mine = await enrol_totp(gate, await gate.newcomer())
        cookie = await self._cookie(gate, mine)
        answer = await gate.call("DELETE", "/_gate/auth/factors/devices", headers=bearer(mine.tokens))
        assert answer.status == 204, await answer.text()
        await _refused(await self._login(gate, cookie), 401, "mfa-required")

    async def test_it_counts_for_its_user_only_and_only_unchanged(self, gate):
        cookie = await self._cookie(gate, await enrol_totp(gate, await gate.newcomer()))
        eve = await gate.newcomer("eve@example.com")
        await enrol_totp(gate, eve)
        body = {"email": "eve@example.com", "password": PASSWORD}
        await _refused(await gate.post("login", body, headers={"Cookie": cookie}), 401, "mfa-required")
        forged = cookie[:-1] + ("A" if cookie[-1] != "A" else "B")
        for bad in (forged, f"{cookie}; {cookie}", "gate-device=", "gate-device=x.y"):
            await _refused(await self._login(gate, bad), 401, "mfa-required")

    async def test_a_password_change_forgets_the_devices(self, gate):
        mine = await enrol_totp(gate, await gate.newcomer())
        cookie = await self._cookie(gate, mine)
        body = {"current_password": PASSWORD, "new_password": "another long secret 7"}
        assert (await gate.post("password/change", body, headers=bearer(mine.tokens))).status == 200
        answer = await gate.post(
            "login", {"email": EMAIL, "password": "another long secret 7"}, headers={"Cookie": cookie}
        )
        await _refused(answer, 401, "mfa-required")


class TestRequiredRoles:
    async def _admin(self, gate):
        user = await gate.register(EMAIL)
        await gate.give_roles(user["id"], "admin")
        return await gate.login(EMAIL)

    async def test_who_needs_a_factor_and_has_none_reaches_only_the_adding_of_one(self, gate, upstream):
        tokens = await self._admin(gate)
        assert tokens["must_enrol"] is True
        answer = await gate.call("GET", "/x", headers=bearer(tokens))
        await _refused(answer, 401, "mfa-required")
        assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]
        for method, path in (("GET", "session"), ("GET", "sessions"), ("POST", "password/change")):
            kwargs = {"json": {"current_password": "x", "new_password": "y"}} if method == "POST" else {}
            refused = await gate.call(method, f"/_gate/auth/{path}", headers=bearer(tokens), **kwargs)
            await _refused(refused, 401, "mfa-required")
        assert upstream.requests == []
        listed = await gate.call("GET", "/_gate/auth/factors", headers=bearer(tokens))
        assert (await listed.json())["required"] is True

    async def test_refreshing_does_not_lift_it(self, gate):
        tokens = await self._admin(gate)
        fresh = await (await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})).json()
        assert fresh["must_enrol"] is True
        await _refused(await gate.call("GET", "/x", headers=bearer(fresh)), 401, "mfa-required")

    async def test_neither_does_a_password_step_up(self, gate):
        tokens = await self._admin(gate)
        answer = await gate.post("step-up", {"method": "password", "password": PASSWORD}, headers=bearer(tokens))
        assert answer.status == 200, await answer.text()
        await _refused(await gate.call("GET", "/x", headers=bearer(await answer.json())), 401, "mfa-required")

    async def test_adding_one_lifts_it_at_once(self, gate):
        mine = await enrol_totp(gate, await self._admin(gate))
        assert "must_enrol" not in mine.tokens or mine.tokens["must_enrol"] is not False
        assert (await gate.call("GET", "/x", headers=bearer(mine.tokens))).status == 200
        problem = await challenged(gate, EMAIL, PASSWORD)
        body = {"challenge": problem["challenge"], "code": code(mine.secret, gate)}
        assert (await gate.post("totp/verify", body)).status == 200

    async def test_a_remembered_device_is_no_second_factor_for_them(self, gate):
        mine = await enrol_totp(gate, await gate.newcomer(EMAIL))
        cookie = await TestRememberedDevices()._cookie(gate, mine)
        await gate.give_roles(mine.tokens["user"]["id"], "admin")
        answer = await gate.post("login", {"email": EMAIL, "password": PASSWORD}, headers={"Cookie": cookie})
        await _refused(answer, 401, "mfa-required")
