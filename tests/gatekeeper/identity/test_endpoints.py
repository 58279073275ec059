"""The JSON API under P/auth as a client meets it (security 8, 10, 11, 12, 15, 18)."""

import asyncio
import json
import unicodedata

import pytest
from factories import NOW, PASSWORD
from gates import OneGate, bearer


async def _problem(answer, status, reason):
    assert answer.status == status, await answer.text()
    assert answer.content_type == "application/problem+json"
    assert answer.headers["X-Gate-Reason"] == reason
    body = json.loads(await answer.text())
    assert (body["type"], body["status"]) == (f"urn:gatekeeper:{reason}", status)
    return body


async def _alive(gate, tokens):
    return (await gate.call("GET", "/x", headers=bearer(tokens))).status == 200


async def test_register_login_and_call_the_upstream(gate, upstream):
    user = await gate.register("Ada@Example.COM")
    assert user == {"id": user["id"], "email": "ada@example.com", "email_verified": False, "name": None, "roles": []}
    tokens = await gate.login("ada@example.com")
    assert (tokens["token_type"], tokens["expires_in"], tokens["user"]) == ("Bearer", 900, user)
    assert await _alive(gate, tokens)


async def test_a_taken_email_is_a_conflict_in_any_spelling(gate):
    """security 18"""
    await gate.register("strasse@example.com")
    for spelling in ("STRASSE@example.com", "stra\u00dfe@EXAMPLE.com", "\uff53trasse@example.com"):
        answer = await gate.post("register", {"email": spelling, "password": PASSWORD})
        await _problem(answer, 409, "email-taken")


class TestBodies(OneGate):
    """What is wrong with a body is said, and changes nothing."""

    @pytest.mark.parametrize(
        ("body", "pointers"),
        [
            ({}, {"/email", "/password"}),
            ({"email": "ada@example.com", "password": PASSWORD, "role": "admin"}, {"/role"}),
            ({"email": 7, "password": None}, {"/email", "/password"}),
            ({"email": "ada", "password": PASSWORD}, {"/email"}),
            ({"email": "a@b@example.com", "password": PASSWORD}, {"/email"}),
            ({"email": "ada@example.com.", "password": PASSWORD}, {"/email"}),
            ({"email": "a\u200bda@example.com", "password": PASSWORD}, {"/email"}),
            ({"email": "ada@example.com", "password": "short"}, {"/password"}),
            ({"email": "ada@example.com", "password": "QwertyQwerty"}, {"/password"}),
            ({"email": "ada@example.com", "password": "x" * 1025}, {"/password"}),
            ({"email": "ada@example.com", "password": PASSWORD, "name": "a\nb"}, {"/name"}),
            ({"email": "ada@example.com", "password": PASSWORD, "name": "x" * 201}, {"/name"}),
            ([], {""}),
        ],
    )
    async def test_a_bad_body_names_every_field_and_changes_nothing(self, gate, body, pointers):
        problem = await _problem(await gate.post("register", body), 422, "validation")
        assert {error["pointer"] for error in problem["errors"]} == pointers
        assert PASSWORD not in json.dumps(problem)
        assert await gate.rows("SELECT 1 FROM users") == []

    @pytest.mark.parametrize(
        ("data", "headers", "status", "reason"),
        [
            (b"{", {"Content-Type": "application/json"}, 400, "validation"),
            (b'{"email":"\xff"}', {"Content-Type": "application/json"}, 400, "validation"),
            (b'{"email":"\\ud800"}', {"Content-Type": "application/json"}, 400, "validation"),
            (b"[" * 50_000, {"Content-Type": "application/json"}, 400, "validation"),
            (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
            (b"{}", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported-media-type"),
            (b" " * 70_000, {"Content-Type": "application/json"}, 413, "too-large"),
        ],
    )
    @pytest.mark.parametrize("call", ["register", "login", "refresh"])
    async def test_what_is_no_json_body_is_said_without_a_traceback(self, gate, call, data, headers, status, reason):
        """security 28"""
        answer = await gate.call("POST", f"/_gate/auth/{call}", data=data, headers=headers)
        await _problem(answer, status, reason)


async def test_wrong_password_unknown_email_and_locked_account_answer_alike(gate):
    """security 15"""
    from gatekeeper.store.accounts import PostgresAccounts
    from gatekeeper.store.postgres import Postgres

    locked = await gate.register("locked@example.com")
    await gate.register("ada@example.com")
    postgres = Postgres(gate.dsn)
    await PostgresAccounts(postgres).set_locked(locked["id"], locked=True, now=NOW)
    await postgres.close()
    seen = set()
    for email, password in [
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("locked@example.com", PASSWORD),
        ("no address at all", PASSWORD),
    ]:
        answer = await gate.post("login", {"email": email, "password": password})
        await _problem(answer, 401, "invalid-credentials")
        kept = {name: value for name, value in answer.headers.items() if name not in {"Date", "X-Request-Id"}}
        seen.add((await answer.text(), tuple(sorted(kept.items()))))
    assert len(seen) == 1


async def test_the_password_is_the_same_in_every_unicode_form(gate):
    """security 17"""
    password = "gr\u00fc\u00dfe an alle welt"
    await gate.register("ada@example.com", password)
    assert await gate.login("ada@example.com", unicodedata.normalize("NFD", password))


async def test_refresh_rotates_and_a_replay_kills_the_family(gate):
    """security 11: the tour of the README"""
    first = await gate.newcomer()
    second = await (await gate.post("refresh", {"refresh_token": first["refresh_token"]})).json()
    gate.clock.advance(60)
    third = await (await gate.post("refresh", {"refresh_token": second["refresh_token"]})).json()
    assert third["session_id"] == first["session_id"]
    assert await _alive(gate, first)
    assert await _alive(gate, third)
    replay = await gate.post("refresh", {"refresh_token": first["refresh_token"]})
    await _problem(replay, 401, "refresh-reused")
    for tokens in (first, second, third):
        assert not await _alive(gate, tokens)
        answer = await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})
        await _problem(answer, 401, "session-ended")


