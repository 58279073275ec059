"""Passwords that have to be replaced open nothing but the page for another (issue 7.5)."""

import json

import pytest
from factories import PASSWORD
from forms import Browser, text_of
from gates import bearer
from second_factors import challenged, code, enrol_totp

from gatekeeper.identity.accounts import Accounts
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis

EMAIL = "ada@example.com"
ANOTHER = "another long password"


@pytest.fixture
async def expire(gate, redis_url):
    """Does to the account with this id what ``user expire-password`` does."""
    redis, postgres = Redis(redis_url, timeout=5.0), Postgres(gate.dsn, size=1, timeout=30.0)
    await redis.open()
    accounts = Accounts(PostgresAccounts(postgres), RedisSessions(redis, user_life=86400.0))

    async def do_so(user):
        return await accounts.expire_password(user, gate.clock.now())

    yield do_so
    await redis.close()
    await postgres.close()


async def _demanded(answer):
    text = await answer.text()
    assert (answer.status, answer.headers.get("X-Gate-Reason")) == (401, "password-change-required"), text
    return json.loads(text)


async def _tried(gate, password=PASSWORD):
    return await gate.post("login", {"email": EMAIL, "password": password})


async def _set(gate, token, password):
    return await gate.post("password/reset", {"token": token, "password": password})


async def test_sessions_end_and_the_old_password_leads_only_to_a_new_one(gate, expire):
    """security 12"""
    tokens = await gate.newcomer()
    assert await expire(tokens["user"]["id"]) is not None
    gate.clock.advance(1)  # rows of one moment have no order
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 401
    demanded = await _demanded(await _tried(gate))
    assert (demanded["expires_in"], "access_token" in demanded) == (600, False)
    rows = await gate.rows("SELECT result, reason, session FROM login_logs ORDER BY time, id")
    assert [(row["result"], row["reason"], row["session"]) for row in rows[-1:]] == [
        ("failure", "password-change-required", None)
    ]
    assert (await _set(gate, demanded["token"], ANOTHER)).status == 200
    assert (await _tried(gate)).status == 401
    assert (await _tried(gate, ANOTHER)).status == 200


async def test_the_same_password_is_no_other_one_and_the_token_counts_once(gate, expire):
    user = (await gate.newcomer())["user"]["id"]
    await expire(user)
    token = (await _demanded(await _tried(gate)))["token"]
    same = await _set(gate, token, PASSWORD)
    assert same.status == 422
    assert "has to be replaced" in await same.text()
    assert (await _set(gate, token, "short")).status == 422
    assert [(await _set(gate, token, ANOTHER)).status for _ in range(2)] == [200, 400]
    (row,) = await gate.rows("SELECT email_verified FROM users")
    assert row["email_verified"] is False  # nothing was mailed


async def test_a_token_is_over_in_ten_minutes_and_with_any_other_new_password(gate, expire):
    user = (await gate.newcomer())["user"]["id"]
    await expire(user)
    token = (await _demanded(await _tried(gate)))["token"]
    gate.clock.advance(601)
    assert (await _set(gate, token, ANOTHER)).status == 400
    older, newer = [(await _demanded(await _tried(gate)))["token"] for _ in range(2)]
    assert (await _set(gate, older, ANOTHER)).status == 400
    postgres = Postgres(gate.dsn, size=1, timeout=30.0)
    await PostgresAccounts(postgres).set_password(user, "a hash", gate.clock.now(), keep=None)
    await postgres.close()
    assert (await _set(gate, newer, ANOTHER)).status == 400


async def test_the_second_factor_comes_first(gate, expire):
    mine = await enrol_totp(gate, await gate.newcomer())
    await expire(mine.tokens["user"]["id"])
    problem = await challenged(gate, EMAIL, PASSWORD)
    answer = await gate.post("totp/verify", {"challenge": problem["challenge"], "code": code(mine.secret, gate)})
    token = (await _demanded(answer))["token"]
    assert (await _set(gate, token, ANOTHER)).status == 200
    await challenged(gate, EMAIL, ANOTHER)


async def test_a_wrong_password_says_nothing_of_it(gate, expire):
    """security 15, 20"""
    await expire((await gate.newcomer())["user"]["id"])
    answer = await _tried(gate, "wrong horse battery 9")
    assert answer.headers["X-Gate-Reason"] == "invalid-credentials"


async def test_the_login_page_leads_to_the_page_for_another_password(gate, expire):
    await expire((await gate.newcomer())["user"]["id"])
    browser = Browser(gate)
    answer = await browser.sign_in(EMAIL, PASSWORD)
    assert answer.status == 303
    location = answer.headers["Location"]
    assert location.startswith("/_gate/reset?token=")
    assert browser.cookies == {}
    assert "has to be replaced before you can sign in" in await text_of(await browser.get(location))
    fields = {"token": location.partition("=")[2], "password": ANOTHER}
    assert (await browser.submit("/_gate/reset", fields)).headers["Location"] == "/_gate/login?done=reset"
    assert (await browser.sign_in(EMAIL, ANOTHER)).headers["Location"] == "/"


async def test_an_account_without_a_password_has_none_to_replace(gate, expire):
    tokens = await gate.newcomer()
    await gate.rows("DELETE FROM passwords RETURNING 1 AS one")
    assert await expire(tokens["user"]["id"]) is None
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 200
