"""A ban is in force on every node, on every route and on open connections (security 7, 12, 23)."""

import asyncio
from dataclasses import replace

import pytest
from factories import NOW, PASSWORD
from gates import bearer, running_gate
from servers import postgres_server, short_folder, valkey_server
from sockets import CLOSE, TEXT, Wire, closing, frame, until

from gatekeeper.bans import follow
from gatekeeper.store.migrate import migrate
from policies.bans import Ban, Source, of_user, parse_subject

HERE, THERE = "198.51.100.7", "203.0.113.9"
BANNED = (0x80 | CLOSE, closing(4401, b"banned"))
NETHERLANDS = "145.97.0.1"  # SURFnet, in the bundled database


def coming_from(address, **more):
    return {"X-Forwarded-For": address, **more}


async def answers(gate, address, path="/public/x", **more):
    return await gate.call("GET", path, headers=coming_from(address, **more))


async def until_status(gate, address, status, path="/public/x", **more):
    """Ask until the answer is that one; a ban must be there within a second, the deadline is the machine's."""
    async with asyncio.timeout(30):
        while (answer := await answers(gate, address, path, **more)).status != status:  # noqa: ASYNC110 - by socket
            await asyncio.sleep(0.005)
    return answer


async def test_a_ban_is_in_force_on_every_node_and_so_is_its_end(two_gates, bans_of, ban):
    one, two = two_gates
    async with bans_of() as store:
        await store.put([ban(HERE)], NOW)
        for gate in (one, two):
            answer = await until_status(gate, HERE, 403)
            assert answer.headers["X-Gate-Reason"] == "banned"
            assert "Retry-After" not in answer.headers
            assert (await answers(gate, THERE)).status == 200
        await store.lift(parse_subject(HERE), "test", NOW)
        for gate in (one, two):
            await until_status(gate, HERE, 200)


async def test_a_ban_that_nobody_was_told_of_is_found_by_the_next_look(two_gates, bans_of, ban):
    """Pub/sub is a hint: what was lost is seen within a second."""
    one, two = two_gates
    async with bans_of(tell=False) as store:
        await store.put([ban("198.51.100.0/24")], NOW)
        for gate in (one, two):
            await until_status(gate, HERE, 403)


async def test_a_ban_that_is_told_needs_no_look(monkeypatch, two_gates, bans_of, ban):
    monkeypatch.setattr(follow, "EVERY", 1000.0)
    one, two = two_gates
    await asyncio.sleep(0)
    async with bans_of() as store:
        await store.put([ban(HERE)], NOW)
        for gate in (one, two):
            await until_status(gate, HERE, 403)


async def test_a_temporary_ban_says_when_to_come_back_and_ends_by_itself(two_gates, bans_of, ban):
    one, _ = two_gates
    async with bans_of() as store:
        await store.put([ban(HERE, until=NOW + 90)], NOW)
    answer = await until_status(one, HERE, 403)
    assert answer.headers["Retry-After"] == "91"
    one.clock.advance(90)
    assert (await answers(one, HERE)).status == 200


@pytest.mark.parametrize(
    ("subject", "address", "agent"),
    [
        ("198.51.100.0/24", HERE, "x"),
        ("2001:db8:1::/48", "2001:db8:1:2::3", "x"),
        ("NL", NETHERLANDS, "x"),
        ("agent:sqlmap", THERE, "sqlmap/1.7"),
    ],
)
async def test_networks_countries_and_user_agents_are_turned_away(two_gates, bans_of, ban, subject, address, agent):
    one, _ = two_gates
    async with bans_of() as store:
        await store.put([ban(subject)], NOW)
    await until_status(one, address, 403, **{"User-Agent": agent})
    assert (await answers(one, "192.0.2.77")).status == 200


async def test_the_gate_s_own_pages_and_calls_are_closed_too_but_not_health(two_gates, bans_of, ban):
    one, _ = two_gates
    async with bans_of() as store:
        await store.put([ban(HERE, until=NOW + 60)], NOW)
    await until_status(one, HERE, 403)
    for path in ("/_gate/login", "/_gate/jwks.json", "/_gate/auth/session", "/_gate/admin/"):
        answer = await answers(one, HERE, path)
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "banned"), path
        assert answer.headers["Retry-After"] == "61"
    body = {"email": "ada@example.com", "password": PASSWORD}
    assert (await one.post("login", body, headers=coming_from(HERE))).status == 403
    assert (await answers(one, HERE, "/_gate/health/live")).status == 200
    assert (await answers(one, HERE, "/_gate/health/ready")).status == 200


async def test_nginx_is_told_403_with_the_reason_and_the_time(two_gates, bans_of, ban):
    one, _ = two_gates
    async with bans_of() as store:
        await store.put([ban(HERE, until=NOW + 60)], NOW)
    await until_status(one, HERE, 403)
    asked = {"X-Original-URI": "/public/x", "X-Original-Method": "GET"}
    answer = await answers(one, HERE, "/_gate/verify", **asked)
    assert (answer.status, answer.headers["X-Gate-Reason"], answer.headers["Retry-After"]) == (403, "banned", "61")
    assert (await answers(one, THERE, "/_gate/verify", **asked)).status == 200


async def test_a_ban_comes_behind_the_host_and_before_credentials(two_gates, bans_of, ban):
    one, _ = two_gates
    async with bans_of() as store:
        await store.put([ban(HERE)], NOW)
    await until_status(one, HERE, 403)
    elsewhere = await answers(one, HERE, Host="elsewhere.example")
    assert elsewhere.headers["X-Gate-Reason"] == "unknown-host"
    bad = await answers(one, HERE, "/x", Authorization="Bearer nonsense")
    assert bad.headers["X-Gate-Reason"] == "banned"


