"""The outbox over a real PostgreSQL and a real mail server: nothing is lost, nothing is sent for ever."""

import asyncio
import uuid

import pytest
from factories import NOW
from mail_server import mail_server

from gatekeeper.clock import ManualClock
from gatekeeper.errors import StoreUnavailable
from gatekeeper.notify.console import Console
from gatekeeper.notify.delivery import LEASE, Delivery, pause_after
from gatekeeper.notify.letters import Letters
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier, Parcel, Routes
from gatekeeper.notify.smtp import Smtp, SmtpServer
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.sealing import Sealer

SEALER = Sealer(b"s" * 32)
ROUTES = Routes(("smtp",), ("smtp",), {})


@pytest.fixture
async def outbox(postgres_dsn):
    postgres = Postgres(postgres_dsn, size=8, timeout=30.0)
    await postgres.open()
    yield PostgresOutbox(postgres)
    await postgres.close()


class Nothing:
    def write(self, line):
        raise AssertionError(line)


def _notifier(outbox, routes=ROUTES, lines=None):
    return Notifier(outbox, SEALER, routes, Console(lines or Nothing()))


def _message(number=0, until=NOW + 86_400):
    return Message(Kind.TEST, f"user{number}@example.com", until)


def _delivery(outbox, port, clock, *, tries=12, events=None, sealer=SEALER, more=()):
    letters = Letters(sender="gate@example.org", public_url="https://app.example.org")
    smtp = Smtp(SmtpServer("127.0.0.1", port, "none", timeout=20.0), letters)
    heard = events if events is not None else []
    return Delivery(
        outbox,
        sealer,
        {"smtp": smtp, **dict(more)},
        clock,
        tries=tries,
        on_event=lambda channel, event: heard.append((channel, event)),
    )


async def test_what_is_put_in_is_sent_once_and_gone(outbox):
    clock = ManualClock(NOW)
    async with mail_server() as server:
        await _notifier(outbox).send(_message(), NOW)
        delivery = _delivery(outbox, server.port, clock)
        await delivery.round()
        await delivery.round()
        clock.advance(LEASE * 2)
        await delivery.round()
    assert [mail["To"] for mail in server.received] == ["user0@example.com"]
    assert (await outbox.state()).waiting == 0


async def test_a_server_that_is_gone_and_back_gets_everything(outbox):
    clock, events = ManualClock(NOW), []
    async with mail_server() as server:
        await server.stop()
        for number in range(5):
            await _notifier(outbox).send(_message(number), NOW)
        delivery = _delivery(outbox, server.port, clock, events=events)
        await delivery.round()
        assert (await outbox.state()).waiting == 5
        assert "connecting" in (await outbox.state()).fault
        await server.start()
        await delivery.round()
        assert server.received == []
        clock.advance(pause_after(1))
        await delivery.round()
    assert sorted(mail["To"] for mail in server.received) == [f"user{number}@example.com" for number in range(5)]
    assert events == [("smtp", "postponed")] * 5 + [("smtp", "sent")] * 5


async def test_greylisting_is_waited_out(outbox):
    clock = ManualClock(NOW)
    async with mail_server() as server:
        server.answers += ["450 4.2.0 come again", "451 not yet"]
        await _notifier(outbox).send(_message(), NOW)
        delivery = _delivery(outbox, server.port, clock)
        for pause in (pause_after(1), pause_after(2), 0.0):
            await delivery.round()
            clock.advance(pause)
    assert len(server.received) == 1


async def test_a_message_is_given_up_after_its_tries_and_that_stays_visible(outbox):
    clock, events = ManualClock(NOW), []
    async with mail_server() as server:
        await server.stop()
        await _notifier(outbox).send(_message(), NOW)
        delivery = _delivery(outbox, server.port, clock, tries=3, events=events)
        for tried in range(1, 6):
            await delivery.round()
            clock.advance(pause_after(tried))
        await server.start()
        await delivery.round()
    assert server.received == []
    assert events == [("smtp", "postponed"), ("smtp", "postponed"), ("smtp", "given_up")]
    state = await outbox.state()
    assert (state.waiting, state.given_up) == (0, 1)
    assert "connecting" in state.fault


