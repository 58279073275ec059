"""The registry of open connections: who is looked at when, and what ends them (security 7, 12)."""

import asyncio
from dataclasses import replace

import pytest
from factories import NOW, access_tokens, refresh_tokens, session, user
from fakes import MemoryKeys, MemoryRecords, MemorySessions

from gatekeeper import live as live_module
from gatekeeper.clock import ManualClock
from gatekeeper.config.model import RuleConfig
from gatekeeper.live import Changed, Ending, LiveConnections
from gatekeeper.tokens.api_keys import KeyReader, KeyUses
from gatekeeper.tokens.sessions import Sessions
from policies.load import compile_rules
from policies.model import Principal

IDLE = 7 * 86400.0
STAFF = compile_rules([RuleConfig(name="staff", path="/**", allow={"roles": ["staff"]})], ["api"]).rules[0]


class State(MemorySessions):
    """Live records in memory, with the changes that a test publishes; counts what is asked."""

    def __init__(self):
        super().__init__()
        self.published = asyncio.Queue()
        self.asked = []
        self.broken = False

    async def read(self, session, jti, user):
        self.asked.append(session)
        if self.broken:
            raise ZeroDivisionError
        return await super().read(session, jti, user)

    async def changes(self):
        yield Changed()
        while True:
            yield await self.published.get()


class Registry:
    """A registry over such a state, and what it has ended."""

    def __init__(self, **options):
        self.state = State()
        self.clock = ManualClock(NOW)
        sessions = Sessions(
            self.state,
            MemoryRecords(),
            access_tokens(),
            refresh_tokens(),
            refresh_ttl=30 * 86400.0,
            idle_ttl=IDLE,
            reuse_window=10.0,
        )
        self.keys = KeyReader(self.state, MemoryKeys(), KeyUses())
        self.live = LiveConnections(self.state, sessions, self.clock, self.keys, **options)
        self.ended = []

    async def known(self, **changes):
        """A user with a living session: the principal of its token."""
        owner = user()
        family = session(owner, **changes)
        await self.state.open(family, owner, idle=IDLE)
        return Principal(owner.id, owner.email, frozenset(owner.roles), family.id, jti="a-jti")

    def add(self, who, rule=None, *, endless=True, name=None):
        """An open connection; its ``name`` (or session) is noted when it is closed, with the reason."""
        mark = name or (who.session if who else None)
        return self.live.add(lambda ending: self.ended.append((mark, ending)), who, rule, endless=endless)


@pytest.fixture
def registry():
    return Registry()


async def test_a_living_session_keeps_its_connections(registry):
    who = await registry.known()
    entry = registry.add(who, STAFF)
    await registry.live.check(NOW)
    await registry.live.check(NOW, everything=True)
    assert (registry.ended, len(registry.live)) == ([], 1)
    registry.live.remove(entry)
    registry.live.remove(entry)
    assert len(registry.live) == 0


async def _log_out(registry, who):
    await registry.state.end([who.session])


async def _blacklist(registry, who):
    await registry.state.blacklist(who.session, who.jti, until=NOW + 900, now=NOW)


async def _lock(registry, who):
    await registry.state.put_user(replace(registry.state.users[who.subject], locked=True, version=2))


async def _raise_epoch(registry, who):
    await registry.state.put_user(replace(registry.state.users[who.subject], epoch=2, version=2))


async def _delete(registry, who):
    del registry.state.users[who.subject]


async def _take_role(registry, who):
    await registry.state.put_user(replace(registry.state.users[who.subject], roles=("guest",), version=2))


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        (_log_out, Ending.SESSION),
        (_blacklist, Ending.SESSION),
        (_lock, Ending.SESSION),
        (_raise_epoch, Ending.SESSION),
        (_delete, Ending.SESSION),
        (_take_role, Ending.RULE),
    ],
)
@pytest.mark.parametrize("told", ["session", "user", "nothing"])
async def test_each_revocation_ends_what_it_concerns_and_nothing_else(registry, change, ending, told):
    """security 12"""
    who, other = await registry.known(), await registry.known()
    registry.add(who, STAFF)
    registry.add(other, STAFF)
    registry.add(None)
    await change(registry, who)
    about = {"session": Changed(session=who.session), "user": Changed(user=who.subject), "nothing": Changed()}
    await registry.live.changed(about[told], NOW)
    assert registry.ended == [(who.session, ending)]
    await registry.live.changed(about[told], NOW)
    assert len(registry.ended) == 1  # told once, however long it takes to close


