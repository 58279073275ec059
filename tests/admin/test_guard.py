"""Only admins see the panel; others do not learn that it is there (security 8, 22)."""

import json

import pytest
from factories import PASSWORD
from forms import NAVIGATION, Browser, text_of
from gates import bearer
from second_factors import challenged, code, enrol_totp

from gatekeeper.identity.accounts import Accounts
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis

PAGES = ["/_gate/admin", "/_gate/admin/", "/_gate/admin/logins", "/_gate/admin/sessions", "/_gate/admin/no-such-page"]
CALLS = ["/_gate/admin/api/logins", "/_gate/admin/api/sessions", "/_gate/admin/api/no-such-thing"]


async def _set_roles(gate, redis_url, email, roles):
    postgres, redis = Postgres(gate.dsn, timeout=30.0), Redis(redis_url, timeout=30.0)
    accounts = Accounts(PostgresAccounts(postgres), RedisSessions(redis, user_life=86400.0))
    await redis.open()
    try:
        account = await accounts.find_by_email(email)
        await accounts.set_roles(account.state.id, roles, gate.clock.now())
    finally:
        await redis.close()
        await postgres.close()


@pytest.mark.parametrize("path", PAGES + CALLS)
async def test_anonymous_navigation_goes_to_the_login_and_back(gate, path):
    """security 22"""
    answer = await Browser(gate).get(path + "?a=1&b=%20")
    back = (path + "?a=1&b=%20").replace("%", "%25").replace("/", "%2F").replace("?", "%3F")
    back = back.replace("=", "%3D").replace("&", "%26")
    assert (answer.status, answer.headers["Location"]) == (302, f"/_gate/login?next={back}")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_old_browsers_are_led_to_the_login_too(gate):
    answer = await gate.call("GET", "/_gate/admin/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status == 302


async def test_an_anonymous_form_is_led_to_the_login_without_its_target(gate):
    answer = await gate.call("POST", "/_gate/admin/logins", headers=NAVIGATION)
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login?next=%2F_gate%2Fadmin%2F")


@pytest.mark.parametrize("path", PAGES + CALLS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer broken"}, {"Cookie": "gate=broken"}])
async def test_an_anonymous_call_gets_401(gate, path, headers):
    """security 22"""
    answer = await gate.call("GET", path, headers=headers)
    assert (answer.status, answer.content_type) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["X-Gate-Reason"] == ("token-invalid" if headers else "credentials-missing")


@pytest.mark.parametrize("path", PAGES + CALLS)
async def test_anyone_else_gets_404(gate, ada, path):
    """security 22"""
    page = await ada.get(path)
    assert (page.status, page.content_type, page.headers["X-Gate-Reason"]) == (404, "text/html", "not-found")
    assert "admin" not in (await text_of(page)).lower()
    call = await gate.call("GET", path, headers=bearer(await gate.login("ada@example.com")))
    assert (call.status, call.content_type) == (404, "application/problem+json")


async def test_the_login_leads_the_admin_back_to_the_panel(gate, admin):
    browser = Browser(gate)
    page = await browser.get("/_gate/admin/sessions")
    assert page.headers["Location"] == "/_gate/login?next=%2F_gate%2Fadmin%2Fsessions"
    fields = {"email": "root@example.com", "password": PASSWORD, "next": "/_gate/admin/sessions"}
    assert (await browser.submit("/_gate/login", fields)).headers["Location"] == "/_gate/admin/sessions"
    assert (await browser.get("/_gate/admin/sessions")).status == 200


async def test_without_its_slash_the_panel_leads_to_its_first_page(admin):
    answer = await admin.get("/_gate/admin")
    assert (answer.status, answer.headers["Location"]) == (302, "/_gate/admin/")


@pytest.mark.parametrize("path", ["/_gate/admin/no-such-page", "/_gate/admin/api/", "/_gate/admin//"])
async def test_an_admin_is_told_what_is_not_there(admin, path):
    assert (await admin.get(path)).status in {400, 404}


async def test_a_lost_role_counts_on_the_next_request(gate, admin, redis_url):
    """security 12"""
    assert (await admin.get("/_gate/admin/")).status == 200
    await _set_roles(gate, redis_url, "root@example.com", [])
    assert (await admin.get("/_gate/admin/")).status == 404


async def test_a_logout_counts_on_the_next_request(gate, admin):
    """security 12"""
    kept = dict(admin.cookies)
    await admin.submit("/_gate/logout", {})
    admin.cookies = kept
    assert (await admin.get("/_gate/admin/")).status == 302


async def test_an_expired_access_cookie_is_renewed_in_passing(gate, admin):
    gate.clock.advance(500)
    assert (await admin.get("/_gate/admin/")).status == 200
    gate.clock.advance(500)
    answer = await admin.get("/_gate/admin/")
    assert answer.status == 200
    assert [value.partition("=")[0] for value in answer.headers.getall("Set-Cookie")] == ["gate"]
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Cookie" in answer.headers["Vary"]


async def test_nothing_can_be_written_from_elsewhere(admin):
    """security 8"""
    own = await admin.submit("/_gate/admin/logins", {})
    assert own.status == 404
    answer = await admin.submit("/_gate/admin/logins", {}, {"Origin": "http://elsewhere.example"})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")


async def test_a_bearer_token_opens_the_json_too(gate, admin):
    tokens = await gate.login("root@example.com")
    answer = await gate.call("GET", "/_gate/admin/api/sessions", headers=bearer(tokens))
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert len(json.loads(await answer.text())["sessions"]) == 2


async def _first_admin(gate):
    browser = Browser(gate)
    link = f"/_gate/setup/{gate.setup_token}"
    await browser.submit(link, {"email": "root@example.com", "password": PASSWORD})
    return browser


@pytest.mark.parametrize("path", PAGES)
async def test_an_admin_without_a_second_factor_is_led_to_adding_one(strict_gate, path):
    """security 22"""
    browser = await _first_admin(strict_gate)
    answer = await browser.get(path)
    back = path.replace("/", "%2F")
    location = f"/_gate/step-up?next={back}&acr_values=2fa"
    assert (answer.status, answer.headers["Location"]) == (302, location)
    assert answer.headers["X-Gate-Reason"] == "mfa-required"


@pytest.mark.parametrize("path", CALLS)
async def test_a_call_by_one_factor_is_told_that_it_takes_two(strict_gate, path):
    """security 22"""
    browser = await _first_admin(strict_gate)
    answer = await strict_gate.call("GET", path, headers={"Authorization": f"Bearer {browser.cookies['gate']}"})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "mfa-required")
    assert 'error="insufficient_user_authentication", acr_values="2fa"' in answer.headers["WWW-Authenticate"]


async def test_the_first_admin_adds_a_factor_and_is_in_and_logs_in_with_it(strict_gate):
    """security 22"""
    browser = await _first_admin(strict_gate)
    mine = await enrol_totp(strict_gate, {"access_token": browser.cookies["gate"]})
    browser.cookies["gate"] = mine.tokens["access_token"]
    assert (await browser.get("/_gate/admin/")).status == 200
    problem = await challenged(strict_gate, "root@example.com", PASSWORD)
    body = {"challenge": problem["challenge"], "code": code(mine.secret, strict_gate)}
    tokens = await (await strict_gate.post("totp/verify", body)).json()
    answer = await strict_gate.call("GET", "/_gate/admin/api/sessions", headers=bearer(tokens))
    assert answer.status == 200


async def test_whoever_became_an_admin_after_the_login_steps_up_first(strict_gate, redis_url):
    """security 12, 22"""
    mine = await enrol_totp(strict_gate, await strict_gate.newcomer())
    one = (await strict_gate.call("GET", "/_gate/admin/api/sessions", headers=bearer(mine.tokens))).status
    await _set_roles(strict_gate, redis_url, "ada@example.com", ["admin"])
    two = (await strict_gate.call("GET", "/_gate/admin/api/sessions", headers=bearer(mine.tokens))).status
    assert (one, two) == (404, 200)
    await strict_gate.register("eve@example.com")
    eve = await strict_gate.login("eve@example.com")
    await _set_roles(strict_gate, redis_url, "eve@example.com", ["admin"])
    answer = await strict_gate.call("GET", "/_gate/admin/api/sessions", headers=bearer(eve))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "mfa-required")
