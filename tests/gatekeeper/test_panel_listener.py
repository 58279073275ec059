"""admin.listen: the panel is there, with what people need to get in, and nowhere else (issue 7.9, security 22, 29)."""

from __future__ import annotations

import asyncio
import re
import signal
from dataclasses import dataclass

import aiohttp
import pytest
from factories import PASSWORD
from forms import NAVIGATION, Browser, Site, text_of
from supervised import PATIENCE, Supervised, free_port, supervised


@dataclass
class Both:
    """A gate with both listeners."""

    gate: Supervised
    public: Site
    panel: Site

    @property
    def setup(self) -> str:
        """The address that makes the first admin."""
        return re.findall(r"First admin \(once, 1 h\): (\S+)", self.gate.out)[0]


@pytest.fixture
async def both(tmp_path, postgres_dsn, redis_url, upstream):
    ports = free_port(), free_port()
    public, panel = (f"http://127.0.0.1:{port}" for port in ports)
    config = {
        "listen": [public.removeprefix("http://")],
        "public_url": public,
        "admin": {"listen": panel.removeprefix("http://")},
        "workers": 1,
        "mfa": {"require_for_roles": []},
        "storage": {"postgres": postgres_dsn, "redis": redis_url, "secret": "a secret of the tests' own, long enough"},
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [{"name": "open", "path": "/**", "allow": "anyone"}],
    }
    plain = {"auto_decompress": False, "skip_auto_headers": ["Accept-Encoding"], "cookie_jar": aiohttp.DummyCookieJar()}
    with supervised(tmp_path, config, app="gatekeeper.app:build") as gate:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE), **plain) as client:
            await asyncio.to_thread(gate.wait_ready)
            yield Both(gate, Site(public, client), Site(panel, client))


async def _admin(both):
    browser = Browser(both.panel)
    path = both.setup.removeprefix(both.panel.url)
    answer = await browser.submit(path, {"email": "root@example.com", "password": PASSWORD})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/")
    return browser


async def test_the_panel_is_on_its_listener_with_what_people_need_to_get_in_and_nowhere_else(both):
    """security 22, 26, 29"""
    assert both.setup.startswith(f"{both.panel.url}/_gate/setup/")
    assert f"Panel: {both.panel.url}/_gate/admin\n" in both.gate.out
    admin = await _admin(both)
    await _nowhere_else(both, admin)
    await _people_get_in(both)
    await _nothing_else_is_there(both, admin)
    await _each_has_the_document_of_its_own_calls(both)
    await _it_ends_with_the_gate(both, admin)


async def _nowhere_else(both, admin):
    page = await admin.get("/_gate/admin/")
    assert (page.status, "Overview" in await text_of(page)) == (200, True)
    for address in re.findall(r'(?:href|src)="(/_gate/static/[^"]+)"', await page.text()):
        assert (await admin.get(address)).status == 200
    elsewhere = Browser(both.public)
    elsewhere.cookies = dict(admin.cookies)
    for path in ("/_gate/admin", "/_gate/admin/", "/_gate/admin/api/users", "/_gate/setup/x"):
        answer = await elsewhere.get(path)
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (404, "not-found"), path
        assert (await both.public.call("GET", path)).status == 404
    account = await (await elsewhere.get("/_gate/account")).text()
    assert f'href="{both.panel.url}/_gate/admin/"' in account
    assert (await both.public.call("GET", "/hello")).status == 200


async def _people_get_in(both):
    stranger = Browser(both.panel)
    answer = await stranger.get("/_gate/admin/users")
    assert answer.headers["Location"] == "/_gate/login?next=%2F_gate%2Fadmin%2Fusers"
    answer = await stranger.sign_in("root@example.com", PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert (await stranger.get("/")).headers["Location"] == "/_gate/admin/"
    assert (await stranger.get("/_gate/admin/users")).status == 200
    assert (await both.panel.call("GET", "/_gate/health/ready")).status == 200


async def _nothing_else_is_there(both, admin):
    for path in ("/hello", "/_gate/verify", "/_gate/verify/forward", "/_gate/metrics"):
        answer = await both.panel.call("GET", path)
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (404, "not-found"), path
    answer = await both.panel.call("GET", "/_gate/admin/", headers={**NAVIGATION, "Host": "evil.example"})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (421, "unknown-host")
    fields = {"why": "x", "subject": "192.0.2.1"}
    for origin in (both.public.url, "http://evil.example"):
        answer = await admin.submit("/_gate/admin/bans", fields, {"Origin": origin, "Sec-Fetch-Site": "same-site"})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    assert (await admin.submit("/_gate/admin/bans", fields)).status == 303


async def _each_has_the_document_of_its_own_calls(both):
    documents = []
    for site in (both.public, both.panel):
        document = await (await site.call("GET", "/_gate/openapi.json")).json()
        assert document["servers"] == [{"url": site.url}]
        documents.append({path for path in document["paths"] if path.startswith("/_gate/admin")})
    assert (documents[0], "/_gate/admin/api/bans" in documents[1]) == (set(), True)


async def _it_ends_with_the_gate(both, admin):
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    url = f"{both.panel.url}/_gate/admin/api/activity/stream"
    async with both.panel.client.get(url, headers={"Cookie": cookie}) as stream:
        await stream.content.readline()
        both.gate.signal(signal.SIGTERM)
        await stream.content.read()
    assert await asyncio.to_thread(both.gate.wait_ended) == 0
    assert both.gate.logged("cut off") == []