async def test_a_change_asks_only_about_those_it_concerns(registry):
    everybody = [await registry.known() for _ in range(5)]
    for who in everybody:
        registry.add(who)
    await registry.live.changed(Changed(session=everybody[0].session), NOW)
    await registry.live.changed(Changed(user=everybody[1].subject), NOW)
    await registry.live.changed(Changed(session="of somebody else"), NOW)
    assert registry.state.asked == [everybody[0].session, everybody[1].session]


async def test_many_connections_of_one_token_cost_one_question(registry):
    who = await registry.known()
    for _ in range(50):
        registry.add(who)
    await registry.live.check(NOW)
    assert registry.state.asked == [who.session]


async def test_more_than_a_batch_is_looked_at_too(registry):
    everybody = [await registry.known() for _ in range(450)]
    for who in everybody:
        registry.add(who)
        await registry.state.end([who.session])
    await registry.live.check(NOW)
    assert len(registry.ended) == 450


@pytest.mark.parametrize(
    ("life", "end"),
    [({"expires_at": NOW + 60.0}, NOW + 60.0), ({"seen_at": NOW - IDLE + 60.0}, NOW + 60.0)],
)
async def test_a_session_s_own_end_is_noticed_without_anybody_saying_so(registry, life, end):
    """security 7: absolute and idle expiry"""
    registry.add(await registry.known(**life))
    await registry.live.check(NOW)
    asked = len(registry.state.asked)
    await registry.live.check(end - 1)
    assert (registry.ended, len(registry.state.asked)) == ([], asked)  # not before it is due
    await registry.live.check(end)
    assert [ending for _, ending in registry.ended] == [Ending.SESSION]


async def test_a_session_that_was_renewed_meanwhile_goes_on(registry):
    who = await registry.known(seen_at=NOW - IDLE + 60.0)
    registry.add(who)
    await registry.live.check(NOW)
    registry.state.sessions[who.session] = replace(registry.state.sessions[who.session], seen_at=NOW + 30)
    await registry.live.check(NOW + 60)
    assert registry.ended == []
    await registry.live.check(NOW + 30 + IDLE)
    assert len(registry.ended) == 1


async def test_what_ended_between_decision_and_registration_is_noticed_at_the_next_tick(registry):
    who = await registry.known()
    await registry.state.end([who.session])
    registry.add(who)
    await registry.live.check(NOW)
    assert len(registry.ended) == 1


async def test_the_token_s_own_expiry_ends_nothing(registry):
    """security 7"""
    registry.add(await registry.known())
    await registry.live.check(NOW + 5 * 86400)
    await registry.live.check(NOW + 5 * 86400, everything=True)
    assert registry.ended == []


async def test_while_redis_is_away_connections_stay_for_their_grace_and_no_longer():
    registry = Registry(grace=0.2)
    registry.add(await registry.known())
    registry.add(None, name="public")
    await registry.live.check(NOW)
    registry.state.down = True
    await registry.live.check(NOW, everything=True)
    assert registry.ended == []
    async with asyncio.timeout(30):
        while not registry.ended:
            await asyncio.sleep(0.01)
            await registry.live.check(NOW)
    assert [ending for _, ending in registry.ended] == [Ending.STORE]


async def test_a_short_outage_ends_nothing_and_what_was_missed_is_asked_again(registry):
    who = await registry.known()
    registry.add(who)
    await registry.live.check(NOW)
    registry.state.down = True
    await registry.live.changed(Changed(session=who.session), NOW)
    registry.state.down = False
    await registry.state.end([who.session])
    await registry.live.check(NOW)  # nobody says it again
    assert registry.ended == [(who.session, Ending.SESSION)]


