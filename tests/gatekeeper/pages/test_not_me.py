"""Owners hear of sign-ins from somewhere new and of stolen tokens, and take their account back by one link."""

import pytest
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import bearer, running_gate
from mail_server import mail_server
from second_factors import enrol_passkey, enrol_totp

ADA = "ada@example.com"
NOT_ME = "/_gate/not-me"
NEW = "another horse battery 7"
ELSEWHERE = {
    "X-Forwarded-For": "198.51.100.7",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "trusted_proxies": ["127.0.0.0/8"],
        "tokens": {"refresh_reuse_window": "1s"},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


async def _login(gate, headers=None, password=PASSWORD):
    answer = await gate.post("login", {"email": ADA, "password": password}, headers=headers or {})
    assert answer.status == 200, await answer.text()
    return await answer.json()


def _told(gate, kind):
    return gate.console.lines.count(f"Notice for {ADA}: {kind}")


async def _reaches(gate, tokens):
    return (await gate.call("GET", "/x", headers=bearer(tokens))).status


async def _stranger(gate):
    """Somebody who knows Ada's password signs in elsewhere: their tokens, and the token of the link in Ada's mail."""
    tokens = await _login(gate, ELSEWHERE)
    return tokens, gate.console.token(ADA, "not-me")


async def _disown(gate, token):
    answer = await Browser(gate).submit(NOT_ME, {"token": token})
    assert answer.status == 303, await answer.text()
    path, _, onward = answer.headers["Location"].partition("?token=")
    assert path == f"{gate.url}/_gate/reset"
    return onward


async def test_a_sign_in_from_somewhere_new_is_told_and_the_first_and_the_usual_are_not(gate):
    await gate.register(ADA)
    for _ in range(2):
        await _login(gate)
    assert _told(gate, "new-sign-in") == 0
    await _login(gate, ELSEWHERE)
    assert _told(gate, "new-sign-in") == 1
    await _login(gate, ELSEWHERE)
    assert _told(gate, "new-sign-in") == 1, "it is known by now"


async def test_a_browser_that_has_signed_in_before_is_nothing_new_at_another_address(gate):
    await gate.register(ADA)
    body = {"email": ADA, "password": PASSWORD, "cookies": True}
    answer = await gate.post("login", body, headers={"Origin": gate.url})
    known = next(one for one in answer.headers.getall("Set-Cookie") if "known" in one).partition(";")[0]
    await _login(gate, {**ELSEWHERE, "Cookie": known})
    assert _told(gate, "new-sign-in") == 0


async def test_the_link_ends_every_session_and_the_password_and_leads_to_a_new_one(gate):
    mine = await gate.newcomer(ADA)
    stolen, token = await _stranger(gate)
    browser = Browser(gate)
    for _ in range(2):
        page = await browser.get(f"{NOT_ME}?token={token}")
        assert (page.status, input_named(await page.text(), "token")["value"]) == (200, token)
    assert await _reaches(gate, stolen) == 200, "security 8: looking changes nothing"
    onward = await _disown(gate, token)
    assert [await _reaches(gate, one) for one in (mine, stolen)] == [401, 401]
    answer = await gate.post("refresh", {"refresh_token": stolen["refresh_token"]})
    assert answer.status == 401
    assert (await gate.post("login", {"email": ADA, "password": PASSWORD})).status == 401
    assert (await browser.submit("/_gate/reset", {"token": onward, "password": NEW})).status == 303
    await _login(gate, password=NEW)
    for answer in (await browser.get(f"{NOT_ME}?token={token}"), await browser.submit(NOT_ME, {"token": token})):
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (400, "token-invalid")
    rows = await gate.rows("SELECT action FROM audit_log WHERE action = 'user.not-me'")
    assert len(rows) == 1


async def test_factors_of_since_then_go_and_older_ones_stay(gate):
    mine = await enrol_passkey(gate, await gate.newcomer(ADA))
    gate.clock.advance(60)
    await gate.post("password/change", {"current_password": PASSWORD, "new_password": NEW}, headers=bearer(mine.tokens))
    token = gate.console.token(ADA, "not-me")
    gate.clock.advance(60)
    added = await enrol_totp(gate, mine.tokens)
    made = await gate.post("api-keys", {"name": "mine", "scopes": ["/**"]}, headers=bearer(added.tokens))
    key = {"X-Api-Key": (await made.json())["key"]}
    assert (await gate.call("GET", "/x", headers=key)).status == 200
    await enrol_passkey(gate, added.tokens)
    await _disown(gate, token)
    assert (await gate.call("GET", "/x", headers=key)).status == 401
    assert [str(row["id"]) for row in await gate.rows("SELECT id FROM passkeys")] == [mine.passkey_id]
    assert await gate.rows("SELECT 1 FROM totp_secrets WHERE confirmed_at IS NOT NULL") == []


async def test_a_changed_email_is_changed_back_from_the_older_address(gate):
    tokens = await gate.newcomer(ADA)
    asked = await (await gate.post("email/change", {"email": "eve@example.com"}, headers=bearer(tokens))).json()
    code = gate.console.code("eve@example.com", "change-email")
    assert (await gate.post("email/verify", {"challenge": asked["challenge"], "code": code})).status == 200
    assert "Notice for eve@example.com: email-changed" in gate.console.lines
    assert not any(line.startswith("Link for eve@example.com (not-me)") for line in gate.console.lines)
    onward = await _disown(gate, gate.console.token(ADA, "not-me"))
    await Browser(gate).submit("/_gate/reset", {"token": onward, "password": NEW})
    await _login(gate, password=NEW)
    assert [row["email"] for row in await gate.rows("SELECT email FROM users")] == [ADA]


@pytest.mark.parametrize("proof", ["link", "code"])
async def test_a_change_of_email_under_way_is_void_after_it(gate, proof):
    tokens = await gate.newcomer(ADA)
    asked = await (await gate.post("email/change", {"email": "eve@example.com"}, headers=bearer(tokens))).json()
    body = {"challenge": asked["challenge"], "code": gate.console.code("eve@example.com", "change-email")}
    if proof == "link":
        body = {"token": gate.console.token("eve@example.com", "change-email")}
    await _disown(gate, gate.console.token(ADA, "not-me"))
    assert (await gate.post("email/verify", body)).status in {400, 401}
    assert [row["email"] for row in await gate.rows("SELECT email FROM users")] == [ADA]


async def test_a_change_of_email_under_way_is_void_after_a_new_password(gate):
    tokens = await gate.newcomer(ADA)
    await gate.post("email/change", {"email": "eve@example.com"}, headers=bearer(tokens))
    await gate.post("password/change", {"current_password": PASSWORD, "new_password": NEW}, headers=bearer(tokens))
    answer = await gate.post("email/verify", {"token": gate.console.token("eve@example.com", "change-email")})
    assert answer.status == 400


async def test_a_stolen_refresh_token_is_told_with_where_its_session_began(gate):
    tokens = await gate.newcomer(ADA)
    body = {"refresh_token": tokens["refresh_token"]}
    assert (await gate.post("refresh", body)).status == 200
    gate.clock.advance(5)
    answers = [await gate.post("refresh", body) for _ in range(2)]
    assert [answer.status for answer in answers] == [401, 401]
    assert _told(gate, "token-stolen") == 1
    await _disown(gate, gate.console.token(ADA, "not-me"))


@pytest.mark.parametrize("query", ["", "?token=", "?token=x", "?token=" + "a" * 43, "?token=%3Cscript%3E"])
async def test_without_a_good_token_there_is_a_page_that_says_so(gate, query):
    answer = await Browser(gate).get(NOT_ME + query)
    assert (answer.status, answer.content_type, answer.headers["X-Gate-Reason"]) == (400, "text/html", "token-invalid")
    assert "<script>" not in await answer.text()


async def test_no_other_site_and_no_other_link_acts(gate):
    mine = await gate.newcomer(ADA)
    _, token = await _stranger(gate)
    answer = await Browser(gate).submit(NOT_ME, {"token": token}, CROSS)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    await Browser(gate).submit("/_gate/forgot", {"email": ADA})
    reset = gate.console.token(ADA, "password-reset")
    assert (await Browser(gate).submit(NOT_ME, {"token": reset})).status == 400
    assert (await Browser(gate).get(f"/_gate/reset?token={token}")).status == 400
    assert await _reaches(gate, mine) == 200


async def test_the_account_page_ends_a_strangers_session_with_all_others_and_asks_for_a_new_password(gate):
    await gate.register(ADA)
    browser = Browser(gate)
    await browser.sign_in(ADA, PASSWORD)
    stolen, _ = await _stranger(gate)
    page = await (await browser.get("/_gate/account")).text()
    assert f'name="not_me" value="{stolen["session_id"]}"' in page
    answer = await browser.submit("/_gate/account/sessions", {"session": stolen["session_id"], "not_me": "x"})
    assert answer.status == 404, "only one's own"
    answer = await browser.submit("/_gate/account/sessions", {"not_me": stolen["session_id"]})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/account?done=not-me")
    assert await _reaches(gate, stolen) == 401
    assert "Now set a new password" in await text_of(await browser.get("/_gate/account?done=not-me"))


async def test_a_sign_in_in_the_recent_activity_can_be_disowned_also_when_its_session_is_over(gate):
    await gate.register(ADA)
    browser = Browser(gate)
    await browser.sign_in(ADA, PASSWORD)
    button = 'name="not_me" value=""'
    assert button not in await (await browser.get("/_gate/account")).text(), "one's own is no stranger's"
    first, _ = await _stranger(gate)
    assert (await gate.post("logout", headers=bearer(first))).status == 204
    other = await gate.login(ADA)
    assert button in await (await browser.get("/_gate/account")).text()
    answer = await browser.submit("/_gate/account/sessions", {"not_me": ""})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/account?done=not-me")
    assert await _reaches(gate, other) == 401
    assert (await browser.get("/_gate/account")).status == 200


async def test_the_link_of_a_real_mail_ends_the_session(postgres_dsn, redis_url, tmp_path, upstream):
    async with mail_server() as server:
        settings = {
            "upstreams": {"api": {"targets": [upstream.address]}},
            "trusted_proxies": ["127.0.0.0/8"],
            "mail": {"from": "gate@example.org", "smtp": {"host": "127.0.0.1", "port": server.port, "tls": "none"}},
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            await gate.newcomer(ADA)
            stolen = await _login(gate, ELSEWHERE)
            text = await server.next(ADA)
            assert "Address: 198.51.100.7" in text
            await _disown(gate, text.partition("/not-me?token=")[2].split()[0])
            assert await _reaches(gate, stolen) == 401
