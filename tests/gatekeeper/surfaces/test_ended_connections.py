"""Tunnels and streams end with their session, wherever it ends (security 7, 12, 26), and not before."""

import asyncio
import contextlib
import json
from base64 import urlsafe_b64decode
from functools import partial

import gates
import pytest
import pytest_asyncio
import servers
from factories import PASSWORD
from forms import Browser
from gates import bearer, running_gate
from sockets import ASKING, CLOSE, RULES, SWITCHING, TEXT, Wire, closing, frame, until
from upstreams import Upstream

from gatekeeper import live
from gatekeeper.bootstrap import postgres_at
from gatekeeper.identity.accounts import Accounts
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis
from policies.model import Reason

ENDED = (0x80 | CLOSE, closing(4401, b"session-ended"))
DENIED = (0x80 | CLOSE, closing(4401, b"rule-denied"))
AWAY = (0x80 | CLOSE, closing(1001, b"going-away"))
STRANGER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
EVENT = b"data: event\n\n"


@pytest.fixture
def only_hints(monkeypatch):
    """The timer stands still, so that whatever ends was ended by what Redis published. To be asked for first."""
    monkeypatch.setattr(live, "TICK", 1000.0)


@pytest.fixture
def only_time(monkeypatch):
    """Nothing is heard, so that whatever ends was ended by the timer. To be asked for first."""

    async def deaf(_self, *_channels):
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(Redis, "subscribe", deaf)
    monkeypatch.setattr(live, "TICK", 0.05)


@pytest_asyncio.fixture
async def two_gates(postgres_dsn, redis_url, tmp_path, sockets):
    """Two nodes of one service, each asked at its own address."""
    settings = sockets.settings(hosts=["127.0.0.1"])
    async with running_gate(postgres_dsn, redis_url, tmp_path / "one", **settings) as one:
        settings["public_url"] = one.url
        async with running_gate(postgres_dsn, redis_url, tmp_path / "two", clock=one.clock, **settings) as two:
            two.url = two.listening
            yield one, two


@pytest.fixture
def logged(monkeypatch):
    """What would be written to the access log."""
    entries = []

    class Log:
        write = staticmethod(entries.append)

        @staticmethod
        def wants(_status, _reason):
            return True

    build_gate = gates.build
    monkeypatch.setattr(gates, "build", partial(build_gate, access=Log()))
    return entries


@contextlib.asynccontextmanager
async def accounts_of(postgres_dsn, redis_url):
    """The accounts as a command sees them: from another process, in effect."""
    redis = Redis(redis_url, timeout=5.0)
    await redis.open()
    async with postgres_at(postgres_dsn) as postgres:
        yield Accounts(PostgresAccounts(postgres), RedisSessions(redis, user_life=86400.0))
    await redis.close()


async def echoes(client):
    """Whether the tunnel still carries."""
    client.send(frame(TEXT, b"still there"))
    return await client.frame() == (0x81, b"still there")


async def events(client, tokens=None):
    """Ask for the stream of events and read the first."""
    client.ask("/events" if tokens else "/public/events", tokens=tokens)
    status, head = await client.head()
    assert (status, "text/event-stream" in head) == (200, True)
    async with asyncio.timeout(30):
        await client.reader.readuntil(EVENT)


# Logging out


@pytest.mark.parametrize("scope", ["this", "others", "all"])
async def test_a_logout_ends_the_tunnels_of_its_sessions_on_every_node(only_hints, two_gates, scope):
    """security 7"""
    one, two = two_gates
    mine, theirs = await one.newcomer(), await one.login("ada@example.com")
    strangers = await one.newcomer("eve@example.com")
    async with Wire(two.url) as first, Wire(two.url) as second, Wire(one.url) as third, Wire(two.url) as other:
        for client, tokens in [(first, mine), (second, theirs), (third, theirs), (other, strangers)]:
            await client.open(tokens=tokens)
        assert (await one.post("logout", {"scope": scope}, headers=bearer(mine))).status == 204
        ended = {"this": [first], "others": [second, third], "all": [first, second, third]}[scope]
        for client in ended:
            assert await client.frame() == ENDED
            assert await client.rest() == b""
        for client in {first, second, third, other} - set(ended):
            assert await echoes(client)
    await until(lambda: not len(one.gatekeeper.live) and not len(two.gatekeeper.live))