async def test_a_banned_account_is_out_wherever_it_comes_from_and_back_when_it_is_lifted(two_gates, bans_of):
    """security 12"""
    one, two = two_gates
    tokens = await one.newcomer()
    subject = of_user(tokens["user"]["id"])
    async with bans_of() as store:
        await store.put([Ban(subject, Source.MANUAL, NOW, NOW + 60)], NOW)
        for gate in (one, two):
            for path in ("/x", "/public/x"):
                answer = await until_status(gate, THERE, 403, path, **bearer(tokens))
                assert (answer.headers["X-Gate-Reason"], answer.headers["Retry-After"]) == ("banned", "61")
            assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 403
            refreshed = await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})
            assert (refreshed.status, refreshed.headers["X-Gate-Reason"]) == (403, "banned")
        right = await one.post("login", {"email": "ada@example.com", "password": PASSWORD})
        wrong = await one.post("login", {"email": "ada@example.com", "password": "quite wrong indeed"})
        assert (right.status, wrong.status) == (403, 401)
        await store.lift(subject, "test", NOW)
        await until_status(two, THERE, 200, "/x", **bearer(tokens))
    rows = await one.rows("SELECT result, reason FROM login_logs WHERE reason = 'banned'")
    assert rows == [{"result": "blocked", "reason": "banned"}]


@pytest.mark.parametrize("subject", ["198.51.100.7", "198.51.100.0/24", "user"])
async def test_open_connections_of_whoever_is_banned_are_closed_on_every_node(two_gates, bans_of, ban, subject):
    """security 7"""
    one, two = two_gates
    tokens = await one.newcomer()
    made = ban(HERE)
    made = replace(made, subject=of_user(tokens["user"]["id"]) if subject == "user" else parse_subject(subject))
    from_here, from_there = (f"X-Forwarded-For: {address}" for address in (HERE, THERE))
    async with bans_of() as store, Wire(one.url) as first, Wire(two.url) as second, Wire(two.url) as other:
        for client in (first, second):
            await client.open("/x", from_here, tokens=tokens)
        await other.open("/public/x", from_there)
        await store.put([made], NOW)
        for client in (first, second):
            assert await client.frame() == BANNED
            assert await client.rest() == b""
        await until(lambda: len(two.gatekeeper.live) == 1)
        other.send(frame(TEXT, b"still there"))
        assert await other.frame() == (0x81, b"still there")


async def test_an_anonymous_tunnel_from_a_banned_country_is_closed(two_gates, bans_of, ban):
    one, _ = two_gates
    async with bans_of() as store, Wire(one.url) as client:
        await client.open("/public/x", f"X-Forwarded-For: {NETHERLANDS}")
        await store.put([ban("NL")], NOW)
        assert await client.frame() == BANNED


async def test_the_allow_list_wins(postgres_dsn, redis_url, tmp_path, sockets, bans_of, ban):
    settings = sockets.settings(trusted_proxies=["127.0.0.0/8"], bans={"allow": ["198.51.100.0/24"]})
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, bans_of() as store:
        await store.put([ban(HERE), ban("198.51.0.0/16")], NOW)
        await until_status(gate, "198.51.7.7", 403)
        assert (await answers(gate, HERE)).status == 200


async def test_bans_made_before_the_start_are_in_force_at_the_first_request(
    postgres_dsn, redis_url, tmp_path, sockets, bans_of, ban
):
    async with bans_of() as store:
        await store.put([ban(HERE)], NOW)
    settings = sockets.settings(trusted_proxies=["127.0.0.0/8"])
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        assert (await answers(gate, HERE)).status == 403


async def test_bans_outlive_both_stores(tmp_path, sockets, ban, bans_of):
    """security 23: the last list stays in force while nobody can be asked."""
    settings = sockets.settings(trusted_proxies=["127.0.0.0/8"], bans={"allow": []})
    with short_folder() as one, short_folder() as two, postgres_server(one) as sql, valkey_server(two) as valkey:
        await migrate(sql.url)
        async with running_gate(sql.url, valkey.url, tmp_path, **settings) as gate:
            async with bans_of(sql.url, valkey.url) as store:
                await store.put([ban(HERE)], NOW)
            await until_status(gate, HERE, 403)
            valkey.kill()
            assert (await answers(gate, HERE)).status == 403
            assert (await answers(gate, THERE)).status == 200
            sql.kill()
            for _ in range(20):
                assert (await answers(gate, HERE)).status == 403
            assert (await answers(gate, THERE)).status == 200
            ready = await answers(gate, THERE, "/_gate/health/ready")
            assert set((await ready.json())["failed"]) == {"redis", "postgres"}


async def test_a_new_ban_arrives_without_redis_and_when_postgresql_is_back(tmp_path, sockets, ban, bans_of):
    settings = sockets.settings(trusted_proxies=["127.0.0.0/8"], bans={"allow": []})
    with short_folder() as one, short_folder() as two, postgres_server(one) as sql, valkey_server(two) as valkey:
        await migrate(sql.url)
        async with running_gate(sql.url, valkey.url, tmp_path, **settings) as gate:
            async with bans_of(sql.url, valkey.url) as store:
                valkey.kill()
                await store.put([ban(HERE)], NOW)
                await until_status(gate, HERE, 403)
            sql.restart()
            valkey.start()
            async with bans_of(sql.url, valkey.url) as store:
                await store.put([ban(THERE)], NOW)
                await until_status(gate, THERE, 403)
