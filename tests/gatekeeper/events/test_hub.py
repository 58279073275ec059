"""The hub: nobody waits for a receiver, none for another, and what cannot be kept is counted."""

import asyncio

import pytest
from factories import NOW

from gatekeeper.errors import StoreUnavailable
from gatekeeper.events import hub as hub_module
from gatekeeper.events.event import Event
from gatekeeper.events.hub import Hub, Undelivered


class Kept:
    """Takes events, after failing as often as it is told to."""

    def __init__(self, *faults):
        self.events = []
        self.faults = list(faults)
        self.got = asyncio.Event()

    async def take(self, events):
        if self.faults:
            raise self.faults.pop(0)
        self.events += [event.type for event in events]
        self.got.set()


class Stuck:
    async def take(self, events):
        await asyncio.Event().wait()


def _event(number):
    return Event(f"user.n{number}", str(number), NOW, {})


@pytest.fixture
async def running():
    tasks = []
    yield lambda hub: tasks.append(asyncio.create_task(hub.run()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_receiver_that_hangs_holds_up_no_other(running):
    good = Kept()
    hub = Hub({"bad": Stuck(), "good": good})
    running(hub)
    hub.publish(_event(1))
    async with asyncio.timeout(60):
        await good.got.wait()
    assert good.events == ["user.n1"]


@pytest.mark.parametrize("fault", [Undelivered("away"), StoreUnavailable("redis", "away"), TimeoutError()])
async def test_what_a_receiver_did_not_take_comes_again_in_order(running, monkeypatch, fault):
    monkeypatch.setattr(hub_module, "_FIRST_PAUSE", 0.001)
    receiver, heard = Kept(fault, fault), []
    hub = Hub({"one": receiver}, lambda *event: heard.append(event))
    hub.publish(_event(1), _event(2))
    running(hub)
    async with asyncio.timeout(60):
        await receiver.got.wait()
    assert receiver.events == ["user.n1", "user.n2"]
    assert heard == [("one", "sent", 2)]


async def test_a_fault_in_a_receiver_costs_its_batch_and_not_what_follows(running):
    receiver, heard, dropped = Kept(ValueError("odd")), [], asyncio.Event()

    def hear(*event):
        heard.append(event)
        dropped.set()

    hub = Hub({"one": receiver}, hear)
    running(hub)
    hub.publish(_event(1))
    async with asyncio.timeout(60):
        await dropped.wait()
        hub.publish(_event(2))
        await receiver.got.wait()
    assert receiver.events == ["user.n2"]
    assert heard[0] == ("one", "dropped", 1)


async def test_the_oldest_go_where_too_many_wait_and_are_counted(monkeypatch):
    monkeypatch.setattr(hub_module, "MOST_WAITING", 3)
    receiver, heard = Kept(), []
    hub = Hub({"one": receiver}, lambda *event: heard.append(event))
    for number in range(5):
        hub.publish(_event(number))
    await hub.flush(60)
    assert receiver.events == ["user.n2", "user.n3", "user.n4"]
    assert heard == [("one", "dropped", 1), ("one", "dropped", 1), ("one", "sent", 3)]


async def test_the_last_words_wait_for_nobody_longer_than_they_may():
    good = Kept()
    hub = Hub({"bad": Stuck(), "good": good})
    hub.publish(_event(1))
    async with asyncio.timeout(60):
        await hub.flush(0.01)
    assert good.events == ["user.n1"]


async def test_what_was_being_handed_over_when_the_worker_ends_is_in_the_last_words():
    class Slow(Kept):
        async def take(self, events):
            if not self.got.is_set():
                self.got.set()
                await asyncio.Event().wait()
            await super().take(events)

    receiver = Slow()
    hub = Hub({"one": receiver})
    hub.publish(_event(1))
    task = asyncio.create_task(hub.run())
    async with asyncio.timeout(60):
        await receiver.got.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await hub.flush(60)
    assert receiver.events == ["user.n1"]
