"""gatekeeper/store/login_places.py: from where and when, out of counts and out of rows, in a real PostgreSQL."""

import pytest
from attempts import attempt
from factories import NOW

from gatekeeper.journal.attempts import Result
from gatekeeper.journal.questions import Area, Grain, LoginFilter
from gatekeeper.store import login_places
from gatekeeper.store.login_places import PostgresLoginPlaces
from gatekeeper.store.login_reader import PostgresLoginReader
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres

HOUR = 3600.0
ALL = LoginFilter(since=NOW - 24 * HOUR, until=NOW + HOUR)
GOOD = {"result": Result.SUCCESS, "reason": None}
ZURICH = {"country": "CH", "city": "Zürich", "latitude": 47.3769, "longitude": 8.5417}


@pytest.fixture
async def database(postgres_dsn):
    database = Postgres(postgres_dsn, timeout=30.0)
    log = PostgresLoginLog(database)
    for one in [
        attempt(**GOOD, **ZURICH, email="ada"),
        attempt(**GOOD, **{**ZURICH, "latitude": 47.41}, email="ada", time=NOW - HOUR),
        attempt(**ZURICH, email="bob"),
        attempt(**GOOD, country="JP", email="bob", time=NOW - 2 * HOUR),
        attempt(**GOOD, country=None, email="eve"),
        attempt(**GOOD, **ZURICH, email="eve", time=NOW - 30 * HOUR),
    ]:
        await log.record_attempt(one)
        await log.record_attempt(one)  # comes twice, counts once
    yield database
    await database.close()


@pytest.fixture
def places(database):
    return PostgresLoginPlaces(database)


def _said(found):
    return [(spot.country, spot.city, spot.latitude, spot.longitude, dict(spot.attempts)) for spot in found.spots]


async def test_places_are_counted_with_their_results(places):
    found = await places.spots(ALL, Grain.HOUR)
    assert _said(found) == [
        ("CH", "Zürich", 47.4, 8.5, {"success": 2, "failure": 1}),
        ("", "", None, None, {"success": 1}),
        ("JP", "", None, None, {"success": 1}),
    ]
    assert found.complete


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"result": Result.FAILURE},
        {"country": "CH"},
        {"country": ""},
        {"area": Area(47.35, 8.45, 47.45, 8.55)},
        {"area": Area(-10, -10, 10, 10)},
    ],
)
async def test_counts_and_rows_say_the_same(places, wanted):
    """``method`` has no counts, and every attempt here has the same one."""
    whole_days_within = NOW - 60 * HOUR
    for grain, since in ((Grain.HOUR, ALL.since), (Grain.DAY, ALL.since), (Grain.HOUR, whole_days_within)):
        by_counts = LoginFilter(since=since, until=ALL.until, **wanted)
        by_rows = LoginFilter(since=since, until=ALL.until, **wanted, method="password")
        assert await places.spots(by_counts, grain) == await places.spots(by_rows, grain)
        assert await places.times(by_counts, grain) == await places.times(by_rows, grain)


async def test_what_has_no_counts_is_read_from_the_newest_attempts_and_said(places, monkeypatch):
    mine = LoginFilter(since=ALL.since, until=ALL.until, email="ada")
    assert _said(await places.spots(mine, Grain.HOUR)) == [("CH", "Zürich", 47.4, 8.5, {"success": 2})]
    monkeypatch.setattr(login_places, "_SAMPLE", 1)
    found = await places.spots(mine, Grain.HOUR)
    assert (found.spots[0].total, found.complete) == (1, False)


async def test_times_are_hours_or_days(places):
    hours = await places.times(LoginFilter(since=ALL.since, until=ALL.until, country="CH"), Grain.HOUR)
    assert [((count.start - NOW) // HOUR, count.values[0], count.attempts) for count in hours] == [
        (-1, "success", 1),
        (0, "failure", 1),
        (0, "success", 1),
    ]


async def test_the_list_finds_what_a_part_of_the_map_and_an_unknown_country_hold(database):
    reader = PostgresLoginReader(database)
    area = LoginFilter(area=Area(47.35, 8.45, 47.45, 8.55))
    unknown = LoginFilter(country="")
    everything = await reader.page(LoginFilter(), count=50)
    for wanted, many in ((area, 4), (unknown, 1)):
        found = await reader.page(wanted, count=50)
        assert len(found) == many
        assert found == [one for one in everything if wanted.fits(one)]
