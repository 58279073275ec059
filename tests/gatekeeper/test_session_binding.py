"""Cookies are held to where their session began: device, network, country; log, step-up or revoke."""

import pytest
from factories import PASSWORD
from gates import bearer, running_gate

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
CHROME = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36"}
ADA = "ada@example.com"
NAVIGATING = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


@pytest.fixture
async def bound(postgres_dsn, redis_url, tmp_path, upstream, request):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "open", "path": "/open", "allow": "anyone"},
            {"name": "api", "path": "/**", "allow": "authenticated"},
        ],
        "trusted_proxies": ["127.0.0.0/8"],
        "sessions": request.param,
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as running:
        await running.register(ADA)
        yield running


def under(on_mismatch, *bind):
    return {"bind": list(bind or ("device",)), "on_mismatch": on_mismatch}


log = pytest.mark.parametrize("bound", [under("log")], indirect=True)
step_up = pytest.mark.parametrize("bound", [under("step-up")], indirect=True)
revoke = pytest.mark.parametrize("bound", [under("revoke")], indirect=True)


async def _cookies(gate, headers=FIREFOX):
    """The Cookie field of a browser that has signed in, and its parts."""
    body = {"email": ADA, "password": PASSWORD, "cookies": True}
    answer = await gate.post("login", body, headers={**headers, "Origin": gate.url})
    assert answer.status == 200, await answer.text()
    pairs = [one.partition(";")[0] for one in answer.headers.getall("Set-Cookie")]
    return {"Cookie": "; ".join(pairs)}, dict(pair.split("=", 1) for pair in pairs)


async def _get(gate, path, *headers):
    merged = {name: value for fields in headers for name, value in fields.items()}
    answer = await gate.call("GET", path, headers=merged)
    return answer.status, answer.headers.get("X-Gate-Reason")


@log
async def test_by_default_it_is_only_logged(bound, caplog):
    cookies, _ = await _cookies(bound)
    for _ in range(2):
        assert await _get(bound, "/x", cookies, CHROME) == (200, None)
    assert [record.differs for record in caplog.records if hasattr(record, "differs")] == [["device"]]


@step_up
async def test_elsewhere_a_step_up_is_asked_for_which_binds_anew(bound, upstream):
    cookies, _ = await _cookies(bound)
    assert await _get(bound, "/x", cookies, FIREFOX) == (200, None)
    answer = await bound.call("GET", "/x", headers={**cookies, **CHROME})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "binding-mismatch")
    assert "insufficient_user_authentication" in answer.headers["WWW-Authenticate"]
    answer = await bound.call("GET", "/x?y=1", headers={**cookies, **CHROME, **NAVIGATING})
    assert (answer.status, answer.headers["Location"]) == (302, "/_gate/step-up?next=%2Fx%3Fy%3D1")
    assert len(upstream.requests) == 1
    headers = {**cookies, **CHROME, "Origin": bound.url}
    answer = await bound.post("step-up", {"method": "password", "password": "not that one, I think"}, headers=headers)
    assert (answer.status, await _get(bound, "/x", cookies, CHROME)) == (401, (401, "binding-mismatch"))
    answer = await bound.post("step-up", {"method": "password", "password": PASSWORD}, headers=headers)
    assert answer.status == 200, await answer.text()
    assert await _get(bound, "/x", cookies, CHROME) == (200, None)
    assert await _get(bound, "/x", cookies, FIREFOX) == (401, "binding-mismatch")


@step_up
async def test_the_gates_own_endpoints_ask_for_it_too_but_a_logout_needs_none(bound):
    cookies, _ = await _cookies(bound)
    for path in ("session", "sessions", "factors"):
        assert await _get(bound, f"/_gate/auth/{path}", cookies, CHROME) == (401, "binding-mismatch")
    account = await bound.call("GET", "/_gate/account", headers={**cookies, **CHROME, **NAVIGATING})
    assert (account.status, account.headers["Location"]) == (303, "/_gate/step-up?next=%2F_gate%2Faccount")
    page = await bound.call("GET", "/_gate/step-up", headers={**cookies, **CHROME, **NAVIGATING})
    assert page.status == 200
    answer = await bound.post("logout", headers={**cookies, **CHROME, "Origin": bound.url})
    assert answer.status == 204
    assert await _get(bound, "/x", cookies, FIREFOX) == (401, "session-ended")


@step_up
async def test_a_copied_refresh_cookie_is_neither_renewed_nor_spent(bound):
    _, parts = await _cookies(bound)
    only = {"Cookie": f"gate-refresh={parts['gate-refresh']}"}
    answer = await bound.call("GET", "/x", headers={**only, **CHROME})
    assert (answer.status, answer.headers.get("Set-Cookie")) == (401, None)
    answer = await bound.post("refresh", headers={**only, **CHROME, "Origin": bound.url})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "binding-mismatch")
    bound.clock.advance(60)
    answer = await bound.post("refresh", headers={**only, **FIREFOX, "Origin": bound.url})
    assert answer.status == 200, await answer.text()


@revoke
async def test_or_the_session_ends(bound):
    cookies, _ = await _cookies(bound)
    assert await _get(bound, "/x", cookies, CHROME) == (401, "binding-mismatch")
    assert await _get(bound, "/x", cookies, FIREFOX) == (401, "session-ended")
    (row,) = await bound.rows("SELECT end_reason FROM sessions")
    assert row["end_reason"] == "binding-mismatch"


@revoke
async def test_a_browser_is_then_led_to_the_login(bound):
    cookies, _ = await _cookies(bound)
    answer = await bound.call("GET", "/x", headers={**cookies, **CHROME, **NAVIGATING})
    assert (answer.status, answer.headers["Location"]) == (302, "/_gate/login?next=%2Fx")


@step_up
async def test_a_bearer_token_may_be_used_from_anywhere_and_a_public_rule_knows_nobody(bound, upstream):
    tokens = await bound.login(ADA)
    assert await _get(bound, "/x", bearer(tokens), CHROME) == (200, None)
    cookies, _ = await _cookies(bound)
    assert await _get(bound, "/open", cookies, CHROME) == (200, None)
    assert b"x-gate-subject" not in upstream.requests[-1].head.lower()


@pytest.mark.parametrize("bound", [under("step-up", "network")], indirect=True)
async def test_a_network_is_that_of_the_client_behind_the_proxy(bound):
    home, street, away = ({"X-Forwarded-For": one} for one in ("192.0.2.7", "192.0.2.9", "198.51.100.7"))
    cookies, _ = await _cookies(bound, home)
    assert await _get(bound, "/x", cookies, street) == (200, None)
    assert await _get(bound, "/x", cookies, away) == (401, "binding-mismatch")


@pytest.mark.parametrize("bound", [under("revoke", "country")], indirect=True)
async def test_a_country_is_looked_up(bound):
    cookies, _ = await _cookies(bound, {"X-Forwarded-For": "217.0.0.1"})
    assert await _get(bound, "/x", cookies, {"X-Forwarded-For": "192.168.0.1"}) == (200, None)
    assert await _get(bound, "/x", cookies, {"X-Forwarded-For": "8.8.8.8"}) == (401, "binding-mismatch")