async def test_it_follows_changes_and_time_until_it_is_cancelled(registry, monkeypatch):
    monkeypatch.setattr(live_module, "TICK", 0.01)
    one, two, three = [await registry.known() for _ in range(3)]
    for who in (one, two, three):
        registry.add(who)
    task = asyncio.ensure_future(registry.live.run())
    async with asyncio.timeout(30):
        await registry.state.end([one.session])
        registry.state.published.put_nowait(Changed(session=one.session))
        while len(registry.ended) < 1:  # noqa: ASYNC110 - another task's work
            await asyncio.sleep(0.001)
        registry.clock.advance(31 * 86400)
        while len(registry.ended) < 3:  # noqa: ASYNC110 - another task's work
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_hint_that_was_lost_is_made_up_for_by_the_sweep(monkeypatch):
    monkeypatch.setattr(live_module, "TICK", 0.01)
    registry = Registry(sweep=0.05)
    who = await registry.known()
    registry.add(who)
    await registry.live.check(NOW)
    task = asyncio.ensure_future(registry.live.run())
    await asyncio.sleep(0)
    await registry.state.end([who.session])
    async with asyncio.timeout(30):
        while not registry.ended:  # noqa: ASYNC110 - another task's work
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})


async def test_no_fault_stops_it(registry, monkeypatch, caplog):
    monkeypatch.setattr(live_module, "TICK", 0.01)
    who = await registry.known()
    registry.add(who)
    registry.state.broken = True
    task = asyncio.ensure_future(registry.live.run())
    async with asyncio.timeout(30):
        while not caplog.records:  # noqa: ASYNC110 - another task's work
            await asyncio.sleep(0.001)
        registry.state.broken = False
        await registry.state.end([who.session])
        registry.state.published.put_nowait(Changed(user=who.subject))
        while not registry.ended:  # noqa: ASYNC110 - another task's work
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})


async def test_a_drain_closes_what_would_never_end_and_waits_for_it(registry):
    tunnels = [registry.add(None, name="a tunnel"), registry.add(await registry.known(), name="another")]
    registry.add(None, endless=False, name="a download")
    waiting = asyncio.ensure_future(registry.live.drain(patience=30))
    await asyncio.sleep(0)
    assert sorted(registry.ended) == [("a tunnel", Ending.DRAIN), ("another", Ending.DRAIN)]
    registry.live.remove(tunnels[0])
    await asyncio.sleep(0)
    assert not waiting.done()
    registry.live.remove(tunnels[1])
    async with asyncio.timeout(30):
        await waiting
    late = registry.add(None, name="late")
    await asyncio.sleep(0)
    assert registry.ended[-1] == ("late", Ending.DRAIN)
    registry.live.remove(late)


async def test_a_drain_does_not_wait_for_ever_nor_for_nothing(registry):
    await registry.live.drain(patience=30)
    registry.add(None)
    async with asyncio.timeout(30):
        await registry.live.drain(patience=0.05)


async def test_a_session_s_room_counts_what_is_endless():
    registry = Registry(per_session=2)
    who, other = await registry.known(), await registry.known()
    for _ in range(5):
        registry.add(who, endless=False)
    assert registry.live.has_room(who)
    one = registry.add(who)
    registry.add(who)
    assert not registry.live.has_room(who)
    assert registry.live.has_room(other)
    assert registry.live.has_room(None)
    registry.live.remove(one)
    assert registry.live.has_room(who)


async def test_what_sessions_hold_open_is_counted_without_answers_that_end_by_themselves():
    registry = Registry()
    who, other = await registry.known(), await registry.known()
    one = registry.add(who)
    registry.add(who)
    registry.add(other, endless=False)
    registry.add(None)
    assert registry.live.held() == {who.session: 2}
    registry.live.remove(one)
    assert registry.live.held() == {who.session: 1}