async def test_the_upstream_hears_no_more_from_an_ended_session(only_hints, two_gates, sockets):
    one, two = two_gates
    tokens = await one.newcomer()
    async with Wire(two.url) as client:
        await client.open(tokens=tokens)
        await one.post("logout", {}, headers=bearer(tokens))
        assert await client.frame() == ENDED
        with contextlib.suppress(ConnectionError):
            client.send(frame(TEXT, b"too late"))
            await client.writer.drain()
        await until(lambda: sockets.closed)
        assert sockets.open == 0


async def test_ending_one_s_other_session_ends_its_tunnel(only_hints, two_gates):
    one, two = two_gates
    mine, lost = await one.newcomer(), await one.login("ada@example.com")
    async with Wire(two.url) as client, Wire(two.url) as kept:
        await client.open(tokens=lost)
        await kept.open(tokens=mine)
        answer = await one.call("DELETE", f"/_gate/auth/sessions/{lost['session_id']}", headers=bearer(mine))
        assert answer.status == 204
        assert await client.frame() == ENDED
        assert await echoes(kept)


async def test_a_password_change_ends_all_tunnels_but_those_of_the_caller_s_session(only_hints, two_gates):
    one, two = two_gates
    mine, theirs = await one.newcomer(), await one.login("ada@example.com")
    async with Wire(two.url) as kept, Wire(two.url) as lost:
        await kept.open(tokens=mine)
        await lost.open(tokens=theirs)
        change = {"current_password": PASSWORD, "new_password": "another battery 99"}
        assert (await one.post("password/change", change, headers=bearer(mine))).status == 200
        assert await lost.frame() == ENDED
        assert await echoes(kept)


async def test_a_refresh_token_that_is_used_twice_ends_the_family_s_tunnels(only_hints, two_gates):
    """security 11"""
    one, two = two_gates
    tokens = await one.newcomer()
    async with Wire(two.url) as client:
        await client.open(tokens=tokens)
        await one.post("refresh", {"refresh_token": tokens["refresh_token"]})
        assert await echoes(client)  # a tunnel lives as long as its session, not as long as a token
        one.clock.advance(60)
        assert (await one.post("refresh", {"refresh_token": tokens["refresh_token"]})).status == 401
        assert await client.frame() == ENDED


# What an operator does, from another process


@pytest.mark.parametrize("change", ["lock", "log_out", "set_password"])
async def test_a_command_s_change_ends_the_user_s_tunnels(only_hints, two_gates, postgres_dsn, redis_url, change):
    """security 12"""
    one, two = two_gates
    tokens = await one.newcomer()
    async with Wire(one.url) as first, Wire(two.url) as second:
        await first.open(tokens=tokens)
        await second.open(tokens=tokens)
        async with accounts_of(postgres_dsn, redis_url) as accounts:
            arguments = ("a hash",) if change == "set_password" else ()
            await getattr(accounts, change)(tokens["user"]["id"], *arguments, one.clock.now())
        assert [await client.frame() for client in (first, second)] == [ENDED, ENDED]


async def test_a_lost_role_ends_what_needed_it_and_leaves_the_rest(only_hints, two_gates, postgres_dsn, redis_url):
    """security 12: a role change is in force at once, and the session lives on"""
    one, two = two_gates
    tokens = await one.newcomer()
    async with accounts_of(postgres_dsn, redis_url) as accounts, Wire(two.url) as staff, Wire(two.url) as anybody:
        await accounts.set_roles(tokens["user"]["id"], ["staff", "other"], one.clock.now())
        await staff.open("/staff/x", tokens=tokens)
        await anybody.open(tokens=tokens)
        await accounts.set_roles(tokens["user"]["id"], ["staff"], one.clock.now())
        assert await echoes(staff)
        await accounts.set_roles(tokens["user"]["id"], ["other"], one.clock.now())
        assert await staff.frame() == DENIED
        assert await echoes(anybody)