async def test_twenty_tabs_refreshing_at_once_rotate_once_and_all_get_a_working_pair(gate):
    """security 11"""
    tokens = await gate.newcomer()
    answers = await asyncio.gather(
        *(gate.post("refresh", {"refresh_token": tokens["refresh_token"]}) for _ in range(20))
    )
    pairs = [await answer.json() for answer in answers]
    assert {pair["refresh_token"] for pair in pairs} == {pairs[0]["refresh_token"]}
    assert all([await _alive(gate, pair) for pair in pairs])


async def test_a_forged_refresh_token_is_invalid_and_ends_nothing(gate):
    tokens = await gate.newcomer()
    forged = tokens["refresh_token"].replace(".1.", ".2.")
    await _problem(await gate.post("refresh", {"refresh_token": forged}), 401, "refresh-invalid")
    assert await _alive(gate, tokens)


async def test_a_session_ends_when_idle_and_at_its_absolute_end(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(7 * 86400 + 1)
    answer = await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})
    await _problem(answer, 401, "session-ended")
    for _ in range(6):
        tokens = tokens if _ else await gate.login("ada@example.com")
        gate.clock.advance(5 * 86400)
        answer = await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})
        tokens = await answer.json() if answer.status == 200 else None
    assert tokens is None
    await _problem(answer, 401, "session-ended")


async def test_logout_is_in_force_on_the_next_request(gate):
    """security 12"""
    tokens, other = await gate.newcomer(), await gate.login("ada@example.com")
    answer = await gate.call("POST", "/_gate/auth/logout", headers=bearer(tokens))
    assert (answer.status, await answer.text()) == (204, "")
    refused = await gate.call("GET", "/x", headers=bearer(tokens))
    await _problem(refused, 401, "session-ended")
    await _problem(await gate.call("POST", "/_gate/auth/logout", headers=bearer(tokens)), 401, "session-ended")
    assert await _alive(gate, other)


@pytest.mark.parametrize(("scope", "survivors"), [("this", {1, 2}), ("others", {0}), ("all", set())])
async def test_logout_ends_what_its_scope_says(gate, scope, survivors):
    """security 12"""
    await gate.register("ada@example.com")
    mine = [await gate.login("ada@example.com") for _ in range(3)]
    stranger = await gate.newcomer("eve@example.com")
    assert (await gate.post("logout", {"scope": scope}, headers=bearer(mine[0]))).status == 204
    assert {place for place, tokens in enumerate(mine) if await _alive(gate, tokens)} == survivors
    assert await _alive(gate, stranger)


