"""Guessing is slowed down, and strangers alone lock nobody out (security 18, 20)."""

import pytest
from factories import PASSWORD
from gates import running_gate

SAME = {"Sec-Fetch-Site": "same-origin"}
WRONG = "quite another horse 7"


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    """A gate behind a proxy, so that a test may come from anywhere; bans are out of the way."""
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [{"name": "api", "path": "/**", "allow": "authenticated"}],
        "trusted_proxies": ["127.0.0.0/8"],
        "limits": {"login_per_ip": "1000/minute", "register_per_ip": "1000/minute", "login_per_account": "3/15minutes"},
        "bans": {"after": None, "spray": None},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        yield running


async def attempt(gate, address, password=WRONG, email="ada@example.com", *, cookie=None, cookies=False):
    headers = {"X-Forwarded-For": address, **SAME, **({"Cookie": cookie} if cookie else {})}
    return await gate.post("login", {"email": email, "password": password, "cookies": cookies}, headers=headers)


async def device_of(gate, address):
    """The device cookie of a browser that signs in from there."""
    answer = await attempt(gate, address, PASSWORD, cookies=True)
    assert answer.status == 200
    return answer.headers.getall("Set-Cookie")[2].split(";")[0]


async def strangers(gate, count=3, first=1, email="ada@example.com"):
    """So many wrong guesses, each from an address of its own."""
    return [(await attempt(gate, f"198.51.100.{first + n}", email=email)).status for n in range(count)]


async def test_strangers_at_many_addresses_use_up_the_account_s_tries(gate):
    await gate.register("ada@example.com")
    assert await strangers(gate, 4) == [401, 401, 401, 429]


async def test_a_known_device_gets_through_when_strangers_have_used_up_the_tries(gate):
    """security 20"""
    await gate.register("ada@example.com")
    device = await device_of(gate, "192.0.2.1")
    await strangers(gate)
    assert (await attempt(gate, "192.0.2.99", PASSWORD)).status == 429
    assert (await attempt(gate, "192.0.2.99", PASSWORD, cookie=device)).status == 200


async def test_a_known_device_gets_through_beside_a_stranger_at_the_same_address(gate):
    await gate.register("ada@example.com")
    device = await device_of(gate, "192.0.2.1")
    assert [(await attempt(gate, "192.0.2.1")).status for _ in range(4)] == [401, 401, 401, 429]
    assert (await attempt(gate, "192.0.2.1", PASSWORD, cookie=device)).status == 200


async def test_an_address_that_the_account_was_used_from_gets_through_without_a_cookie(gate):
    await gate.register("ada@example.com")
    assert (await attempt(gate, "192.0.2.1", PASSWORD)).status == 200
    await strangers(gate)
    assert (await attempt(gate, "192.0.2.2", PASSWORD)).status == 429
    assert (await attempt(gate, "192.0.2.1", PASSWORD)).status == 200


async def test_a_known_device_has_no_more_tries_than_anybody(gate):
    await gate.register("ada@example.com")
    device = await device_of(gate, "192.0.2.1")
    tries = [(await attempt(gate, f"192.0.2.{n}", cookie=device)).status for n in range(1, 6)]
    assert tries == [401, 401, 401, 429, 429]


async def test_a_known_device_of_one_account_is_a_stranger_to_another(gate):
    await gate.register("ada@example.com")
    await gate.register("eve@example.com")
    device = await device_of(gate, "192.0.2.1")
    await strangers(gate, email="eve@example.com")
    answer = await attempt(gate, "192.0.2.1", PASSWORD, "eve@example.com", cookie=device)
    assert answer.status == 429


async def test_the_owner_s_login_from_a_known_device_gives_strangers_no_new_tries(gate):
    await gate.register("ada@example.com")
    device = await device_of(gate, "192.0.2.1")
    await strangers(gate)
    assert (await attempt(gate, "192.0.2.1", PASSWORD, cookie=device)).status == 200
    assert await strangers(gate, 2, first=50) == [429, 429]


async def test_answers_during_a_lock_say_nothing_about_the_password(gate):
    """security 20"""
    await gate.register("ada@example.com")
    await strangers(gate)
    right, wrong = await attempt(gate, "192.0.2.7", PASSWORD), await attempt(gate, "192.0.2.8")
    unknown = [await attempt(gate, f"203.0.113.{n}", email="nobody@example.com") for n in range(4)][-1]
    bodies = [{**(await one.json()), "retry_after": 0} for one in (right, wrong, unknown)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert {one.status for one in (right, wrong, unknown)} == {429}


async def test_an_unknown_e_mail_has_the_same_tries_however_it_is_written(gate):
    """security 18"""
    spellings = ["Nobody@Example.com", "nobody@example.com", "NOBODY@EXAMPLE.COM ".strip(), "nobody@example.com"]
    tries = [(await attempt(gate, f"192.0.2.{n}", email=email)).status for n, email in enumerate(spellings, 1)]
    assert tries == [401, 401, 401, 429]


async def test_strangers_cannot_keep_somebody_who_is_signed_in_from_a_new_password(gate):
    await gate.register("ada@example.com")
    tokens = await gate.login("ada@example.com")
    await strangers(gate)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    body = {"current_password": PASSWORD, "new_password": "another good horse 11"}
    assert (await gate.post("password/change", body, headers=headers)).status == 200


async def test_guesses_of_a_signed_in_caller_at_the_password_are_counted(gate):
    await gate.register("ada@example.com")
    tokens = await gate.login("ada@example.com")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    body = {"current_password": WRONG, "new_password": "another good horse 11"}
    tries = [(await gate.post("password/change", body, headers=headers)).status for _ in range(4)]
    assert tries == [401, 401, 401, 429]
