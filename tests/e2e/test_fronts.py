"""Other people's proxies in front, real ones, each by its file in deploy/examples: what holds behind all of them."""

import asyncio
import itertools
from dataclasses import dataclass

import fronts
import pytest
import pytest_asyncio
from factories import PASSWORD
from gates import RunningGate, bearer, running_gate
from upstreams import Upstream, unused_port
from yarl import URL

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAVIGATES = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
RULES = [
    {"name": "health", "path": "/health", "allow": "anyone"},
    {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
    {"name": "api", "path": "/**", "allow": "authenticated"},
]
LIMITS = {"register_per_ip": "1000/minute", "login_per_ip": "1000/minute"}
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3, as is its answer
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_numbers = itertools.count(1)


async def _app(wire):
    """An app that takes a body in as it comes, and sets a cookie of its own with each answer; an upgrade it takes, and
    says back what it hears first.
    """
    while (request := await wire.head()) is not None:
        if request.values(b"Upgrade"):
            await wire.send(SWITCHING)
            await wire.send(await wire.read())
            return
        length = int((request.values(b"Content-Length") or [b"0"])[0])
        while len(request.body) < length and (part := await wire.read()):
            request.body += part
        await wire.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: theme=dark\r\nContent-Length: 2\r\n\r\nok")


@dataclass
class Front:
    """A proxy called ``name`` at ``url``, asking ``gate``, in front of ``app``."""

    name: str
    url: str
    gate: RunningGate
    app: Upstream

    async def call(self, path, method="GET", **kwargs):
        url = URL(self.url + path, encoded=True)
        async with self.gate.client.request(method, url, allow_redirects=False, **kwargs) as answer:
            await answer.read()
            return answer

    async def newcomer(self):
        """Somebody new, made through the proxy: tokens, and the cookies of a second login."""
        body = {"email": f"ada{next(_numbers)}@example.com", "password": PASSWORD}
        await self.gate.register(body["email"])
        same = {"Sec-Fetch-Site": "same-origin"}
        login = await self.gate.post("login", body | {"cookies": True}, headers=same)
        cookies = [value.split(";")[0] for value in login.headers.getall("Set-Cookie")]
        return body["email"], await self.gate.login(body["email"]), cookies


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        pytest.param("nginx", marks=pytest.mark.nginx),
        "caddy",
        pytest.param("haproxy", marks=pytest.mark.haproxy),
        pytest.param("traefik", marks=[pytest.mark.full, pytest.mark.traefik]),
        pytest.param("envoy", marks=[pytest.mark.full, pytest.mark.envoy]),
    ],
)
async def front(request, databases, valkey_of_session, tmp_path_factory):
    place = f"127.0.0.1:{unused_port()}"
    dsn, folder, url = databases.take(), tmp_path_factory.mktemp("gate"), f"http://{place}"
    settings = {"public_url": url, "trusted_proxies": ["127.0.0.1"], "rules": RULES, "limits": LIMITS}
    async with Upstream(_app) as app, running_gate(dsn, valkey_of_session.url, folder, **settings) as gate:
        inner, outer = gate.listening.removeprefix("http://"), app.address.removeprefix("http://")
        async with fronts.running(fronts.PROXIES[request.param], place, inner, outer):
            gate.url = url
            yield Front(request.param, url, gate, app)
    databases.give_back(dsn)


@pytest.fixture(autouse=True)
def _forgotten(front):
    """Each test looks at what the app got during it."""
    front.app.requests.clear()