@pytest.mark.parametrize("how", ["revoked", "not me"])
async def test_a_key_that_is_revoked_ends_its_tunnels_and_no_others(only_hints, ws_gate, how):
    tokens = await ws_gate.newcomer()
    made = []
    for name in ("first", "second"):
        answer = await ws_gate.post("api-keys", {"name": name, "scopes": ["/**"]}, headers=bearer(tokens))
        made.append(await answer.json())
    async with Wire(ws_gate.url) as first, Wire(ws_gate.url) as second, Wire(ws_gate.url) as signed_in:
        for wire, key in ((first, made[0]), (second, made[1])):
            await wire.open("/x", f"X-Api-Key: {key['key']}")
        await signed_in.open(tokens=tokens)
        if how == "revoked":
            answer = await ws_gate.call("DELETE", f"/_gate/auth/api-keys/{made[0]['id']}", headers=bearer(tokens))
            assert answer.status == 204
            assert await first.frame() == ENDED
            assert await echoes(second)
            assert await echoes(signed_in)
        else:
            await ws_gate.login("ada@example.com")
            await ws_gate.post("login", {"email": "ada@example.com", "password": PASSWORD}, headers=STRANGER)
            token = ws_gate.console.token("ada@example.com", "not-me")
            assert (await Browser(ws_gate).submit("/_gate/not-me", {"token": token})).status == 303
            assert [await wire.frame() for wire in (first, second, signed_in)] == [ENDED] * 3


async def test_a_blacklisted_token_ends_its_tunnels_though_its_session_lives(only_hints, ws_gate, redis_url):
    tokens = await ws_gate.newcomer()
    renewed = await (await ws_gate.post("refresh", {"refresh_token": tokens["refresh_token"]})).json()
    async with Wire(ws_gate.url) as lost, Wire(ws_gate.url) as kept:
        await lost.open(tokens=tokens)
        await kept.open(tokens=renewed)
        (jti,) = {
            entry.principal.jti
            for entry in ws_gate.gatekeeper.live._all
            if entry.principal.jti != json.loads(_payload(renewed["access_token"]))["jti"]
        }
        redis = Redis(redis_url, timeout=5.0)
        await redis.open()
        store, now = RedisSessions(redis, user_life=86400.0), ws_gate.clock.now()
        await store.blacklist(tokens["session_id"], jti, until=now + 900, now=now)
        await redis.close()
        assert await lost.frame() == ENDED
        assert await echoes(kept)


def _payload(token):
    part = token.split(".")[1]
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


# Time


async def test_an_expired_token_ends_nothing_and_the_session_s_end_does(
    only_time, postgres_dsn, redis_url, tmp_path, sockets
):
    """security 7: a token's expiry alone does not close it"""
    settings = sockets.settings(tokens={"access_ttl": "1m", "refresh_ttl": "1h", "idle_ttl": "1h"})
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
        tokens = await gate.newcomer()
        await client.open(tokens=tokens)
        gate.clock.advance(300)
        assert (await gate.call("GET", "/x", headers=bearer(tokens))).status == 401
        for _ in range(5):
            await asyncio.sleep(0.05)
            assert await echoes(client)
        gate.clock.advance(3300)
        assert await client.frame() == ENDED


async def test_a_session_left_idle_ends_its_tunnels(only_time, postgres_dsn, redis_url, tmp_path, sockets):
    settings = sockets.settings(tokens={"refresh_ttl": "30d", "idle_ttl": "1h"})
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
        tokens = await gate.newcomer()
        await client.open(tokens=tokens)
        gate.clock.advance(1800)
        await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})
        gate.clock.advance(1801)
        await asyncio.sleep(0.2)
        assert await echoes(client)
        gate.clock.advance(1800)
        assert await client.frame() == ENDED


async def test_a_hint_that_was_lost_costs_a_moment_only(only_time, ws_gate, monkeypatch):
    tokens = await ws_gate.newcomer()
    monkeypatch.setattr(ws_gate.gatekeeper.live, "_sweep", 0.1)
    async with Wire(ws_gate.url) as client:
        await client.open(tokens=tokens)
        assert await echoes(client)
        await ws_gate.post("logout", {}, headers=bearer(tokens))
        assert await client.frame() == ENDED


async def test_a_logout_while_the_upstream_still_thinks_is_not_forgotten(
    postgres_dsn, redis_url, tmp_path, monkeypatch
):
    monkeypatch.setattr(live, "TICK", 0.05)
    asked, go = asyncio.Event(), asyncio.Event()

    async def script(wire):
        await wire.request()
        asked.set()
        await go.wait()
        await wire.send(SWITCHING)
        await wire.until_closed()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            client.ask("/x", *ASKING, tokens=tokens)
            async with asyncio.timeout(30):
                await asked.wait()
            await gate.post("logout", {}, headers=bearer(tokens))
            go.set()
            assert (await client.head())[0] == 101
            assert await client.frame() == ENDED


