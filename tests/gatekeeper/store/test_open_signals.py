"""gatekeeper/store/open_signals.py: what is odd and not dealt with, in a real PostgreSQL."""

import uuid
from ipaddress import ip_address

import pytest
from attempts import attempt
from factories import NOW

from admin.odd import OpenSignals
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.open_signals import PostgresOpenSignals
from gatekeeper.store.postgres import Postgres

ADA = str(uuid.UUID(int=7))
FORCE, SPRAY, STUFFING = ("brute_force",), ("password_spray",), ("credential_stuffing",)


@pytest.fixture
async def database(postgres_dsn):
    database = Postgres(postgres_dsn, timeout=30.0)
    yield database
    await database.close()


@pytest.fixture
def odd(database):
    return PostgresOpenSignals(database)


async def _keep(database, *attempts):
    for one in attempts:
        await PostgresLoginLog(database).record_attempt(one)


def _said(found):
    return [(one.subject, one.attempts, one.attempt.risk, one.last - NOW) for one in found.lines]


async def test_one_line_an_account_an_attacking_address_and_clients_that_look_alike(database, odd):
    other = ip_address("192.0.2.2")
    await _keep(
        database,
        attempt(user_id=ADA, signals=FORCE, risk=50),
        attempt(user_id=ADA, signals=("new_country", "brute_force"), risk=65, time=NOW - 5, address=other),
        attempt(email="nobody", signals=FORCE, risk=50, time=NOW - 10),
        attempt(email="a", signals=SPRAY, risk=60, time=NOW - 20),
        attempt(user_id=ADA, signals=SPRAY, risk=60, time=NOW - 21),
        attempt(email="b", signals=STUFFING, risk=60, time=NOW - 30, fingerprint="f1"),
        attempt(email="c", signals=STUFFING, risk=60, time=NOW - 31, fingerprint="f1", address=other),
        attempt(email="d", signals=("new_device",), risk=20),
        attempt(email="e", signals=FORCE, risk=50, time=NOW - 8 * 86_400),
    )
    found = await odd.open(NOW, count=10)
    assert _said(found) == [
        (f"user:{ADA}", 2, 65, 0),
        ("email:nobody", 1, 50, -10),
        ("address:192.0.2.1", 2, 60, -20),
        ("clients:f1", 2, 60, -30),
    ]
    assert (found.total, found.reach) == (4, None)
    assert (await odd.open(NOW, count=1)).total == 4
    assert found.lines[0].first == NOW - 5


async def test_what_is_closed_stays_closed_until_it_happens_again(database, odd):
    first = attempt(user_id=ADA, signals=FORCE, risk=50, time=NOW - 60)
    await _keep(database, first)
    line = await odd.of(first.id, NOW)
    await odd.close(line, "root", NOW)
    assert (await odd.open(NOW, count=10)).lines == []
    assert await odd.of(first.id, NOW) is None
    await _keep(database, attempt(user_id=ADA, signals=FORCE, risk=50))
    assert _said(await odd.open(NOW, count=10)) == [(f"user:{ADA}", 1, 50, 0)]
    await odd.close(line, "root", NOW)  # what was seen then, not what came since
    assert (await odd.open(NOW, count=10)).total == 1


async def test_a_line_is_found_by_any_of_its_attempts(database, odd):
    shown, riskier = attempt(user_id=ADA, signals=FORCE, risk=50), attempt(user_id=ADA, signals=FORCE, risk=90)
    await _keep(database, shown, riskier)
    line = await odd.of(shown.id, NOW)
    assert (line.subject, line.attempt.id) == (f"user:{ADA}", riskier.id)
    assert await odd.of(uuid.uuid4(), NOW) is None


async def test_it_is_said_how_far_back_was_looked_where_there_is_too_much(database, odd, monkeypatch):
    monkeypatch.setattr("gatekeeper.store.open_signals.NEWEST", 2)
    await _keep(database, *(attempt(user_id=ADA, signals=FORCE, risk=50, time=NOW - 9 + n) for n in range(2)))
    found = await odd.open(NOW, count=10)
    assert found.reach == NOW - 9
    await odd.close(found.lines[0], "root", NOW)
    assert await odd.open(NOW, count=10) == OpenSignals([], 0, NOW - 9)