async def test_who_is_signed_in_is_let_through_by_name_and_the_rest_stopped(front):
    """security 3, 12"""
    email, tokens, _ = await front.newcomer()
    who = bearer(tokens) | {"X-Custom": "kept"}
    answer = await front.call("/reports?x=%2F&y", headers=who)
    assert answer.status == 200
    (request,) = front.app.requests
    assert (request.target, request.values(b"X-Custom")) == (b"/reports?x=%2F&y", [b"kept"])
    assert request.values(b"X-Gate-User") == [email.encode()]
    assert request.values(b"X-Gate-Assertion")[0].startswith(b"ey")
    assert request.values(b"Authorization") in ([], [b""])

    stranger = await front.call("/reports")
    assert (stranger.status, stranger.headers["X-Gate-Reason"]) == (401, "credentials-missing")
    assert stranger.headers["WWW-Authenticate"] == "Bearer"
    assert (await stranger.json(content_type="application/problem+json"))["status"] == 401
    assert (await front.call("/reports", headers={"Authorization": "Bearer x"})).status == 401
    refused = await front.call("/admin/x", headers=bearer(tokens))
    assert (refused.status, refused.headers["X-Gate-Reason"]) == (403, "rule-denied")

    await front.gate.post("logout", {}, headers=bearer(tokens))
    assert (await front.call("/reports", headers=bearer(tokens))).status == 401
    assert len(front.app.requests) == 1


async def test_nothing_a_client_says_of_itself_reaches_the_app_or_moves_the_gate(front):
    """security 3, 5"""
    _, tokens, _ = await front.newcomer()
    forged = {"X-Gate-User": "evil", "X-Gate-Roles": "evil", "x-gate-subject": "evil", "X-Gate-Country": "evil"}
    for path, who in (("/health", {}), ("/reports", bearer(tokens))):
        assert (await front.call(path, headers=forged | who)).status == 200
        assert b"evil" not in front.app.requests[-1].head
        assert front.app.requests[-1].values(b"X-Gate-Roles") in ([], [b""])
    claims = {
        "X-Forwarded-Uri": "/health",
        "X-Forwarded-Method": "GET",
        "X-Original-URI": "/health",
        "X-Original-URL": f"{front.url}/health",
        "X-Original-Method": "GET",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "https",
    }
    for name, value in claims.items():
        assert (await front.call("/reports", headers={name: value})).status in {400, 401, 403}, name
    elsewhere = await front.call("/reports", headers=bearer(tokens) | {"X-Forwarded-Host": "evil.example"})
    assert elsewhere.status in {200, 400}
    assert not any(b"evil" in request.head for request in front.app.requests)


async def test_a_browser_is_led_to_the_login_page_and_back(front):
    answer = await front.call("/reports?a=1&b=2", headers=NAVIGATES)
    login = f"{front.url}/_gate/login?next=%2Freports%3Fa%3D1%26b%3D2"
    assert (answer.status, answer.headers["Location"]) == (302, login)
    page = await front.call(login.removeprefix(front.url), headers=NAVIGATES)
    assert (page.status, page.content_type) == (200, "text/html")
    email = f"grace{next(_numbers)}@example.com"
    await front.gate.register(email)
    form = {"email": email, "password": PASSWORD, "next": "/reports?a=1&b=2"}
    same = {"Origin": front.url, "Sec-Fetch-Site": "same-origin"}
    signed = await front.call("/_gate/login", "POST", data=form, headers=same)
    assert (signed.status, signed.headers["Location"]) == (303, "/reports?a=1&b=2")
    cookies = [value.split(";")[0] for value in signed.headers.getall("Set-Cookie")]
    for order in (["lang=de", *cookies], [*cookies, "lang=de"], [cookies[0], "lang=de", *cookies[1:]]):
        answer = await front.call("/reports", headers=NAVIGATES | {"Cookie": "; ".join(order)})
        assert answer.status == 200
        assert [value.strip(b"; ") for value in front.app.requests[-1].values(b"Cookie")] == [b"lang=de"]
    assert (await front.call("/reports", headers={"Cookie": "; ".join(cookies)})).status == 200
    assert front.app.requests[-1].values(b"Cookie") in ([], [b""])
    evil = {"Cookie": cookies[0], "Origin": "https://evil.example"}
    refused = await front.call("/reports", "POST", headers=evil)
    assert (refused.status, refused.headers["X-Gate-Reason"]) == (403, "csrf")


async def test_a_cookie_renewed_in_passing_reaches_the_browser_beside_the_app_s_own(front):
    _, _, cookies = await front.newcomer()
    refresh = next(cookie for cookie in cookies if cookie.startswith("gate-refresh="))
    answer = await front.call("/reports", headers={"Cookie": refresh})
    assert answer.status == 200
    access, own = sorted(answer.headers.getall("Set-Cookie"))
    assert (access[:8], own) == ("gate=eyJ", "theme=dark")


