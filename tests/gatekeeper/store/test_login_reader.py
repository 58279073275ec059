"""gatekeeper/store/login_reader.py: what can be asked of the login log, in a real PostgreSQL."""

from __future__ import annotations

import uuid
from ipaddress import ip_address, ip_network

import orjson
import pytest
from attempts import attempt, full_attempt
from factories import NOW

from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import Count, CountFilter, Dimension, Grain, LoginFilter, Seen, Share, Shared
from gatekeeper.journal.rows import public
from gatekeeper.store.login_reader import PostgresLoginReader
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres
from policies.model import Reason

HOUR = 3600.0


@pytest.fixture
async def database(postgres_dsn):
    database = Postgres(postgres_dsn, timeout=30.0)
    yield database
    await database.close()


@pytest.fixture
def reader(database):
    return PostgresLoginReader(database)


async def keep(database, *attempts):
    for one in attempts:
        await PostgresLoginLog(database).record_attempt(one)


async def test_pages_follow_one_another_without_a_gap_also_within_one_moment(database, reader):
    written = [attempt(time=NOW - number // 3, id=uuid.UUID(int=number)) for number in range(10)]
    await keep(database, *written)
    seen, after = [], None
    while page := await reader.page(LoginFilter(), count=4, after=after):
        seen += page
        after = Seen(page[-1].time, page[-1].id)
    assert seen == sorted(written, key=lambda one: (one.time, one.id), reverse=True)


@pytest.mark.parametrize(
    "wanted",
    [
        LoginFilter(since=NOW - 1),
        LoginFilter(result=Result.SUCCESS),
        LoginFilter(reason=Reason.MFA_INVALID),
        LoginFilter(method="passkey"),
        LoginFilter(user_id=str(uuid.UUID(int=7))),
        LoginFilter(email="Ada"),
        LoginFilter(network=ip_network("198.51.100.0/24")),
        LoginFilter(country="DE"),
        LoginFilter(asn=64_500),
        LoginFilter(device_kind="phone"),
        LoginFilter(session="sid"),
        LoginFilter(signal="new_country"),
        LoginFilter(risk=50),
        LoginFilter(since=NOW - HOUR, country="DE", risk=50, signal="new_device", email="Ada"),
    ],
    ids=lambda wanted: "+".join(name for name in wanted.__slots__ if getattr(wanted, name) is not None),
)
async def test_a_filter_finds_what_fits_and_nothing_else(database, reader, wanted):
    fits = full_attempt(
        result=Result.SUCCESS,
        reason=Reason.MFA_INVALID,
        method="passkey",
        email="Ada",
        address=ip_address("198.51.100.7"),
        asn=64_500,
        device_kind="phone",
        session="sid",
    )
    await keep(database, fits, attempt(time=NOW - 100, email="ada", signals=("new_device",), risk=10))
    assert await reader.page(wanted, count=5) == [fits]


async def test_until_is_not_included(database, reader):
    await keep(database, attempt(time=NOW), attempt(time=NOW - 1))
    assert [one.time for one in await reader.page(LoginFilter(until=NOW), count=5)] == [NOW - 1]


async def test_one_attempt_is_found_by_its_id(database, reader):
    await keep(database, full_attempt())
    assert await reader.find(full_attempt().id) == full_attempt()
    assert await reader.find(uuid.UUID(int=1)) is None


async def test_an_attempt_is_found_by_the_time_in_its_id_and_no_other_month_is_looked_at(database, reader):
    one = attempt(time=NOW + 0.9999996)  # PostgreSQL's microseconds make the next millisecond of it
    await keep(database, one, attempt(time=NOW + 1))
    found = await reader.find(one.id)
    assert (found.id, found.time) == (one.id, pytest.approx(one.time, abs=1e-6))
    await database.execute("UPDATE login_logs SET time = time + interval '5 ms' WHERE id = %s", (one.id,))
    assert await reader.find(one.id) is None
    assert await reader.find(uuid.UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")) is None


async def test_shares_are_the_most_frequent_values_and_the_rest_as_one(database, reader):
    browsers = ["Chrome"] * 3 + ["Firefox"] * 2 + [None, "curl"]
    await keep(database, *(attempt(time=NOW + HOUR * at, browser=name) for at, name in enumerate(browsers)))
    everything = (Shared.BROWSER, Grain.DAY, NOW - 24 * HOUR, NOW + 24 * HOUR)
    assert await reader.shares(*everything, most=2) == [Share("Chrome", 3), Share("Firefox", 2), Share(None, 2)]
    assert await reader.shares(*everything, most=4) == [
        *(Share("Chrome", 3), Share("Firefox", 2), Share("", 1), Share("curl", 1)),
    ]
    assert await reader.shares(Shared.BROWSER, Grain.HOUR, NOW + HOUR, NOW + 3 * HOUR, most=9) == [Share("Chrome", 2)]
    assert await reader.shares(Shared.METHOD, Grain.HOUR, NOW, NOW + HOUR, most=9) == [Share("password", 1)]


async def test_counts_are_by_time_and_by_what_is_asked_for(database, reader):
    await keep(
        database,
        attempt(),
        attempt(time=NOW + 59, country="DE"),
        attempt(time=NOW + 60, country="DE", device_kind="bot"),
        attempt(time=NOW + 2 * HOUR, result=Result.SUCCESS, reason=None),
    )
    day = CountFilter(NOW - HOUR, NOW + 24 * HOUR)
    by_result = await reader.counts(Grain.HOUR, day, [Dimension.RESULT])
    assert by_result == [Count(NOW, ("failure",), 3, 0), Count(NOW + 2 * HOUR, ("success",), 1, 0)]
    german = CountFilter(NOW, NOW + HOUR, country="DE", device="")
    assert await reader.counts(Grain.MINUTE, german) == [Count(NOW, (), 1, 0)]
    both = [Dimension.COUNTRY, Dimension.DEVICE]
    assert [count.values for count in await reader.counts(Grain.DAY, CountFilter(NOW - 24 * HOUR, NOW + 1), both)] == [
        ("", ""),
        ("DE", ""),
        ("DE", "bot"),
    ]
    totals = await reader.totals(Grain.HOUR, NOW, NOW + 2 * HOUR)
    assert totals == {
        Dimension.RESULT: {"failure": 3},
        Dimension.REASON: {"invalid-credentials": 3},
        Dimension.COUNTRY: {"": 1, "DE": 2},
        Dimension.DEVICE: {"": 2, "bot": 1},
    }


async def test_an_export_says_what_the_api_says_the_oldest_first(database, reader):
    written = [full_attempt(), attempt(time=NOW - 1.25, email='"quoted" \\ \n \u2028')]
    await keep(database, *written)
    lines = [line async for batch in reader.lines(LoginFilter()) for line in batch]
    assert [orjson.loads(line) for line in lines] == [public(written[1]), public(written[0])]
    assert [list(orjson.loads(line)) for line in lines] == [list(public(one)) for one in written]
    assert not any("\n" in line for line in lines)
