"""Upstreams as they are configured, seen from both sides of a whole gate."""

import asyncio
import json

import aiohttp
import pytest
from factories import SECRET
from gates import bearer, running_gate
from upstreams import OK, Upstream, answering, says, unused_port

from gatekeeper.config.model import Config
from gatekeeper.errors import StartupError
from gatekeeper.observe.metrics import Metrics
from gatekeeper.pools import Pools, readiness, show_targets
from gatekeeper.upstream.forward import RequestBodyMismatch
from gatekeeper.upstream.pool import UpstreamPool

PUBLIC = [{"name": "all", "path": "/**", "allow": "anyone"}]


@pytest.fixture
def start(postgres_dsn, redis_url, tmp_path):
    """A gate over ``api`` with these settings, where everyone may do everything."""

    def run(*targets, rules=PUBLIC, **upstream):
        settings = {"upstreams": {"api": {"targets": list(targets), **upstream}}, "rules": rules}
        return running_gate(postgres_dsn, redis_url, tmp_path, **settings)

    return run


# Sticky


async def test_a_cookie_ties_a_browser_to_a_target_and_no_upstream_sees_it(start):
    async with Upstream() as one, Upstream() as two, start(one.address, two.address, sticky="cookie") as gate:
        first = await gate.call("GET", "/x")
        (cookie,) = first.headers.getall("Set-Cookie")
        assert cookie.startswith("gate-route-api=")
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
        assert (first.headers["Cache-Control"], first.headers["Vary"]) == ("private, no-store", "Cookie")
        pair = cookie.partition(";")[0]
        for _ in range(4):
            again = await gate.call("GET", "/x", headers={"Cookie": f"theirs=1; {pair}; mine=2"})
            assert "Set-Cookie" not in again.headers
    assert sorted(len(up.requests) for up in (one, two)) == [0, 5]
    raw = one.raw + two.raw
    assert b"gate-route" not in raw
    assert b"theirs=1; mine=2" in raw
    assert str(one.port) not in cookie
    assert str(two.port) not in cookie


