"""Pages and panel while a store is away: said as a page or as problem+json, and nobody is let in (security 23)."""

import pytest
import servers
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import running_gate


@pytest.fixture
def own_valkey():
    with servers.short_folder() as folder, servers.valkey_server(folder) as server:
        yield server


@pytest.fixture
async def own_gate(postgres_dsn, own_valkey, tmp_path):
    mfa = {"require_for_roles": []}
    async with running_gate(postgres_dsn, own_valkey.url, tmp_path, mfa=mfa) as running:
        yield running


async def test_without_redis_every_page_says_so_and_lets_nobody_in(own_gate, own_valkey):
    """security 23"""
    link = f"/_gate/setup/{own_gate.setup_token}"
    admin, stranger = Browser(own_gate), Browser(own_gate)
    await admin.submit(link, {"email": "root@example.com", "password": PASSWORD})
    own_valkey.kill()

    for path in ("/_gate/admin/", "/_gate/admin/logins", "/_gate/login", "/_gate/logout"):
        answer = await admin.get(path)
        assert (answer.status, answer.content_type) == (503, "text/html")
        assert (answer.headers["X-Gate-Reason"], answer.headers["Retry-After"]) == ("store-unavailable", "1")
        assert "Try again in a moment." in await text_of(answer)
    call = await own_gate.call("GET", "/_gate/admin/api/logins", headers={"Cookie": f"gate={admin.cookies['gate']}"})
    assert (call.status, call.content_type) == (503, "application/problem+json")

    assert (await stranger.get("/_gate/login")).status == 200
    answer = await stranger.sign_in("root@example.com", PASSWORD)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (503, "store-unavailable")
    assert input_named(await answer.text(), "email")["value"] == "root@example.com"
    assert stranger.cookies == {}

    before = dict(admin.cookies)
    assert (await admin.submit("/_gate/logout", {})).status == 503
    assert admin.cookies == before, "a session that could not be ended must not look ended"


async def test_an_admin_made_without_redis_is_asked_to_sign_in(own_gate, own_valkey):
    own_valkey.kill()
    browser = Browser(own_gate)
    link = f"/_gate/setup/{own_gate.setup_token}"
    answer = await browser.submit(link, {"email": "root@example.com", "password": PASSWORD})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login")
    assert len(await own_gate.rows("SELECT 1 FROM users WHERE 'admin' = ANY (roles)")) == 1
