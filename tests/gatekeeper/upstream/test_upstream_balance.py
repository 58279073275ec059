"""Which target serves which request: by weight, by load, and one client at one target."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from upstreams import OK, Wire, echoing, unused_port

from gatekeeper.errors import UpstreamTimeout
from gatekeeper.upstream.balance import LeastConnections, RoundRobin, by_hash
from gatekeeper.upstream.circuit import EjectionRule
from gatekeeper.upstream.messages import OutboundRequest, TargetAddress
from gatekeeper.upstream.sticky import ByClient, ByCookie, Route
from gatekeeper.upstream.target import Target

if TYPE_CHECKING:
    from conftest import MakePool, StartUpstream

HOST = (b"Host", b"api.example")
GET = OutboundRequest("GET", "/", [HOST])
KEY = b"a key of the gate's own"


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - counts have no event to wait for
        await asyncio.sleep(0.001)


def targets(*weights: int) -> list[Target]:
    return [
        Target(TargetAddress.parse(f"http://{name}"), weight, EjectionRule())
        for name, weight in zip("abcdefgh", weights, strict=False)
    ]


# Round robin


def test_turns_are_spread_as_evenly_as_the_weights_allow() -> None:
    several, turns = targets(5, 1, 1), RoundRobin()
    order = "".join(turns.choose(several).address.host for _ in range(14))
    assert order == "aabacaa" * 2


async def test_weights_hold_exactly_over_each_cycle(u: StartUpstream, make_pool: MakePool) -> None:
    ups = [await u() for _ in range(3)]
    pool = make_pool(*ups, weights=(5, 3, 2))
    for cycle in range(1, 4):
        for _ in range(10):
            await pool.send(GET)
        assert [len(up.requests) for up in ups] == [5 * cycle, 3 * cycle, 2 * cycle]


def test_who_has_no_room_leaves_its_turns_to_the_others_by_weight() -> None:
    several, turns = targets(5, 2, 1), RoundRobin()
    counts = Counter(turns.choose(several[1:]).address.host for _ in range(30))
    assert counts == {"b": 20, "c": 10}


# Least connections


async def test_the_target_with_the_fewest_requests_under_way_is_next(u: StartUpstream, make_pool: MakePool) -> None:
    go_on = asyncio.Event()

    async def slow(wire: Wire) -> None:
        while await wire.request() is not None:
            await go_on.wait()
            await wire.send(OK)

    slow_one, quick = await u(slow), await u()
    pool = make_pool(slow_one, quick, balance=LeastConnections())
    held = [asyncio.create_task(pool.send(GET)) for _ in range(2)]
    await until(lambda: len(slow_one.requests) == 1 and held[1].done())
    for _ in range(10):
        await pool.send(GET)
    assert (len(slow_one.requests), len(quick.requests)) == (1, 11)
    go_on.set()
    await asyncio.gather(*held)
    for _ in range(10):
        await pool.send(GET)
    assert len(slow_one.requests) == 6, "as idle as the other, it has every second turn again"


def test_requests_under_way_are_measured_by_weight() -> None:
    several, fewest = targets(3, 1), LeastConnections()
    for target, busy in zip(several, (5, 2), strict=True):
        target.open = busy
    assert fewest.choose(several).address.host == "a", "5 of 3 are fewer than 2 of 1"
    several[0].open = 7
    assert fewest.choose(several).address.host == "b"


# Sticky by client


def test_a_lost_target_moves_only_its_own_clients_and_spreads_them() -> None:
    several = targets(1, 1, 1, 1)
    clients = [f"client {number}".encode() for number in range(2000)]
    before = {client: by_hash(client, several) for client in clients}
    counts = Counter(target.address.host for target in before.values())
    assert all(400 < count < 600 for count in counts.values()), counts
    after = {client: by_hash(client, several[1:]) for client in clients}
    moved = [client for client in clients if after[client] is not before[client]]
    assert {before[client] for client in moved} == {several[0]}
    assert all(count > 100 for count in Counter(after[client].address.host for client in moved).values())


def test_heavier_targets_have_more_clients() -> None:
    several = targets(3, 1)
    counts = Counter(by_hash(b"%d" % number, several).address.host for number in range(4000))
    assert 2850 < counts["a"] < 3150


async def test_a_client_stays_at_its_target_while_that_is_up(u: StartUpstream, make_pool: MakePool) -> None:
    ups = {up.address: up for up in [await u() for _ in range(3)]}
    sticky = ByClient()
    pool = make_pool(*ups.values(), sticky=sticky)
    for _ in range(5):
        await pool.send(GET, sticky.route("ada", []))
    (home,) = [up for up in ups.values() if up.requests]
    assert len(home.requests) == 5
    next(target for target in pool._targets if target.name == home.address).down = True
    for _ in range(4):
        await pool.send(GET, sticky.route("ada", []))
    assert sorted(len(up.requests) for up in ups.values()) == [0, 4, 5]
    assert sticky.cookie_names == frozenset()


async def test_all_clients_together_use_all_targets(u: StartUpstream, make_pool: MakePool) -> None:
    ups = [await u() for _ in range(3)]
    sticky = ByClient()
    pool = make_pool(*ups, sticky=sticky)
    for number in range(60):
        await pool.send(GET, sticky.route(f"192.0.2.{number}", []))
    assert all(up.requests for up in ups)


# Sticky by cookie


def cookie_of(route: Route) -> str:
    assert route.set_cookie is not None
    return route.set_cookie.partition(";")[0]


async def test_a_cookie_leads_back_to_its_target_and_is_set_once(u: StartUpstream, make_pool: MakePool) -> None:
    ups = [await u() for _ in range(3)]
    sticky = ByCookie("api", KEY, secure=False)
    pool = make_pool(*ups, sticky=sticky)
    for home in range(3):
        first = sticky.route("", [])
        await pool.send(GET, first)
        counts = [len(up.requests) for up in ups]
        for _ in range(5):
            again = sticky.route("", ["a=b; c=d", f"x=y; {cookie_of(first)}; z=0"])
            await pool.send(GET, again)
            assert again.set_cookie is None
        assert [len(up.requests) - before for up, before in zip(ups, counts, strict=True)].count(0) == 2, home


async def test_a_lost_target_s_clients_get_a_new_cookie(u: StartUpstream, make_pool: MakePool) -> None:
    ups = [await u(), await u()]
    sticky = ByCookie("api", KEY, secure=False)
    pool = make_pool(*ups, sticky=sticky)
    first = sticky.route("", [])
    await pool.send(GET, first)
    pool._targets[0].down = True
    moved = sticky.route("", [cookie_of(first)])
    await pool.send(GET, moved)
    assert [len(up.requests) for up in ups] == [1, 1]
    assert cookie_of(moved) != cookie_of(first)
    pool._targets[0].down = False
    stays = sticky.route("", [cookie_of(moved)])
    await pool.send(GET, stays)
    assert (stays.set_cookie, len(ups[1].requests)) == (None, 2)


async def test_a_target_that_refuses_loses_its_client_to_another(u: StartUpstream, make_pool: MakePool) -> None:
    up, away = await u(), f"http://127.0.0.1:{unused_port()}"
    sticky = ByCookie("api", KEY, secure=False)
    pool = make_pool(away, up, sticky=sticky)
    gone = next(target for target in pool._targets if target.name == away)
    route = sticky.route("", [sticky.cookie(sticky.tag(gone))])
    assert (await pool.send(GET, route)).status == 200
    assert cookie_of(route).endswith(sticky.tag(pool._targets[1]))


@pytest.mark.parametrize("value", ["", "x", "0" * 32, "gate-route-api", "é"])
async def test_a_cookie_that_names_no_target_is_replaced(u: StartUpstream, make_pool: MakePool, value: str) -> None:
    sticky = ByCookie("api", KEY, secure=False)
    pool = make_pool(await u(), sticky=sticky)
    route = sticky.route("", [f"gate-route-api={value}"])
    await pool.send(GET, route)
    assert route.set_cookie is not None


def test_the_cookie_tells_nobody_which_server_it_is() -> None:
    (target,) = targets(1)
    sticky = ByCookie("api", KEY, secure=False)
    tag = sticky.tag(target)
    assert tag != ByCookie("api", b"another key", secure=False).tag(target)
    assert tag != ByCookie("web", KEY, secure=False).tag(target)
    assert tag == ByCookie("api", KEY, secure=True).tag(target), "all workers and nodes agree"
    assert sticky.cookie(tag) == f"gate-route-api={tag}; Path=/; HttpOnly; SameSite=Lax"
    secure = ByCookie("api", KEY, secure=True)
    assert secure.cookie(tag) == f"__Host-gate-route-api={tag}; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert secure.cookie_names == sticky.cookie_names == {b"gate-route-api", b"__Host-gate-route-api"}


async def test_a_client_waits_for_its_full_target_and_others_pass_by(u: StartUpstream, make_pool: MakePool) -> None:
    go_on = asyncio.Event()

    async def gated(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            await go_on.wait()
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.target) + request.target)

    home, other = await u(gated), await u(echoing)
    sticky = ByCookie("api", KEY, secure=False)
    pool = make_pool(home, other, sticky=sticky, max_connections=1)
    tag = sticky.cookie(sticky.tag(pool._targets[0])).partition(";")[0]
    tasks = [asyncio.create_task(pool.send(GET, sticky.route("", [tag]))) for _ in range(3)]
    await until(lambda: pool.stats.waiting == 2)
    for _ in range(3):
        assert (await pool.send(GET, sticky.route("", []))).status == 200
    assert (len(home.requests), len(other.requests)) == (1, 3)
    go_on.set()
    await asyncio.gather(*tasks)
    assert (len(home.requests), len(other.requests)) == (3, 3)


async def test_who_waits_for_one_target_is_passed_by_who_takes_any(u: StartUpstream, make_pool: MakePool) -> None:
    go_on = [asyncio.Event(), asyncio.Event()]

    def gated(event: asyncio.Event) -> Callable[[Wire], object]:
        async def script(wire: Wire) -> None:
            while await wire.request() is not None:
                await event.wait()
                await wire.send(OK)

        return script

    ups = [await u(gated(event)) for event in go_on]
    sticky = ByCookie("api", KEY, secure=False)
    pool = make_pool(*ups, sticky=sticky, max_connections=1, connect_timeout=60.0)
    tag = sticky.cookie(sticky.tag(pool._targets[0])).partition(";")[0]
    busy = [asyncio.create_task(pool.send(GET)) for _ in range(2)]
    await until(lambda: all(up.requests for up in ups))
    tied = asyncio.create_task(pool.send(GET, sticky.route("", [tag])))
    await until(lambda: pool.stats.waiting == 1)
    free = asyncio.create_task(pool.send(GET))
    await until(lambda: pool.stats.waiting == 2)
    go_on[1].set()
    await free
    assert (tied.done(), len(ups[1].requests), pool.stats.waiting) == (False, 2, 1)
    go_on[0].set()
    await asyncio.gather(tied, *busy)
    assert len(ups[0].requests) == 2


async def test_a_wait_for_one_target_ends_in_time_and_leaves_no_trace(u: StartUpstream, make_pool: MakePool) -> None:
    async def silent(wire: Wire) -> None:
        await wire.until_closed()

    home = await u(silent)
    sticky = ByClient()
    pool = make_pool(home, sticky=sticky, max_connections=1, connect_timeout=0.2)
    first = asyncio.create_task(pool.send(GET, sticky.route("ada", [])))
    await until(lambda: home.wires)
    with pytest.raises(UpstreamTimeout, match="no connection became free"):
        await pool.send(GET, sticky.route("ada", []))
    assert pool.stats.waiting == 0
    first.cancel()
    await asyncio.wait({first})