async def test_my_sessions_are_listed_and_one_can_be_ended(gate):
    here, there = await gate.newcomer(), await gate.login("ada@example.com")
    stranger = await gate.newcomer("eve@example.com")
    listed = await (await gate.call("GET", "/_gate/auth/sessions", headers=bearer(here))).json()
    assert {entry["id"]: entry["current"] for entry in listed["sessions"]} == {
        here["session_id"]: True,
        there["session_id"]: False,
    }
    assert listed["sessions"][0]["address"] == "127.0.0.1"
    for tokens, status in ((stranger, 404), (there, 204), (there, 404)):
        path = f"/_gate/auth/sessions/{tokens['session_id']}"
        assert (await gate.call("DELETE", path, headers=bearer(here))).status == status
    assert not await _alive(gate, there)
    assert await _alive(gate, stranger)


async def test_who_am_i(gate):
    tokens = await gate.newcomer()
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).json()
    assert (who["session_id"], who["user"], who["acr"], who["amr"]) == (
        tokens["session_id"],
        tokens["user"],
        "1fa",
        ["pwd"],
    )
    assert who["auth_time"] == "2027-01-15T08:00:00Z"


async def test_a_password_change_ends_every_other_session(gate):
    """security 12"""
    here, there = await gate.newcomer(), await gate.login("ada@example.com")
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await gate.post("password/change", body, headers=bearer(here))).status == 200
    assert await _alive(gate, here)
    assert not await _alive(gate, there)
    refreshed = await gate.post("refresh", {"refresh_token": here["refresh_token"]})
    assert refreshed.status == 200
    assert (await gate.post("login", {"email": "ada@example.com", "password": PASSWORD})).status == 401
    assert await gate.login("ada@example.com", "another long password")


async def test_a_password_change_needs_the_current_password_and_a_good_new_one(gate):
    tokens = await gate.newcomer()
    body = {"current_password": "wrong", "new_password": "another long password"}
    answer = await gate.post("password/change", body, headers=bearer(tokens))
    await _problem(answer, 401, "invalid-credentials")
    body = {"current_password": PASSWORD, "new_password": "short"}
    answer = await gate.post("password/change", body, headers=bearer(tokens))
    problem = await _problem(answer, 422, "validation")
    assert problem["errors"][0]["pointer"] == "/new_password"
    assert await _alive(gate, tokens)


SAME = {"Sec-Fetch-Site": "same-origin"}


async def _cookie_login(gate, email="ada@example.com"):
    body = {"email": email, "password": PASSWORD, "cookies": True}
    answer = await gate.post("login", body, headers=SAME)
    assert answer.status == 200, await answer.text()
    return answer, {morsel.split("=")[0]: morsel.split(";")[0] for morsel in answer.headers.getall("Set-Cookie")}


async def test_cookie_mode_puts_both_tokens_into_cookies_only(gate, upstream):
    await gate.register("ada@example.com")
    answer, cookies = await _cookie_login(gate)
    body = await answer.json()
    assert "access_token" not in body
    assert "refresh_token" not in body
    assert set(cookies) == {"gate", "gate-refresh", "gate-known"}
    for value in answer.headers.getall("Set-Cookie")[:2]:
        assert {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=2592000"} <= set(value.split("; "))
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Vary"] == "Cookie"
    header = {"Cookie": "; ".join([*cookies.values(), "theme=dark"])}
    assert (await gate.call("GET", "/x", headers=header)).status == 200
    assert b"theme=dark" in upstream.raw
    assert b"gate-refresh" not in upstream.raw
    assert b"gate-known" not in upstream.raw  # security 3: upstreams never see the gate's cookies


async def test_a_cookie_login_from_elsewhere_is_refused(gate):
    """security 8"""
    await gate.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD, "cookies": True}
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        await _problem(await gate.post("login", body, headers=headers), 403, "csrf")


@pytest.mark.parametrize("call", ["refresh", "logout", "password/change"])
async def test_an_unsafe_call_by_cookie_needs_the_same_origin(gate, call):
    """security 8"""
    await gate.register("ada@example.com")
    _, cookies = await _cookie_login(gate)
    header = {"Cookie": "; ".join(cookies.values())}
    body = {"current_password": PASSWORD, "new_password": "x" * 20} if call == "password/change" else {}
    await _problem(await gate.post(call, body, headers=header), 403, "csrf")
    assert (await gate.post(call, body, headers=header | SAME)).status in {200, 204}


