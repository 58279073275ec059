"""gatekeeper/store/panel_bans.py: lists of bans out of a real PostgreSQL, by filters, orders and places."""

from ipaddress import ip_network

import pytest
from factories import NOW

from admin import ban_lists
from admin.ban_lists import BanFilter, BanPlace, Order
from gatekeeper.clock import as_datetime
from gatekeeper.store import panel_bans
from gatekeeper.store.panel_bans import PostgresPanelBans
from gatekeeper.store.postgres import Postgres
from policies.bans import BanKind, Source

#: kind, subject, source, reason, label, until and lifted in seconds from now
BANS = [
    ("network", "192.0.2.0", "manual", "", None, None, None),
    ("network", "192.0.2.1", "failures", "guesses Passwords", None, 60, None),
    ("network", "192.0.2.2", "failures", "", None, -1, None),
    ("network", "192.0.2.3", "import", "", None, 60, -5),
    ("network", "192.0.0.0/16", "import", "a list", None, 30, None),
    ("network", "2001:db8::/32", "spray", "", None, None, None),
    ("country", "KP", "manual", "", None, None, None),
    ("user", "0f0e0d0c-0000-4000-8000-000000000001", "manual", "", "ada@example.com", 10, None),
    ("agent", "*evilbot*", "manual", "100% bad", None, 20, None),
]


@pytest.fixture
async def bans(postgres_dsn):
    postgres = Postgres(postgres_dsn, size=1, timeout=30.0)
    for kind, subject, source, reason, label, until, lifted in BANS:
        ends = [None if one is None else as_datetime(NOW + one) for one in (until, lifted)]
        network = subject if kind == "network" else None
        await postgres.execute(
            "INSERT INTO bans (kind, subject, network, source, reason, label, actor, since, until, lifted_at, version)"
            " VALUES (%s, %s, %s, %s, %s, %s, 'cli:root', %s, %s, %s, 1)",
            (kind, subject, network, source, reason, label, as_datetime(NOW - 60), *ends),
        )
    yield PostgresPanelBans(postgres)
    await postgres.close()


async def _in_force(bans, count=99, **wanted):
    return [ban.subject.text for _, ban in await bans.in_force(BanFilter(**wanted), NOW, count=count)]


async def test_those_in_force_are_listed_the_newest_first_and_by_pages(bans):
    every = [subject for _, subject, *_ in reversed(BANS) if subject not in {"192.0.2.2", "192.0.2.3"}]
    assert await _in_force(bans) == every
    found = await bans.in_force(BanFilter(), NOW, count=3)
    following = await bans.in_force(BanFilter(), NOW, count=9, after=BanPlace(found[-1][0]))
    assert [ban.subject.text for _, ban in found + following] == every


async def test_what_ends_first_comes_first_and_what_never_ends_last(bans):
    soonest, after = [], None
    for _ in range(7):
        ((number, ban),) = await bans.in_force(BanFilter(), NOW, count=1, order=Order.ENDS, after=after)
        soonest.append(ban.subject.text)
        after = BanPlace(number, ban.until)
    assert soonest[1:] == ["*evilbot*", "192.0.0.0/16", "192.0.2.1", "192.0.2.0", "2001:db8::/32", "KP"]
    assert await bans.in_force(BanFilter(), NOW, count=1, order=Order.ENDS, after=after) == []


async def test_filters_find_by_address_text_kind_and_source_and_hold_together(bans):
    assert await _in_force(bans, network=ip_network("192.0.2.1")) == ["192.0.0.0/16", "192.0.2.1"]
    assert await _in_force(bans, network=ip_network("192.0.2.0/24")) == ["192.0.0.0/16", "192.0.2.1", "192.0.2.0"]
    assert await _in_force(bans, network=ip_network("2001:db8:1::/48")) == ["2001:db8::/32"]
    assert await _in_force(bans, text="PASSWORD") == ["192.0.2.1"]
    assert await _in_force(bans, text="ada@") == ["0f0e0d0c-0000-4000-8000-000000000001"]
    assert await _in_force(bans, text="0%") == ["*evilbot*"]
    assert await _in_force(bans, text="_") == []
    assert await _in_force(bans, kind=BanKind.COUNTRY) == ["KP"]
    assert await _in_force(bans, source=Source.FAILURES) == ["192.0.2.1"]
    assert await _in_force(bans, source=Source.IMPORT, network=ip_network("192.0.2.9")) == ["192.0.0.0/16"]
    assert await _in_force(bans, source=Source.SPRAY, text="list") == []


async def test_those_that_are_over_take_the_same_filters(bans):
    async def ended(**wanted):
        return [ban.subject.text for _, ban in await bans.ended(BanFilter(**wanted), NOW, count=9)]

    assert await ended() == ["192.0.2.2", "192.0.2.3"]
    assert await ended(network=ip_network("192.0.2.3")) == ["192.0.2.3"]
    assert await ended(source=Source.FAILURES, text="192.0") == ["192.0.2.2"]
    ((number, ban),) = await bans.ended(BanFilter(), NOW, count=1)
    following = await bans.ended(BanFilter(), NOW, count=9, after=BanPlace(number, ban.ended_at))
    assert [ban.subject.text for _, ban in following] == ["192.0.2.3"]


async def test_a_text_is_looked_for_among_the_newest_and_that_there_are_more_is_known(bans, monkeypatch):
    assert ban_lists.TEXTS_REACH >= 100_000
    assert not await bans.beyond_reach(NOW, ended=False)
    monkeypatch.setattr(panel_bans, "TEXTS_REACH", 5)
    assert await _in_force(bans, text="password") == []  # the sixth
    assert await bans.beyond_reach(NOW, ended=False)
    assert not await bans.beyond_reach(NOW, ended=True)
