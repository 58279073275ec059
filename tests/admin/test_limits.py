"""Limits in the panel: who is nearest to each, of requests and of attempts to sign in (issue 7)."""

import json

from forms import text_of

LIMITS = "/_gate/admin/limits"
WRONG = {"password": "not the right one, this"}


async def _most(admin):
    answer = json.loads(await (await admin.get("/_gate/admin/api/limits")).text())
    assert answer["whole"] is True
    return {limit["name"]: limit for limit in answer["limits"]}


async def test_requests_are_shown_by_address_with_what_the_limit_is(gate, admin):
    page = await text_of(await admin.get(LIMITS))
    assert "Requests Nobody counts at the moment. 1 limit against which nobody counts" in page
    for _ in range(3):
        await gate.call("GET", "/somewhere")
    limit = (await _most(admin))["default"]
    assert (limit["by"], limit["window"], limit["setting"]) == (["address"], 60, "limits.default")
    assert limit["windows"] == [{"amount": 10_000_000, "seconds": 60}]
    (use,) = limit["most"]
    assert use == {
        "who": "127.0.0.1",
        "parts": {"address": "127.0.0.1"},
        "requests": 3,
        "counts": [3],
        "share": 0.0,
    }
    page = await text_of(await admin.get(LIMITS))
    assert "All requests of one address 10,000,000 each 1 min · limits.default 127.0.0.1 you 3 0 %" in page


async def test_every_kind_of_attempt_is_shown_with_who_makes_them_and_by_name_where_it_can_be(gate, admin):
    ada = await gate.newcomer()
    for email, times in (("ada@example.com", 2), ("nobody@example.com", 3)):
        for _ in range(times):
            assert (await gate.post("login", {"email": email, **WRONG})).status == 401
    await gate.post("otp/request", {"email": "ada@example.com", "purpose": "login"})
    await gate.post("password/forgot", {"email": "ada@example.com"})
    await gate.post("refresh", {"refresh_token": ada["refresh_token"]})
    bearer = {"Authorization": f"Bearer {ada['access_token']}"}
    await gate.post("step-up", {"method": "password", **WRONG}, headers=bearer)
    used = {name: limit["most"] for name, limit in (await _most(admin)).items() if limit["most"]}
    assert {"login/address", "login/account", "login/pair", "login/confirm", "register", "refresh"} <= used.keys()
    assert {"otp/address", "otp/account", "otp/email", "forgot/address", "forgot/email"} <= used.keys()
    (user,) = await gate.rows("SELECT id FROM users WHERE email = 'ada@example.com'")
    assert {use["parts"]["account"]: use["requests"] for use in used["login/account"]}[str(user["id"])] == 2
    assert used["refresh"][0]["who"] == ada["refresh_token"].partition(".")[0]
    page = await (await admin.get(LIMITS)).text()
    assert f'href="/_gate/admin/users/{user["id"]}">ada@example.com</a>' in page
    assert 'href="/_gate/admin/logins?user=nobody%40example.com">nobody@example.com</a>' in page  # out of a hash
    assert 'href="/_gate/admin/logins?address=127.0.0.1">127.0.0.1</a>' in page
    said = await text_of(await admin.get(LIMITS))
    assert "Failed logins on one account" in said
    assert "Codes of one purpose to one e-mail" in said
    assert "login · ada@example.com" in said


async def test_a_consumer_is_banned_from_the_row_and_the_page_comes_back(gate, admin):
    await gate.newcomer()
    await gate.post("login", {"email": "ada@example.com", **WRONG})
    (user,) = await gate.rows("SELECT id FROM users WHERE email = 'ada@example.com'")
    page = await (await admin.get(LIMITS)).text()
    assert f'name="subject" value="user:{user["id"]}"' in page
    assert 'name="subject" value="127.0.0.1"' not in page  # the one who looks
    fields = {"subject": f"user:{user['id']}", "back": "limits", "length": "24h", "why": "guesses"}
    answer = await admin.submit("/_gate/admin/bans", fields)
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/limits?done=ban-added")
    assert [row["subject"] for row in await gate.rows("SELECT subject FROM bans")] == [str(user["id"])]