# Redis away


async def test_tunnels_outlive_a_short_outage_of_redis_and_not_a_logout_after_it(
    postgres_dsn, short_tmp, tmp_path, sockets, monkeypatch
):
    """security 23, 14"""
    monkeypatch.setattr(live, "TICK", 0.05)
    with servers.valkey_server(short_tmp) as valkey:
        settings = sockets.settings()
        async with running_gate(postgres_dsn, valkey.url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            await client.open(tokens=tokens)
            redis = Redis(valkey.url, timeout=5.0)
            await redis.open()
            await redis.call("SAVE")
            await redis.close()
            valkey.kill()
            monkeypatch.setattr(gate.gatekeeper.live, "_sweep", 0.05)
            await asyncio.sleep(0.3)
            assert await echoes(client)
            valkey.start()
            async with asyncio.timeout(60):
                while (await gate.call("GET", "/x", headers=bearer(tokens))).status != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert await echoes(client)
            await gate.post("logout", {}, headers=bearer(tokens))
            assert await client.frame() == ENDED


async def test_tunnels_do_not_outlive_a_long_outage_of_redis(postgres_dsn, short_tmp, tmp_path, sockets, monkeypatch):
    monkeypatch.setattr(live, "TICK", 0.05)
    with servers.valkey_server(short_tmp) as valkey:
        settings = sockets.settings()
        async with running_gate(postgres_dsn, valkey.url, tmp_path, **settings) as gate:
            tokens = await gate.newcomer()
            async with Wire(gate.url) as client, Wire(gate.url) as public:
                await client.open(tokens=tokens)
                await public.open("/public/x")
                monkeypatch.setattr(gate.gatekeeper.live, "_grace", 0.2)
                monkeypatch.setattr(gate.gatekeeper.live, "_sweep", 0.05)
                valkey.kill()
                assert await client.frame() == (0x80 | CLOSE, closing(1013, b"store-unavailable"))
                assert await echoes(public)


async def test_a_redis_that_forgot_everything_ends_the_tunnels(ws_gate, redis_url, monkeypatch):
    """security 14: a session that is not there is not alive"""
    monkeypatch.setattr(ws_gate.gatekeeper.live, "_sweep", 0.1)
    async with Wire(ws_gate.url) as client:
        await client.open(tokens=await ws_gate.newcomer())
        redis = Redis(redis_url, timeout=5.0)
        await redis.open()
        await redis.call("FLUSHALL")
        await redis.close()
        assert await client.frame() == ENDED


# Streams


async def test_a_stream_of_events_outlives_every_time_out(postgres_dsn, redis_url, tmp_path, sockets):
    short = "200ms"
    timeouts = {"head": short, "body_idle": short, "idle": short, "first_byte": short}
    settings = sockets.settings(timeouts=timeouts)
    settings["upstreams"]["api"] |= {"timeout": "1s", "total": "1s", "idle_timeout": short, "between_bytes": short}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
        await events(client)
        for _ in range(2):
            await asyncio.sleep(1.1)  # real time-outs of sockets: only real silence shows them
            sockets.flow.set()
            async with asyncio.timeout(30):
                await client.reader.readuntil(EVENT)


async def test_a_long_poll_may_pause_and_a_download_may_not(postgres_dsn, redis_url, tmp_path):
    """A body of known length that stops is broken; one without says nothing about when it goes on."""
    poll = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
    download = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun"

    async def script(wire):
        request = await wire.request()
        await wire.send(poll if request.target.endswith(b"poll") else download)
        await asyncio.sleep(1)  # a real time-out of a socket: only real silence shows it
        await wire.send(b"5\r\nended\r\n0\r\n\r\n")

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address], "between_bytes": "200ms"}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            async with Wire(gate.url) as client:
                client.ask("/public/poll", "Connection: close")
                assert (await client.rest()).endswith(b"5\r\nended\r\n0\r\n\r\n")
            async with Wire(gate.url) as client:
                client.ask("/public/download", "Connection: close")
                assert (await client.rest()).removesuffix(b"RST").endswith(b"begun")