async def test_an_api_key_lets_in_and_stays_with_the_gate(front):
    email, tokens, _ = await front.newcomer()
    made = await front.gate.post("api-keys", {"name": "a", "scopes": ["/reports/**"]}, headers=bearer(tokens))
    key = (await made.json())["key"]
    for fields in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}):
        assert (await front.call("/reports/1", headers=fields)).status == 200
        assert front.app.requests[-1].values(b"X-Gate-User") == [email.encode()]
        assert key.encode() not in front.app.requests[-1].head
        assert (await front.call("/other", headers=fields)).status == 403
    assert (await front.call("/reports/1", headers={"X-Api-Key": f"{key[:-1]}!"})).status == 401
    assert len(front.app.requests) == 2


async def test_where_the_gate_s_keys_are_is_told_at_the_well_known_path(front):
    """RFC 8414"""
    answer = await front.call("/.well-known/oauth-authorization-server")
    assert (answer.status, (await answer.json())["issuer"]) == (200, front.url)
    assert (await front.call("/.well-known/oauth-authorization-servers")).status == 401


async def test_ambiguous_paths_are_stopped_and_nobody_outside_can_ask(front):
    """security 1"""
    _, tokens, _ = await front.newcomer()
    for path in ("/x/%2e%2e/admin/y", "/x//y", "/x%2fy", "/x;y", "/x/../admin/y"):
        answer = await front.call(path, headers=bearer(tokens))
        assert answer.status in {400, 403} or all(b"admin" not in r.target for r in front.app.requests), path
    asked = {
        "X-Original-URI": "/health",
        "X-Original-Method": "GET",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Uri": "/health",
        "X-Forwarded-Method": "GET",
    }
    for path in ("/_gate/verify", "/_gate/verify/forward", "/_gate/verify/envoy/health", "/_gate/verify%2Fforward"):
        answer = await front.call(path, headers=asked | bearer(tokens))
        assert answer.status in {400, 404, 503}, path
        assert "X-Gate-Subject" not in answer.headers


async def test_an_upload_streams_to_the_app_untouched(front):
    """The app has the first half before the second is sent."""
    _, tokens, _ = await front.newcomer()
    host, port = front.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /upload HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Length: 200000\r\n"
    field = bearer(tokens)["Authorization"]
    writer.write(f"{head}Authorization: {field}\r\n\r\n".encode() + b"a" * 100_000)
    async with asyncio.timeout(fronts.PATIENCE):
        while not front.app.requests or len(front.app.requests[0].body) < 90_000:  # noqa: ASYNC110  # other process
            await asyncio.sleep(0.01)
        writer.write(b"b" * 100_000)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    (upload,) = front.app.requests
    assert upload.body == b"a" * 100_000 + b"b" * 100_000
    assert upload.values(b"Content-Length") == [b"200000"]


async def _upgrade(front, fields):
    """The head of the answer to a WebSocket's handshake, and what comes back for ``ping``."""
    host, port = front.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = {
        "Host": f"{host}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        **fields,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"GET /socket HTTP/1.1\r\n{lines}\r\n".encode())
    async with asyncio.timeout(fronts.PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        echo = b""
        if b" 101 " in head:
            writer.write(b"ping")
            echo = await reader.readexactly(4)
    writer.close()
    return head, echo


async def test_a_websocket_passes_for_its_own_origin_and_no_other(front):
    """security 7, 8"""
    _, tokens, cookies = await front.newcomer()
    head, echo = await _upgrade(front, bearer(tokens))
    assert (head[:12], echo) == (b"HTTP/1.1 101", b"ping")
    head, echo = await _upgrade(front, {"Cookie": cookies[0], "Origin": front.url})
    assert (head[:12], echo) == (b"HTTP/1.1 101", b"ping")
    for stranger in ({}, {"Cookie": cookies[0], "Origin": "https://evil.example"}, {"Cookie": cookies[0]}):
        head, _ = await _upgrade(front, stranger)
        assert head[:12] in {b"HTTP/1.1 401", b"HTTP/1.1 403"}
    assert len(front.app.requests) == 2
