"""A forgotten password, from the request to the new one (security 12, 15, 21)."""

import asyncio
import json

import pytest
from factories import PASSWORD
from gates import bearer, running_gate

ADA, NOBODY = "ada@example.com", "nobody@example.com"
NEW = "another battery horse 7"


async def _problem(answer, status, reason):
    assert answer.status == status, await answer.text()
    assert answer.headers["X-Gate-Reason"] == reason
    return json.loads(await answer.text())


async def _forgot(gate, email=ADA):
    answer = await gate.post("password/forgot", {"email": email})
    assert answer.status == 202, await answer.text()
    return gate.console.token(email, "password-reset")


async def _reset(gate, token, password=NEW):
    return await gate.post("password/reset", {"token": token, "password": password})


async def test_a_link_sets_a_new_password_and_ends_every_session(gate):
    tokens = await gate.newcomer(ADA)
    answer = await _reset(gate, await _forgot(gate))
    assert answer.status == 200, await answer.text()
    user = await answer.json()
    assert (user["email"], user["email_verified"]) == (ADA, True)
    assert (await gate.call("GET", "/x", headers=bearer(tokens))).status == 401
    await _problem(await gate.post("login", {"email": ADA, "password": PASSWORD}), 401, "invalid-credentials")
    await gate.login(ADA, NEW)
    assert f"Notice for {ADA}: password-changed" in gate.console.lines
    (ended,) = await gate.rows("SELECT end_reason FROM sessions WHERE ended_at IS NOT NULL")
    assert ended["end_reason"] == "password-reset"


async def test_a_link_works_once(gate):
    await gate.register(ADA)
    token = await _forgot(gate)
    assert (await _reset(gate, token)).status == 200
    await _problem(await _reset(gate, token, "yet another horse 55"), 400, "token-invalid")
    await gate.login(ADA, NEW)


async def test_of_ten_resets_at_once_one_sets_its_password(gate):
    await gate.register(ADA)
    token = await _forgot(gate)
    passwords = [f"a battery horse of {number}" for number in range(10)]
    answers = await asyncio.gather(*(_reset(gate, token, password) for password in passwords))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    works = [
        (await gate.post("login", {"email": ADA, "password": password})).status == 200
        for password in passwords
        if answers[passwords.index(password)].status == 200
    ]
    assert works == [True]


async def test_a_newer_link_ends_the_older_one(gate):
    await gate.register(ADA)
    first, second = await _forgot(gate), await _forgot(gate)
    await _problem(await _reset(gate, first), 400, "token-invalid")
    assert (await _reset(gate, second)).status == 200


async def test_a_link_is_good_for_half_an_hour(gate):
    await gate.register(ADA)
    first = await _forgot(gate)
    gate.clock.advance(1800)
    await _problem(await _reset(gate, first), 400, "token-invalid")
    second = await _forgot(gate)
    gate.clock.advance(1799)
    assert (await _reset(gate, second)).status == 200


async def test_a_bad_password_leaves_the_link_good(gate):
    await gate.register(ADA)
    token = await _forgot(gate)
    problem = await _problem(await _reset(gate, token, "short"), 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == ["/password"]
    assert (await _reset(gate, token)).status == 200


@pytest.mark.parametrize("token", ["x", "a" * 43, "a" * 42 + "\n", "\u00e4" * 43])
async def test_what_is_no_token_is_refused(gate, token):
    await _problem(await _reset(gate, token), 400, "token-invalid")


async def test_a_link_for_an_email_that_changed_meanwhile_is_void(gate):
    await gate.register(ADA)
    token = await _forgot(gate)
    await gate.rows("UPDATE users SET email = 'eve@example.com' RETURNING id")
    await _problem(await _reset(gate, token), 400, "token-invalid")


async def test_a_link_leads_to_the_public_url_whatever_the_host_says(gate):
    """security 21"""
    await gate.register(ADA)
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    await gate.post("password/forgot", {"email": ADA}, headers=headers)
    (line,) = [line for line in gate.console.lines if "password-reset" in line]
    assert line.startswith(f"Link for {ADA} (password-reset): {gate.url}/_gate/reset?token=")


async def test_a_known_and_an_unknown_email_are_answered_alike(gate):
    """security 15"""
    await gate.register(ADA)
    known = await gate.post("password/forgot", {"email": ADA})
    unknown = await gate.post("password/forgot", {"email": NOBODY})
    assert known.status == unknown.status == 202
    assert await known.text() == await unknown.text()
    assert _fields(known) == _fields(unknown)
    assert not any(NOBODY in line for line in gate.console.lines)


def _fields(answer):
    return {name: value for name, value in answer.headers.items() if name not in {"X-Request-Id", "Date"}}


async def test_a_locked_account_gets_no_link(gate):
    user = await gate.register(ADA)
    await gate.rows(f"UPDATE users SET locked = true WHERE id = '{user['id']}' RETURNING id")
    assert (await gate.post("password/forgot", {"email": ADA})).status == 202
    assert gate.console.lines == []


async def test_requests_are_limited_by_address_and_by_email(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "limits": {"forgot_per_ip": "5/hour"},
        "otp": {"limit": "2/hour"},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        for email in (ADA, ADA, NOBODY, NOBODY):
            assert (await gate.post("password/forgot", {"email": email})).status == 202
        await _problem(await gate.post("password/forgot", {"email": NOBODY}), 429, "rate-limited")
        await _problem(await gate.post("password/forgot", {"email": "third@example.com"}), 429, "rate-limited")


async def test_the_token_is_nowhere_in_the_database(gate):
    await gate.register(ADA)
    token = await _forgot(gate)
    for table in ("mail_links", "audit_log", "outbox"):
        assert token not in str(await gate.rows(f"SELECT * FROM {table}"))


async def test_a_reset_is_in_the_audit_log(gate):
    user = await gate.register(ADA)
    await _reset(gate, await _forgot(gate))
    (row,) = await gate.rows("SELECT * FROM audit_log WHERE action = 'user.password-reset'")
    assert (row["actor"], row["subject"]) == (user["id"], user["id"])


async def test_a_changed_password_is_told_to_its_owner(gate):
    tokens = await gate.newcomer(ADA)
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await gate.post("password/change", body, headers=bearer(tokens))).status == 200
    assert f"Notice for {ADA}: password-changed" in gate.console.lines
