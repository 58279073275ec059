"""``gatekeeper webhook`` against a real database and a real receiver; commands tell of what they change."""

import asyncio
import json
import uuid
from ipaddress import ip_network

import pytest
from factories import NOW, PASSWORD, SECRET
from hook_receiver import hook_receiver

from gatekeeper.app.mail import sealer_of
from gatekeeper.cli import main
from gatekeeper.clock import ManualClock, SystemClock
from gatekeeper.events.event import Event
from gatekeeper.events.hooks import EventHooks, EventParcels
from gatekeeper.events.names import Wanted
from gatekeeper.notify.delivery import Delivery, pause_after
from gatekeeper.notify.outbound import Outbound
from gatekeeper.notify.webhook import Webhooks
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres

LOOPBACK = [ip_network("127.0.0.0/8")]
HOOK = "a webhook secret that is long enough"


@pytest.fixture
async def receiver():
    async with hook_receiver() as one:
        yield one


@pytest.fixture
def command(postgres_dsn, redis_url, tmp_path, capsys, receiver):
    """Runs ``gatekeeper ...`` beside the receiver; returns status, stdout, stderr."""
    config = tmp_path / "config.yaml"
    storage = {"postgres": postgres_dsn, "redis": redis_url, "secret": SECRET, "data_dir": str(tmp_path / "data")}
    hooks = [{"url": receiver.url, "secret": HOOK, "events": ["user.*"]}]
    notify = {"webhooks": hooks, "allow_private": ["127.0.0.0/8"]}
    config.write_text(json.dumps({"storage": storage, "notify": notify}))

    async def run(*arguments):
        status = await asyncio.to_thread(main, ["--config", str(config), *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
async def outbox(postgres_dsn):
    postgres = Postgres(postgres_dsn, size=2, timeout=30.0)
    await postgres.open()
    yield PostgresOutbox(postgres)
    await postgres.close()


def _ways(outbox, url, clock, tries=1):
    """What puts events into the outbox, and what empties it."""
    hooks = EventHooks(Webhooks({url: HOOK.encode()}, Outbound(LOOPBACK), 30.0))
    sealer = sealer_of(SECRET)
    return (
        EventParcels(outbox, sealer, {url: Wanted(["*"])}, clock),
        Delivery(outbox, sealer, {"event": hooks}, clock, tries=tries),
    )


def _event(number):
    return Event("user.lock", str(uuid.UUID(int=number)), NOW, {"n": number})


async def test_what_was_given_up_is_listed_sent_again_and_forgotten(command, outbox, receiver):
    clock = ManualClock(SystemClock.now())  # which the command has
    parcels, delivery = _ways(outbox, receiver.url, clock)
    receiver.status = 503
    await parcels.take([Event("user.lock", str(uuid.uuid4()), clock.now(), {"n": 1})])
    await delivery.round()
    status, out, _ = await command("webhook", "list", "--json")
    (row,) = map(json.loads, out.splitlines())
    assert (status, row["state"], row["event"], row["fault"]) == (0, "given up", "user.lock", "answered 503")
    assert (await command("webhook", "retry", row["id"]))[1].startswith("1 will be sent again")
    receiver.status = 204
    clock.advance(60)
    await delivery.round()
    assert [event["data"]["n"] for event in await receiver.events(HOOK)] == [1, 1]
    assert (await command("webhook", "list"))[1] == "none\n"


async def test_what_is_dropped_is_gone_and_what_waits_is_not_touched(command, outbox, receiver):
    clock = ManualClock(NOW)
    parcels, delivery = _ways(outbox, receiver.url, clock)
    receiver.status = 500
    await parcels.take([_event(1)])
    await delivery.round()
    await parcels.take([_event(2)])
    assert (await command("webhook", "drop", "--all"))[1] == "1 forgotten\n"
    (line,) = (await command("webhook", "list", "--json"))[1].splitlines()
    assert json.loads(line)["state"] == "waiting"


async def test_a_receiver_that_failed_is_left_alone_for_a_moment_and_then_gets_all(outbox, receiver):
    clock = ManualClock(NOW)
    parcels, delivery = _ways(outbox, receiver.url, clock, tries=5)
    receiver.status = 500
    await parcels.take([_event(1)])
    await delivery.round()
    await parcels.take([_event(2)])
    await delivery.round()
    assert len(receiver.calls) == 1
    receiver.status = 204
    clock.advance(pause_after(1) + 1)
    await delivery.round()
    assert sorted(event["data"]["n"] for event in await receiver.events(HOOK)) == [1, 1, 2]


async def test_every_try_has_the_events_own_id(outbox, receiver):
    clock = ManualClock(NOW)
    parcels, delivery = _ways(outbox, receiver.url, clock, tries=5)
    receiver.status = 500
    await parcels.take([_event(9)])
    await delivery.round()
    clock.advance(pause_after(1) + 1)
    await delivery.round()
    assert [headers["webhook-id"] for _, headers, _ in receiver.calls] == [str(uuid.UUID(int=9))] * 2


async def test_a_try_by_hand_says_what_was_answered(command, receiver):
    assert (await command("webhook", "test", receiver.url))[:2] == (0, f"{receiver.url} took it\n")
    assert (await receiver.events(HOOK))[0]["type"] == "test"
    receiver.status = 500
    status, _, err = await command("webhook", "test", receiver.url)
    assert (status, "answered 500" in err) == (1, True)
    status, _, err = await command("webhook", "test", "https://elsewhere.example/")
    assert (status, "not among notify.webhooks" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retry",), "name ids or --all"),
        (("drop", "00000000-0000-0000-0000-000000000000"), "nothing that was given up"),
        (("drop", "--all", "00000000-0000-0000-0000-000000000000"), "name ids or --all"),
    ],
)
async def test_what_cannot_be_done_is_said(command, arguments, words):
    status, _, err = await command("webhook", *arguments)
    assert status == 1
    assert words in err


async def test_what_a_command_changes_is_told(command, outbox, receiver, tmp_path, monkeypatch):
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    with secret.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert (await command("user", "add", "ada@example.com"))[0] == 0
    (parcel,) = await outbox.for_webhooks(10)
    assert (parcel.kind, parcel.address) == ("user.add", receiver.url)