async def test_an_upstream_cannot_set_the_gate_s_route(start):
    script = says(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: gate-route-api=x\r\nSet-Cookie: a=b\r\n\r\n", 1))
    async with Upstream(script) as up, start(up.address, sticky="cookie") as gate:
        answer = await gate.call("GET", "/x")
    cookies = answer.headers.getall("Set-Cookie")
    assert cookies[0] == "a=b"
    assert not any(cookie.startswith("gate-route-api=x") for cookie in cookies)


async def test_a_route_that_a_reload_made_the_gate_s_own_is_dropped_from_answers_seen_before(start):
    """security 29: what was remembered of an answer's head was remembered under the old upstreams."""
    dated = b"\r\nDate: Wed, 25 Nov 2026 00:00:00 GMT\r\nSet-Cookie: gate-route-api=x\r\n\r\n"
    async with Upstream(says(OK.replace(b"\r\n\r\n", dated, 1))) as up, start(up.address) as gate:
        before = await gate.call("GET", "/x")
        assert before.headers.getall("Set-Cookie") == ["gate-route-api=x"]
        sticky = gate.config.upstreams["api"].model_copy(update={"sticky": "cookie"})
        gate.gatekeeper.reloader.apply(gate.config.model_copy(update={"upstreams": {"api": sticky}}))
        after = await gate.call("GET", "/x")
    assert "gate-route-api=x" not in after.headers.getall("Set-Cookie")


async def test_a_user_stays_at_one_target_wherever_they_are(start):
    rules = [{"name": "all", "path": "/**", "allow": "authenticated"}]
    ups = [Upstream() for _ in range(3)]
    async with ups[0], ups[1], ups[2], start(*[up.address for up in ups], sticky="client", rules=rules) as gate:
        tokens = await gate.newcomer()
        for _ in range(6):
            answer = await gate.call("GET", "/x", headers=bearer(tokens))
            assert "Set-Cookie" not in answer.headers
    assert sorted(len(up.requests) for up in ups) == [0, 0, 6]


async def test_weights_are_those_of_the_configuration(start):
    async with Upstream() as one, Upstream() as two, start({"url": one.address, "weight": 3}, two.address) as gate:
        for _ in range(8):
            await gate.call("GET", "/x")
    assert (len(one.requests), len(two.requests)) == (6, 2)


# 502, and who is up


async def test_an_open_circuit_is_502_with_retry_after_naming_the_upstream_and_not_its_address(start):
    port = unused_port()
    settings = {"ejection": {"failures": 2}, "circuit": {"for": "1h"}}
    async with start(f"http://127.0.0.1:{port}", **settings) as gate:
        plain = [await gate.call("GET", "/x") for _ in range(2)]
        at_once = await gate.call("GET", "/x")
        problem = json.loads(await at_once.text())
    assert [(answer.status, answer.headers.get("Retry-After")) for answer in plain] == [(502, None)] * 2
    assert (at_once.status, at_once.headers["X-Gate-Reason"]) == (502, "upstream-unavailable")
    assert 3590 < int(at_once.headers["Retry-After"]) <= 3600
    assert (problem["type"], problem["upstream"]) == ("urn:gatekeeper:upstream-unavailable", "api")
    assert str(port) not in json.dumps(problem)


async def test_an_upstream_whose_targets_fail_their_checks_is_not_ready(start):
    settings = {"health": {"path": "/up", "every": "50ms", "timeout": "50ms", "unhealthy_after": 1}}
    sick = says(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    async with Upstream(sick) as up, start(up.address, **settings) as gate:
        async with asyncio.timeout(60):
            while (ready := await gate.call("GET", "/_gate/health/ready")).status == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert (ready.status, json.loads(await ready.text())["failed"]) == (503, ["upstream:api"])
            refused = await gate.call("GET", "/x")
            assert (refused.status, refused.headers["Retry-After"]) == (502, "1")
            assert {request.target for request in up.requests} == {b"/up"}
            up.script = answering
            while (await gate.call("GET", "/_gate/health/ready")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(("length", "status"), [("1h", 503), ("1ms", 200)])
async def test_a_dead_upstream_without_checks_is_not_ready_until_somebody_may_try_again(start, length, status):
    async with start(f"http://127.0.0.1:{unused_port()}", circuit={"for": length}) as gate:
        assert (await gate.call("GET", "/_gate/health/ready")).status == 200
        for _ in range(8):
            assert (await gate.call("GET", "/x")).status == 502
        await asyncio.sleep(0.01)
        assert (await gate.call("GET", "/_gate/health/ready")).status == status


async def test_the_metric_of_each_target_says_whether_it_is_up():
    config = Config.model_validate({"upstreams": {"api": {"targets": ["http://a:1", "unix:/run/b"]}}, "rules": PUBLIC})
    pools = Pools(config, SECRET)
    metrics = Metrics()
    metrics.before_flush.append(show_targets(pools, metrics))
    line = 'gatekeeper_upstream_target_up{target="%s",upstream="api"} %s'
    rendered = metrics.render().decode()
    assert line % ("http://a:1", "1.0") in rendered
    assert line % ("unix:/run/b", "1.0") in rendered
    pools["api"]._targets[0].down = True
    assert line % ("http://a:1", "0.0") in metrics.render().decode()
    await readiness(pools)["upstream:api"]()
    await pools["api"].close()


async def test_tls_files_that_cannot_be_used_keep_the_gate_from_starting(tmp_path):
    tls = {"cert": tmp_path / "absent.pem"}
    config = Config.model_validate({"upstreams": {"api": {"targets": ["https://a"], "tls": tls}}, "rules": PUBLIC})
    with pytest.raises(StartupError, match=r"^upstreams\.api\.tls\.cert: .*absent\.pem: No such file"):
        Pools(config, SECRET)


# What a client sends wrong


async def raw(gate, *parts):
    """What the gate answers to these bytes before it closes."""
    host, port = gate.listening.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for part in parts:
        writer.write(part)
        await writer.drain()
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


def chunked(gate, chunks):
    return (
        f"POST /x HTTP/1.1\r\nHost: {gate.url.removeprefix('http://')}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + chunks
    )


async def test_a_body_that_breaks_its_framing_is_400_and_closed_and_never_complete_at_the_upstream(start):
    """security 28"""
    async with Upstream() as up, start(up.address) as gate:
        answer = await raw(gate, chunked(gate, b"3\r\nabc\r\n"), b"zz\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"urn:gatekeeper:validation" in answer
    assert not up.raw.endswith(b"0\r\n\r\n")


async def test_a_body_that_grows_past_the_limit_is_413_and_never_complete_at_the_upstream(
    postgres_dsn, redis_url, tmp_path
):
    async with Upstream() as up:
        settings = {"upstreams": {"api": {"targets": [up.address]}}, "rules": PUBLIC, "sizes": {"body": "1KiB"}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            answer = await raw(gate, chunked(gate, b"200\r\n" + b"x" * 512 + b"\r\n"), b"400\r\n" + b"x" * 1024)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"urn:gatekeeper:too-large" in answer
    assert not up.raw.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("fault", [RequestBodyMismatch("longer than said"), ValueError("not for a wire")])
async def test_a_request_that_cannot_go_on_a_wire_is_400_without_details_and_closed(start, monkeypatch, fault):
    async def refuse(*_):
        raise fault

    async with start(f"http://127.0.0.1:{unused_port()}") as gate:
        monkeypatch.setattr(UpstreamPool, "send", refuse)
        answer = await gate.call("GET", "/x")
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (400, "validation")
    assert answer.headers["Connection"] == "close"
    assert str(fault) not in await answer.text()


async def test_a_body_that_fits_goes_on(start):
    async with Upstream() as up, start(up.address) as gate:

        async def parts():
            yield b"abc"
            yield b"def"

        answer = await gate.call("POST", "/x", data=aiohttp.payload.AsyncIterablePayload(parts()))
    assert answer.status == 200
    assert (up.requests[0].body, up.requests[0].chunked) == (b"abcdef", True)