async def test_a_logout_ends_a_stream_on_another_node_visibly_unfinished(only_hints, two_gates, sockets):
    """security 7"""
    one, two = two_gates
    tokens = await one.newcomer()
    async with Wire(two.url) as client, Wire(two.url) as public:
        await events(client, tokens)
        await events(public)
        await one.post("logout", {}, headers=bearer(tokens))
        rest = await client.rest()
        assert not rest.endswith(b"0\r\n\r\n")
        await until(lambda: sockets.open == 1)
        sockets.flow.set()
        async with asyncio.timeout(30):
            await public.reader.readuntil(EVENT)


async def test_a_download_ends_with_its_session_too(only_hints, postgres_dsn, redis_url, tmp_path, logged):
    async def script(wire):
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
        await wire.until_closed()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            client.ask("/x", tokens=tokens)
            assert (await client.head())[0] == 200
            await gate.post("logout", {}, headers=bearer(tokens))
            assert (await client.rest()).removesuffix(b"RST") == b"begun"
            await until(lambda: not len(gate.gatekeeper.live))
    (entry,) = [entry for entry in logged if entry.path == "/x"]
    assert (entry.status, entry.reason, entry.size) == (200, "session-ended", 5)


async def test_a_download_that_nobody_takes_ends_with_its_session_too(only_hints, postgres_dsn, redis_url, tmp_path):
    gone = asyncio.Event()

    async def script(wire):
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        with contextlib.suppress(ConnectionError):
            while not wire.writer.is_closing():
                wire.writer.write(bytes(1 << 16))
                await wire.writer.drain()
        gone.set()

    async with Upstream(script) as upstream:
        settings = {
            "upstreams": {"api": {"targets": [upstream.address]}},
            "rules": RULES,
            "timeouts": {"body_idle": "1h"},
        }
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            client.reader._transport.pause_reading()
            client.ask("/x", tokens=tokens)
            await until(lambda: len(gate.gatekeeper.live))
            await asyncio.sleep(0.5)  # until all buffers on the way are full
            await gate.post("logout", {}, headers=bearer(tokens))
            async with asyncio.timeout(30):
                await gone.wait()
            await until(lambda: not len(gate.gatekeeper.live))


async def test_answers_that_came_whole_are_not_registered(ws_gate, monkeypatch):
    added = []
    monkeypatch.setattr(ws_gate.gatekeeper.live, "add", lambda *args, **_: added.append(args))
    tokens = await ws_gate.newcomer()
    assert (await ws_gate.call("GET", "/x", headers=bearer(tokens))).status == 200
    assert added == []


# Draining


async def test_a_drain_tells_tunnels_to_go_elsewhere_and_does_not_wait_for_streams(
    postgres_dsn, redis_url, tmp_path, sockets
):
    """security 26"""
    settings = sockets.settings(timeouts={"drain": "60s"})
    async with asyncio.timeout(50), contextlib.AsyncExitStack() as clients:
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            tokens = await gate.newcomer()
            tunnels = [await clients.enter_async_context(Wire(gate.url)) for _ in range(20)]
            streams = [await clients.enter_async_context(Wire(gate.url)) for _ in range(5)]
            for number, client in enumerate(tunnels):
                await client.open("/public/x" if number % 2 else "/x", tokens=tokens)
            for client in streams:
                await events(client, tokens)
        for client in tunnels:
            assert await client.frame() == AWAY
            assert await client.rest() == b""
        for client in streams:
            assert (await client.rest()).removesuffix(b"RST") in {b"", b"\r\n"}
        assert len(gate.gatekeeper.live) == 0


async def test_a_slow_answer_is_finished_before_the_worker_ends(postgres_dsn, redis_url, tmp_path):
    """security 26"""
    begun, go = asyncio.Event(), asyncio.Event()

    async def script(wire):
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        begun.set()
        await go.wait()
        await wire.send(b"5\r\nended\r\n0\r\n\r\n")

    async with Upstream(script) as upstream, contextlib.AsyncExitStack() as stack:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            client = await stack.enter_async_context(Wire(gate.url))
            client.ask("/public/x")
            async with asyncio.timeout(30):
                await begun.wait()
            asyncio.get_running_loop().call_later(0.3, go.set)
        assert (await client.rest()).endswith(b"5\r\nended\r\n0\r\n\r\n")


def test_every_ending_but_the_drain_is_a_reason():
    assert {str(ending) for ending in live.Ending} - {"going-away"} <= set(Reason)
