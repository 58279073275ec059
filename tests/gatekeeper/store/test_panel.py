"""gatekeeper/store/panel.py: the panel's lists out of a real PostgreSQL."""

from __future__ import annotations

import uuid
from ipaddress import ip_address, ip_network

import pytest
from attempts import attempt
from factories import NOW
from people import begin, id_of, peopled

from admin.lists import Busy, ChangeFilter, MostRefused, OpenedBy, Place, SessionFilter, ShownFactor
from gatekeeper.clock import as_datetime
from gatekeeper.journal.attempts import Result
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.panel import PostgresPanel


@pytest.fixture
async def database(postgres_dsn):
    async with peopled(postgres_dsn) as database:
        yield database


@pytest.fixture
def panel(database):
    return PostgresPanel(database)


class TestSessions:
    """The list of sessions, and how many there are."""

    @pytest.fixture(autouse=True)
    async def begun(self, database):
        await begin(database, "ada-1", at=NOW - 10, city="Zürich", amr=("pwd",))
        await begin(database, "ada-2", at=NOW - 20, address="198.51.100.7", country="DE", amr=("pwd", "otp", "mfa"))
        await begin(database, "bob-1", 1, at=NOW - 30, address="2001:db8::7", country=None, amr=("swk", "mfa"))
        await begin(database, "ended", ended=NOW - 1)
        await begin(database, "over", ends=NOW - 1)

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (SessionFilter(), ["ada-1", "ada-2", "bob-1"]),
            (SessionFilter(email="ADA@"), ["ada-1", "ada-2"]),
            (SessionFilter(email="b@"), ["bob-1"]),
            (SessionFilter(email="lovelace"), []),  # a name is no e-mail
            (SessionFilter(user_id=id_of(1)), ["bob-1"]),
            (SessionFilter(network=ip_network("198.51.100.0/24")), ["ada-2"]),
            (SessionFilter(network=ip_network("2001:db8::/32")), ["bob-1"]),
            (SessionFilter(country="CH"), ["ada-1"]),
            (SessionFilter(email="example", country="DE"), ["ada-2"]),
            (SessionFilter(email="example", country="JP"), []),
            (SessionFilter(city="züri"), ["ada-1"]),
            (SessionFilter(method=OpenedBy.PASSWORD), ["ada-1", "ada-2"]),
            (SessionFilter(method=OpenedBy.CODE), []),
            (SessionFilter(method=OpenedBy.PASSKEY), ["bob-1"]),
            (SessionFilter(factor=ShownFactor.NONE), ["ada-1"]),
            (SessionFilter(factor=ShownFactor.ANY, email="ada"), ["ada-2"]),
            (SessionFilter(factor=ShownFactor.PASSKEY), ["bob-1"]),
            (SessionFilter(started_before=NOW - 20), ["bob-1"]),
            (SessionFilter(seen_before=NOW - 20), ["ada-2", "bob-1"]),  # they may be so long unused
        ],
        ids=str,
    )
    async def test_open_ones_that_fit_are_listed_newest_first_and_counted(self, panel, wanted, found):
        listed = await panel.sessions(wanted, NOW, count=9)
        assert [record.id for record, _ in listed] == found
        assert await panel.count_sessions(wanted, NOW) == len(found)

    async def test_a_part_that_very_many_have_in_common_finds_them_all(self, database, panel):
        await database.execute(
            "INSERT INTO users (id, email, epoch_raised_at, created_at, updated_at)"
            " SELECT gen_random_uuid(), 'many' || n || '@example.com', now(), now(), now()"
            " FROM generate_series(1, 1001) AS n"
        )
        for wanted in (SessionFilter(email="example.com"), SessionFilter(email="m", country="CH")):
            listed = [record.id for record, _ in await panel.sessions(wanted, NOW, count=9)]
            assert listed == (["ada-1"] if wanted.country else ["ada-1", "ada-2", "bob-1"])
            assert await panel.count_sessions(wanted, NOW) == len(listed)

    async def test_a_page_goes_on_behind_the_last_row(self, panel):
        ((first, email),) = await panel.sessions(SessionFilter(), NOW, count=1)
        assert email == "ada@example.com"
        rest = await panel.sessions(SessionFilter(), NOW, count=9, after=Place(first.started_at, first.id))
        assert [record.id for record, _ in rest] == ["ada-2", "bob-1"]

    async def test_one_is_found_ended_or_not(self, panel):
        record, email = await panel.session("ended")
        assert (record.ended_at, email) == (NOW - 1, "ada@example.com")
        assert await panel.session("nonsense") is None


