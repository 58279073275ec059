"""A real nginx with auth_request in front: deploy/nginx/gatekeeper.conf as it is shipped."""

import asyncio
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from factories import PASSWORD
from gates import RunningGate, bearer, running_gate
from upstreams import Upstream, unused_port
from yarl import URL

SNIPPET = Path(__file__).parents[2] / "deploy" / "nginx" / "gatekeeper.conf"
pytestmark = pytest.mark.nginx


@dataclass
class Front:
    """nginx at ``url``, asking ``gate``, in front of ``app``."""

    url: str
    gate: RunningGate
    app: Upstream

    async def get(self, path, **kwargs):
        async with self.gate.client.get(URL(self.url + path, encoded=True), allow_redirects=False, **kwargs) as answer:
            await answer.read()
            return answer


def _config(folder: Path, port: int, gate: str, app: str) -> Path:
    snippet = SNIPPET.read_text().replace("GATE", gate).replace("APP", app)
    config = folder / "nginx.conf"
    paths = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; {paths}\nserver {{ listen 127.0.0.1:{port};\n{snippet}\n}} }}\n"
    )
    return config


def _open_folder() -> Path:
    """For everybody: nginx's worker is another user when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="gk-nginx-"))
    folder.chmod(0o777)
    return folder


@asynccontextmanager
async def _nginx(port: int, gate: str, app: str):
    folder = _open_folder()
    config = _config(folder, port, gate, app)
    process = subprocess.Popen([shutil.which("nginx"), "-p", folder, "-c", config, "-e", "stderr"])  # noqa: ASYNC220
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.poll() is None, "nginx has ended"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def front(postgres_dsn, redis_url, tmp_path):
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    rules = [
        {"name": "health", "path": "/health", "allow": "anyone"},
        {"name": "admins", "path": "/admin/**", "allow": {"roles": ["admin"]}},
        {"name": "api", "path": "/**", "allow": "authenticated"},
    ]
    settings = {"public_url": url, "trusted_proxies": ["127.0.0.1"], "rules": rules}
    async with Upstream() as app, running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        inner = gate.listening.removeprefix("http://")
        async with _nginx(port, inner, app.address.removeprefix("http://")):
            gate.url = url  # accounts are made through nginx too
            yield Front(url, gate, app)


async def test_the_same_user_is_let_through_and_the_rest_stopped(front):
    """security 3, 12"""
    tokens = await front.gate.newcomer()
    answer = await front.get("/reports?x=%2F", headers=bearer(tokens))
    assert answer.status == 200
    (request,) = front.app.requests
    assert request.target == b"/reports?x=%2F"
    assert request.values(b"X-Gate-User") == [b"ada@example.com"]
    assert request.values(b"Authorization") == []

    stranger = await front.get("/reports")
    assert (stranger.status, stranger.headers["X-Gate-Reason"]) == (401, "credentials-missing")
    assert (await front.get("/reports", headers={"Authorization": "Bearer x"})).status == 401
    assert (await front.get("/admin/x", headers=bearer(tokens))).status == 403
    assert len(front.app.requests) == 1

    await front.gate.post("logout", {}, headers=bearer(tokens))
    assert (await front.get("/reports", headers=bearer(tokens))).status == 401
    assert len(front.app.requests) == 1


async def test_nothing_a_client_says_of_itself_reaches_the_app(front):
    """security 3"""
    forged = {"X-Gate-User": "evil", "X-Gate-Roles": "admin", "x-gate-subject": "evil", "X-Gate-Country": "XX"}
    assert (await front.get("/health", headers=forged)).status == 200
    assert b"evil" not in front.app.raw
    assert front.app.requests[0].values(b"X-Gate-Roles") == []


async def test_a_browser_is_led_to_the_login_page_and_back(front):
    await front.gate.register("ada@example.com")
    navigation = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    answer = await front.get("/reports?a=1", headers=navigation)
    assert (answer.status, answer.headers["Location"]) == (302, f"{front.url}/_gate/login?next=%2Freports%3Fa%3D1")
    page = await front.get("/_gate/login?next=%2Freports%3Fa%3D1", headers=navigation)
    assert page.status == 200
    form = {"email": "ada@example.com", "password": PASSWORD, "next": "/reports?a=1"}
    same = {"Origin": front.url, "Sec-Fetch-Site": "same-origin"}
    url = URL(f"{front.url}/_gate/login")
    async with front.gate.client.post(url, data=form, headers=same, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/reports?a=1")
        cookies = [value.split(";")[0] for value in answer.headers.getall("Set-Cookie")]
    for order in (["theme=dark", *cookies], [*cookies, "theme=dark"], [cookies[0], "theme=dark", cookies[1]]):
        assert (await front.get("/reports?a=1", headers={"Cookie": "; ".join(order)})).status == 200
        assert [part.strip(b"; ") for part in front.app.requests[-1].values(b"Cookie")] == [b"theme=dark"]


async def test_a_cookie_renewed_in_passing_reaches_the_browser(front):
    await front.gate.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD, "cookies": True}
    login = await front.gate.post("login", body, headers={"Sec-Fetch-Site": "same-origin"})
    refresh = login.headers.getall("Set-Cookie")[1].split(";")[0]
    answer = await front.get("/reports", headers={"Cookie": refresh})
    assert answer.status == 200
    (cookie,) = answer.headers.getall("Set-Cookie")
    assert cookie.startswith("gate=ey")


async def test_ambiguous_paths_are_stopped(front):
    """security 1"""
    tokens = await front.gate.newcomer()
    for path in ("/x/%2e%2e/admin/y", "/x//y", "/x%2fy", "/x;y"):
        assert (await front.get(path, headers=bearer(tokens))).status == 403, path
    assert front.app.raw == b""


async def test_verify_cannot_be_asked_from_outside(front):
    asked = {"X-Original-URI": "/health", "X-Original-Method": "GET", "X-Forwarded-For": "192.0.2.1"}
    assert (await front.get("/_gate/verify", headers=asked)).status == 404