async def test_what_a_message_that_was_given_up_says_is_kept_while_it_is_of_use(outbox):
    clock, kept = ManualClock(NOW), "SELECT sealed IS NOT NULL AS kept, recipient FROM outbox"
    async with mail_server() as server:
        server.answers += ["550 5.1.1 no such user"]
        await _notifier(outbox).send(_message(until=NOW + 60), NOW)
        await _delivery(outbox, server.port, clock).round()
    await outbox.forget(NOW - 60, NOW + 59)
    assert await outbox._postgres.fetch(kept) == [{"kept": True, "recipient": "u…@example.com"}]
    await outbox.forget(NOW - 60, NOW + 60)
    assert await outbox._postgres.fetch(kept) == [{"kept": False, "recipient": "u…@example.com"}]
    await outbox.forget(NOW + 1, NOW + 60)
    assert await outbox._postgres.fetch(kept) == []


async def test_a_message_that_is_cut_off_is_given_up_and_holds_up_nobody(outbox):
    async with mail_server() as server:
        await outbox.put([Parcel(uuid.uuid4(), "smtp", "test", b"short", NOW + 60)], NOW - 1)
        await _notifier(outbox).send(_message(), NOW)
        await _delivery(outbox, server.port, ManualClock(NOW)).round()
    state = await outbox.state()
    assert (len(server.received), state.waiting, state.given_up) == (1, 0, 1)


async def test_a_refusal_for_good_is_not_tried_again(outbox):
    clock, events = ManualClock(NOW), []
    async with mail_server() as server:
        server.answers.append("550 5.1.1 no such user")
        await _notifier(outbox).send(_message(), NOW)
        await _delivery(outbox, server.port, clock, events=events).round()
    assert events == [("smtp", "given_up")]


async def test_a_code_that_came_too_late_is_not_sent(outbox):
    clock, events = ManualClock(NOW), []
    async with mail_server() as server:
        await _notifier(outbox).send(_message(until=NOW + 60), NOW)
        clock.advance(60)
        await _delivery(outbox, server.port, clock, events=events).round()
    assert server.received == []
    assert events == [("smtp", "given_up")]


async def test_what_a_crash_left_claimed_is_sent_by_the_next(outbox):
    clock = ManualClock(NOW)
    async with mail_server() as server:
        await _notifier(outbox).send(_message(), NOW)
        claimed = await outbox.claim(10, now=NOW, until=NOW + LEASE)  # and then the process dies
        assert len(claimed) == 1
        delivery = _delivery(outbox, server.port, clock)
        await delivery.round()
        assert server.received == []
        clock.advance(LEASE)
        await delivery.round()
    assert len(server.received) == 1


async def test_many_workers_send_each_message_once(outbox):
    clock = ManualClock(NOW)
    async with mail_server() as server:
        for number in range(40):
            await _notifier(outbox).send(_message(number), NOW)
        workers = [_delivery(outbox, server.port, clock) for _ in range(4)]
        while (await outbox.state()).waiting:
            await asyncio.gather(*(worker.round() for worker in workers))
    assert len({mail["To"] for mail in server.received}) == len(server.received) == 40


async def test_a_woken_loop_sends_at_once(outbox):
    clock = ManualClock(NOW)
    async with mail_server() as server:
        delivery = _delivery(outbox, server.port, clock)
        notifier = _notifier(outbox)
        notifier.wake = delivery.wake
        loop = asyncio.create_task(delivery.run())
        await notifier.send(_message(), NOW)
        async with asyncio.timeout(60):
            while not server.received:  # noqa: ASYNC110  # the server has no other way to say so
                await asyncio.sleep(0.01)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop


async def test_a_decoy_costs_a_row_of_the_same_size_and_goes_nowhere(outbox):
    """security 15"""
    clock = ManualClock(NOW)
    facts = {"code": "123456", "purpose": "login", "minutes": "5"}
    async with mail_server() as server:
        for decoy in (False, True):
            message = Message(Kind.OTP, "ada@example.com", NOW + 300, facts)
            await _notifier(outbox).send(message, NOW, decoy=decoy)
        rows = await outbox._postgres.fetch("SELECT channel, length(sealed) AS size, sealed FROM outbox")
        assert sorted(row["channel"] for row in rows) == ["none", "smtp"]
        assert len({row["size"] for row in rows}) == 1
        assert not any(b"123456" in bytes(row["sealed"]) or b"ada@" in bytes(row["sealed"]) for row in rows)
        await _delivery(outbox, server.port, clock).round()
    assert len(server.received) == 1
    assert await outbox._postgres.fetch("SELECT 1 FROM outbox") == []


