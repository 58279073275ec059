"""The panel's own listener behind real proxies: nginx that ends TLS, HAProxy that relays it by the Proxy Protocol
(issue 7.9, security 5, 8, 22, 29).
"""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from certificates import issue
from factories import PASSWORD, SECRET
from forms import NAVIGATION, Browser, Site, text_of
from fronts import Places, nginx_with
from supervised import PATIENCE, free_port, supervised

NAME = "gate-admin.example.org"
CLIENT = "127.0.0.7"  # proxies themselves connect from 127.0.0.1
HAPROXY = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen panel
    bind 127.0.0.1:{front}
    server gate 127.0.0.1:{panel} send-proxy-v2
"""
NGINX = """
server {{
    listen 127.0.0.1:{front} ssl;
    server_name {name};
    ssl_certificate {cert};
    ssl_certificate_key {key};
    location / {{
        proxy_pass http://127.0.0.1:{panel};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
}}
"""


class _ToTheFront(aiohttp.abc.AbstractResolver):
    """Every name is the proxy's."""

    async def resolve(self, host, port=0, family=0):
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self):
        pass


@contextmanager
def _process(argv, folder):
    process = subprocess.Popen(argv, cwd=folder, env={"HOME": str(folder), "PATH": ""})
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def _haproxy(folder, ports, _signed):
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(**ports))
    return [shutil.which("haproxy"), "-db", "-f", config]


def _nginx(folder, ports, signed):
    places = Places(folder, f"127.0.0.1:{ports['front']}", "", "")
    return nginx_with(places, NGINX.format(name=NAME, cert=signed.cert_file, key=signed.key_file, **ports))


@asynccontextmanager
async def _panel(kind, tmp_path, postgres_dsn, redis_url, upstream):
    ports = {name: free_port() for name in ("front", "panel", "public")}
    url = f"https://{NAME}:{ports['front']}"
    with tempfile.TemporaryDirectory(prefix="gk-panel-") as name:
        folder = Path(name)
        authority = issue(folder, "authority")
        signed = issue(folder, "server", by=authority, names=(NAME,))
        listener = {"address": f"127.0.0.1:{ports['panel']}"}
        own = {"tls": True, "proxy_protocol": True} if kind == "haproxy" else {}
        config = {
            "listen": [f"127.0.0.1:{ports['public']}"],
            "public_url": "https://gate.example.org",
            "trusted_proxies": ["127.0.0.1/32"],
            "admin": {"listen": listener | own, "public_url": url},
            "workers": 1,
            "mfa": {"require_for_roles": []},
            "bans": {"allow": []},
            "storage": {
                "postgres": postgres_dsn,
                "redis": redis_url,
                "secret": SECRET,
            },
            "upstreams": {"api": {"targets": [upstream.address]}},
            "rules": [{"name": "open", "path": "/**", "allow": "anyone"}],
        }
        if own:
            config["tls"] = {"cert": str(signed.cert_file), "key": str(signed.key_file)}
        trusting = ssl.create_default_context(cafile=str(authority.cert_file))
        with supervised(tmp_path, config, app="gatekeeper.app:build") as gate:
            await asyncio.to_thread(gate.wait_ready)
            argv = {"nginx": _nginx, "haproxy": _haproxy}[kind](folder, ports, signed)
            connector = aiohttp.TCPConnector(
                ssl=trusting, resolver=_ToTheFront(), local_addr=(CLIENT, 0), force_close=True
            )
            timeout, jar = aiohttp.ClientTimeout(PATIENCE), aiohttp.DummyCookieJar()
            with _process(argv, folder):
                async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as client:
                    await _until_there(client, url)
                    yield gate, Site(url, client)


async def _until_there(client, url):
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with client.get(f"{url}/_gate/health/live") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "kind",
    [pytest.param("nginx", marks=pytest.mark.nginx), pytest.param("haproxy", marks=pytest.mark.haproxy)],
)
async def test_admins_come_in_by_a_proxy_and_are_who_they_are(kind, tmp_path, postgres_dsn, redis_url, upstream):
    """security 5, 8, 22, 29"""
    async with _panel(kind, tmp_path, postgres_dsn, redis_url, upstream) as (gate, site):
        setup = re.findall(r"First admin \(once, 1 h\): (\S+)", gate.out)[0]
        assert setup.startswith(f"{site.url}/_gate/setup/")
        admin = Browser(site)
        made = await admin.submit(setup.removeprefix(site.url), {"email": "root@example.com", "password": PASSWORD})
        assert (made.status, made.headers["Location"]) == (303, "/_gate/admin/")
        _check_cookies(made)
        page = await admin.get("/_gate/admin/sessions")
        seen = await text_of(page)
        assert (page.status, CLIENT in seen) == (200, True), "the client's address, not the proxy's"
        assert f"{site.url.removeprefix('https://')} ·" in seen, "its foot names the listener's own host"
        assert "gate.example.org" not in seen.replace(NAME, "")
        assert page.headers["Strict-Transport-Security"]
        await _changes_only_from_its_own_pages(site, admin)
        await _has_its_own_document(site)
        await _a_stream_comes_through(site, admin)
        refused = await site.call("GET", "/_gate/admin/", headers={**NAVIGATION, "Host": "gate.example.org"})
        assert (refused.status, refused.headers["X-Gate-Reason"]) == (421, "unknown-host")


def _check_cookies(answer):
    lines = answer.headers.getall("Set-Cookie")
    assert {line.partition("=")[0] for line in lines} >= {"__Host-gate", "__Host-gate-refresh"}
    for line in lines:
        assert "Secure" in line
        assert "Domain" not in line


async def _changes_only_from_its_own_pages(site, admin):
    ban = {"why": "scans", "subject": "192.0.2.1"}
    for origin, fetched in (
        ("https://gate.example.org", "same-site"),
        (f"http://{site.url[8:]}", None),
        ("null", None),
    ):
        answer = await admin.submit("/_gate/admin/bans", ban, {"Origin": origin, "Sec-Fetch-Site": fetched})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf"), origin
    assert (await admin.submit("/_gate/admin/bans", ban)).headers["Location"] == "/_gate/admin/bans?done=ban-added"
    own = await admin.submit("/_gate/admin/bans", {"why": "x", "subject": CLIENT})
    assert own.status == 422, "the admin's own address is asked about once more"
    change = await admin.get("/_gate/admin/api/activity?action=ban.add")
    assert (await change.json())["changes"][0]["address"] == CLIENT


async def _has_its_own_document(site):
    document = await (await site.call("GET", "/_gate/openapi.json")).json()
    assert document["servers"] == [{"url": site.url}]
    assert "/_gate/admin/api/bans" in document["paths"]


async def _a_stream_comes_through(site, admin):
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    async with site.client.get(f"{site.url}/_gate/admin/api/activity/stream", headers={"Cookie": cookie}) as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert (await stream.content.readline()).startswith(b"retry:")
