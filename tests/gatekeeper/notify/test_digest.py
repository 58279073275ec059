"""The digest: one mail a period and recipient, with what the database says."""

import asyncio

import pytest
from mail_server import mail_server

from gatekeeper.clock import ManualClock, as_datetime
from gatekeeper.notify.delivery import Delivery
from gatekeeper.notify.digest import LATE, Digests, Figures, period_start, report
from gatekeeper.notify.letters import Letters
from gatekeeper.notify.smtp import Smtp, SmtpServer
from gatekeeper.store.digests import PostgresDigests
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.sealing import Sealer

SEALER = Sealer(b"s" * 32)
DAY, HOUR = 86_400.0, 3600.0
MONDAY = 1_767_571_200.0  # 2026-01-05T00:00:00Z


@pytest.fixture
async def database(postgres_dsn):
    store = Postgres(postgres_dsn, size=8, timeout=30.0)
    await store.open()
    yield store
    await store.close()


def _digests(database, clock, *to):
    return Digests(
        PostgresDigests(database),
        SEALER,
        clock,
        to=to or ("root@example.org",),
        every=DAY,
        panel="https://app.example.org/_gate/admin",
    )


async def _mails(database, clock):
    """What the outbox hands to a real server."""
    async with mail_server() as server:
        letters = Letters(sender="gate@example.org", public_url="https://app.example.org")
        smtp = Smtp(SmtpServer("127.0.0.1", server.port, "none", timeout=20.0), letters)
        await Delivery(PostgresOutbox(database), SEALER, {"smtp": smtp}, clock, tries=3).round()
        return [(mail["To"], server.text(number)) for number, mail in enumerate(server.received)]


def test_periods_are_whole_since_monday_midnight():
    for offset in (0.0, 1.0, DAY - 1):
        assert period_start(MONDAY + 2 * DAY + offset, DAY) == MONDAY + 2 * DAY
        assert period_start(MONDAY + 6 * DAY + offset, 7 * DAY) == MONDAY
    assert period_start(MONDAY + 5 * HOUR + 1, HOUR) == MONDAY + 5 * HOUR


def test_a_report_names_the_commonest_and_counts_the_rest():
    many = [(f"country-{number}", 9 - number) for number in range(7)]
    text = report(Figures(results=[("success", 5), ("failure", 2)], countries=many, given_up=1))
    assert text.splitlines()[0] == "Sign-ins: 5, failed: 2, blocked: 0"
    assert ("  5 x country-4" in text, "country-5" in text, "  and 2 more" in text) == (True, False, True)
    assert text.endswith("Messages that could not be sent: 1")
    assert report(Figures()).splitlines() == ["Sign-ins: 0, failed: 0, blocked: 0", "Accounts made: 0"]


async def _happen(database, time):
    at = as_datetime(time)
    count = "INSERT INTO login_counts (grain, bucket, result, reason, country, device, attempts, suppressed)"
    for row in (("success", "", "DE", 3, 0), ("failure", "invalid-credentials", "FR", 4, 2)):
        await database.execute(f"{count} VALUES ('hour', %s, %s, %s, %s, '', %s, %s)", (at, *row))
    await database.execute(
        "INSERT INTO login_logs (id, time, email, result, method, address, request_id, signals)"
        " VALUES (gen_random_uuid(), %s, '<b>x</b>', 'failure', 'password', '192.0.2.7', 'r', '{new_country}')",
        (at,),
    )
    await database.execute(
        "INSERT INTO audit_log (time, actor, action, subject) VALUES (%s, 'cli:x', 'user.lock', 'y')", (at,)
    )


async def test_a_period_is_told_once_however_many_look(database):
    clock = ManualClock(MONDAY + HOUR)
    gates = [_digests(database, clock, "root@example.org", "ops@example.org") for _ in range(4)]
    assert not any([await one.look() for one in gates]), "nothing has ended yet since they began"
    await _happen(database, MONDAY + 5 * HOUR)
    clock.advance(MONDAY + DAY + LATE - 1 - clock.now())
    assert not await gates[0].look(), "its last attempts may still be on their way"
    clock.advance(MONDAY + DAY + LATE - clock.now())
    assert sorted(await asyncio.gather(*(one.look() for one in gates))) == [False, False, False, True]
    mails = await _mails(database, clock)
    assert sorted(to for to, _ in mails) == ["ops@example.org", "root@example.org"]
    text = mails[0][1]
    for line in ("Sign-ins: 3, failed: 6, blocked: 0", "6 x invalid-credentials", "6 x FR", "1 x 192.0.2.7"):
        assert line in text
    assert ("1 x new_country" in text, "1 x user.lock" in text, "<b>" in text) == (True, True, False)


async def test_what_nobody_told_while_no_gate_ran_is_told_in_one(database):
    clock = ManualClock(MONDAY + HOUR)
    digests = _digests(database, clock)
    await digests.look()
    await _happen(database, MONDAY + 5 * HOUR)
    clock.advance(MONDAY + 3 * DAY + HOUR - clock.now())
    assert await digests.look()
    ((_, text),) = await _mails(database, clock)
    assert "Sign-ins: 3" in text
    assert not await digests.look()