async def test_another_secret_opens_nothing(outbox):
    clock, events = ManualClock(NOW), []
    async with mail_server() as server:
        await _notifier(outbox).send(_message(), NOW)
        await _delivery(outbox, server.port, clock, events=events, sealer=Sealer(b"x" * 32)).round()
    assert server.received == []
    assert events == [("smtp", "given_up")]


async def test_a_database_that_is_away_ends_no_loop(outbox, monkeypatch):
    called = asyncio.Event()

    async def gone(*args, **kwargs):
        called.set()
        raise StoreUnavailable("postgres", "is down for a test")

    monkeypatch.setattr(outbox, "claim", gone)
    delivery = _delivery(outbox, 1, ManualClock(NOW))
    loop = asyncio.create_task(delivery.run())
    async with asyncio.timeout(60):
        for _ in range(3):
            await called.wait()
            called.clear()
            delivery.wake()
    assert not loop.done()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_what_nobody_can_read_or_always_kills_its_reader_is_given_up(outbox):
    clock, events = ManualClock(NOW), []
    async with mail_server() as server:
        for number in range(2):
            await _notifier(outbox).send(_message(number), NOW)
        (unreadable, deadly) = await outbox.claim(2, now=NOW, until=NOW)
        sealed = SEALER.seal(b'{"kind":"of-a-later-version","to":"","until":1,"facts":{}}', str(unreadable.id))
        update = "UPDATE outbox SET sealed = COALESCE(%s, sealed), tries = %s WHERE id = %s"
        await outbox._postgres.execute(update, (sealed, 1, unreadable.id))
        await outbox._postgres.execute(update, (None, 12, deadly.id))
        await _delivery(outbox, server.port, clock, events=events).round()
    assert server.received == []
    assert events == [("smtp", "given_up")] * 2


class Hanging:
    def __init__(self):
        self.called = asyncio.Event()

    async def send(self, message, parcel, now):
        self.called.set()
        await asyncio.Event().wait()


async def test_a_receiver_that_hangs_holds_up_no_mail(outbox):
    hanging = Hanging()
    routes = Routes(("webhook",), ("webhook", "smtp"), {Kind.TEST: ("https://x.example/",)})
    async with mail_server() as server:
        delivery = _delivery(outbox, server.port, ManualClock(NOW), more={"webhook": hanging})
        notifier = _notifier(outbox, routes)
        loop = asyncio.create_task(delivery.run())
        await notifier.send(_message(), NOW)
        async with asyncio.timeout(60):
            await hanging.called.wait()
            while not server.received:  # noqa: ASYNC110  # the server has no other way to say so
                await asyncio.sleep(0.01)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop


class Lines:
    def __init__(self):
        self.shown = []

    def write(self, line):
        self.shown.append(line)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            Message(Kind.OTP, "ada@example.com", NOW, {"code": "123456", "purpose": "login", "minutes": "5"}),
            [b"OTP for ada@example.com (login): 123456\n"],
        ),
        (
            Message(
                Kind.VERIFY_EMAIL, "a@b.example", NOW, {"code": "1", "link": "http://x/y", "purpose": "verify-email"}
            ),
            [b"OTP for a@b.example (verify-email): 1\n", b"Link for a@b.example (verify-email): http://x/y\n"],
        ),
        (Message(Kind.PASSWORD_CHANGED, "a@b.example", NOW), [b"Notice for a@b.example: password-changed\n"]),
        (Message(Kind.TEST, "a\nb\u202e@b.example", NOW), [b"Notice for a\\nb\\u202e@b.example: test\n"]),
    ],
)
async def test_the_console_shows_one_line_a_thing_and_a_decoy_none(outbox, message, shown):
    lines = Lines()
    notifier = _notifier(outbox, Routes(("console",), ("console",), {}), lines)
    await notifier.send(message, NOW, decoy=True)
    assert lines.shown == []
    await notifier.send(message, NOW)
    assert lines.shown == shown