async def test_twenty_tabs_renew_in_passing_and_none_rotates(gate):
    await gate.register("ada@example.com")
    _, cookies = await _cookie_login(gate)
    gate.clock.advance(901)
    header = {"Cookie": "; ".join(cookies.values())}
    answers = await asyncio.gather(*(gate.call("GET", "/x", headers=header) for _ in range(20)))
    for answer in answers:
        assert answer.status == 200
        (cookie,) = answer.headers.getall("Set-Cookie")
        assert cookie.startswith("gate=ey")
        assert answer.headers["Cache-Control"] == "private, no-store"
    refreshed = await gate.post("refresh", None, headers=header | SAME)
    assert refreshed.status == 200, await refreshed.text()
    assert ".2." in refreshed.headers.getall("Set-Cookie")[1]


async def test_logout_by_cookie_clears_both(gate):
    await gate.register("ada@example.com")
    _, cookies = await _cookie_login(gate)
    header = {"Cookie": "; ".join(cookies.values())}
    answer = await gate.call("POST", "/_gate/auth/logout", headers=header | SAME)
    assert answer.status == 204
    assert all("Max-Age=0" in value for value in answer.headers.getall("Set-Cookie"))


async def test_failed_logins_are_limited_for_an_account_whether_it_exists_or_not(gate):
    """security 18, 20"""
    await gate.register("ada@example.com")
    for email in ("ada@example.com", "nobody@example.com"):
        for _ in range(5):
            answer = await gate.post("login", {"email": email, "password": "wrong password"})
            assert answer.status == 401
        limited = await gate.post("login", {"email": email, "password": PASSWORD})
        problem = await _problem(limited, 429, "rate-limited")
        assert 0 < problem["retry_after"] <= 901
        assert limited.headers["Retry-After"] == str(problem["retry_after"])


async def test_parallel_guesses_cannot_pass_the_limit_of_an_account(gate):
    """security 20"""
    await gate.register("ada@example.com")
    answers = await asyncio.gather(
        *(gate.post("login", {"email": "ada@example.com", "password": f"wrong {n}"}) for n in range(40))
    )
    assert sorted(answer.status for answer in answers) == [401] * 5 + [429] * 35


async def test_good_logins_do_not_use_the_limit_up(gate):
    await gate.register("ada@example.com")
    for _ in range(12):
        await gate.login("ada@example.com")


async def test_every_attempt_is_one_row(gate):
    await gate.register("ada@example.com")
    await gate.login("ada@example.com")
    await gate.post("login", {"email": "Ada@example.com", "password": "wrong password"})
    await gate.post("login", {"email": "nobody@example.com", "password": "wrong password"})
    rows = await gate.rows("SELECT email, user_id, result, reason, host(address) AS address, session FROM login_logs")
    facts = {(row["email"], row["result"], row["reason"], row["address"]) for row in rows}
    assert facts == {
        ("ada@example.com", "success", None, "127.0.0.1"),
        ("Ada@example.com", "failure", "invalid-credentials", "127.0.0.1"),
        ("nobody@example.com", "failure", "invalid-credentials", "127.0.0.1"),
    }
    assert len(rows) == 3


async def test_closed_registration_says_so(postgres_dsn, redis_url, tmp_path):
    from gates import running_gate

    async with running_gate(postgres_dsn, redis_url, tmp_path, registration={"mode": "closed"}) as gate:
        answer = await gate.post("register", {"email": "ada@example.com", "password": PASSWORD})
        await _problem(answer, 403, "registration-closed")


async def test_jwks_lists_the_public_keys(gate):
    """security 13"""
    keys = (await (await gate.call("GET", "/_gate/jwks.json")).json())["keys"]
    assert [key["alg"] for key in keys] == ["EdDSA", "EdDSA"]
    assert all("d" not in key for key in keys)


async def test_openapi_names_every_call_of_the_api(gate):
    document = await (await gate.call("GET", "/_gate/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]["/_gate/auth/login"]) == {"post"}
    body = document["paths"]["/_gate/auth/register"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/RegisterBody"}


async def test_no_password_rests_in_clear(gate):
    """security 16"""
    await gate.newcomer()
    (row,) = await gate.rows("SELECT hash FROM passwords")
    assert row["hash"].startswith("$argon2id$v=19$")
    assert PASSWORD not in str(await gate.rows("SELECT users::text AS row FROM users"))


async def test_logged_in_elsewhere_the_user_agent_and_country_are_kept(gate):
    await gate.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD}
    await gate.post("login", body, headers={"User-Agent": "curl/8\tx" + "y" * 600})
    (row,) = await gate.rows("SELECT user_agent FROM sessions")
    assert row["user_agent"].startswith("curl/8")
    assert len(row["user_agent"]) <= 512