class TestChanges:
    """The audit log."""

    @pytest.fixture(autouse=True)
    async def changed(self, database):
        for number, (actor, action, subject) in enumerate(
            (
                (id_of(0), "user.lock", id_of(1)),
                (id_of(0), "user.roles", id_of(2)),
                ("cli:root", "ban.add", "192.0.2.0/24"),
                (str(uuid.UUID(int=999)), "user.lock", "ADA@example.com"),
            )
        ):
            await database.execute(
                "INSERT INTO audit_log (time, actor, action, subject, before, after, address)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (as_datetime(NOW + number), actor, action, subject, {"a": 1}, {"a": 2}, "192.0.2.9"),
            )

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (ChangeFilter(), [3, 2, 1, 0]),
            (ChangeFilter(action="user."), [3, 1, 0]),
            (ChangeFilter(action="user.lock"), [3, 0]),
            (ChangeFilter(actor="Ada@Example.com"), [1, 0]),
            (ChangeFilter(actor=id_of(0)), [1, 0]),
            (ChangeFilter(actor="cli:root"), [2]),
            (ChangeFilter(subject="bob@example.com"), [0]),
            (ChangeFilter(subject="192.0.2.0/24"), [2]),
            (ChangeFilter(actor="ada@example.com", subject="eve@example.org", action="user.roles"), [1]),
            (ChangeFilter(actor="nobody@example.com"), []),
        ],
        ids=str,
    )
    async def test_those_that_fit_are_listed_newest_first(self, panel, wanted, found):
        assert [row.time - NOW for row in await panel.changes(wanted, count=9)] == found

    async def test_accounts_are_named_where_they_are_still_there(self, panel):
        named = [(row.actor_email, row.subject_email) for row in await panel.changes(ChangeFilter(), count=9)]
        assert named == [
            *((None, None), (None, None), ("ada@example.com", "eve@example.org")),
            ("ada@example.com", "bob@example.com"),
        ]

    async def test_a_page_goes_on_behind_the_last_row(self, panel):
        first, _ = await panel.changes(ChangeFilter(), count=2)
        (after,) = await panel.changes(ChangeFilter(), count=1, after=first.id)
        assert (after.time - NOW, after.before, after.after, after.address) == (2, {"a": 1}, {"a": 2}, "192.0.2.9")


async def test_what_was_refused_most_is_told_by_address_and_by_account(database, panel, monkeypatch):
    log = PostgresLoginLog(database)
    for number in range(6):
        await log.record_attempt(attempt(email=f"p{number % 2}", address=ip_address(f"192.0.2.{number // 4}")))
    await log.record_attempt(attempt(result=Result.SUCCESS, reason=None, email="ada@example.com"))
    await log.record_attempt(attempt(time=NOW - 3600, email="earlier"))
    addresses = [Busy("192.0.2.0", 4), Busy("192.0.2.1", 2)]
    assert await panel.most_refused(NOW - 60, count=9) == MostRefused(addresses, [Busy("p0", 3), Busy("p1", 3)], None)
    assert await panel.most_refused(NOW - 60, count=1) == MostRefused(addresses[:1], [Busy("p0", 3)], None)
    assert await panel.most_refused(NOW + 60, count=1) == MostRefused([], [], None)
    monkeypatch.setattr("gatekeeper.store.panel.REFUSALS", 6)
    assert (await panel.most_refused(NOW - 7200, count=9)).reach == NOW


async def test_mail_that_waits_and_mail_that_was_given_up_is_counted(database, panel):
    assert await panel.waiting_mail() == (0, 0)
    for given_up in (None, None, as_datetime(NOW)):
        await database.execute(
            "INSERT INTO outbox (id, channel, kind, address, created_at, due_at, until, given_up_at)"
            " VALUES (gen_random_uuid(), 'smtp', 'reset', 'ada@example.com', now(), now(), now(), %s)",
            (given_up,),
        )
    assert await panel.waiting_mail() == (2, 1)
