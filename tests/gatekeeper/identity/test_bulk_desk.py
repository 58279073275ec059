"""gatekeeper/identity/bulk_desk.py: what many accounts lose is in force, written down and counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity import bulk_desk
from gatekeeper.identity.bulk_desk import Altered, BulkAct, BulkDesk
from gatekeeper.tokens.sessions import UserState


class Accounts:
    """Locks whomever it is told to."""

    async def lock(self, users, _now):
        states = [UserState(user, f"{user}@x", True, None, (), False, 1, 1) for user in users]
        return [Altered(state, replace(state, locked=True, epoch=2, version=2)) for state in states]

    unlock = log_out = expire_passwords = lock


class Live:
    """Redis that is away for the first calls."""

    def __init__(self, away=0):
        self.away = away
        self.locked = []

    async def put_user(self, user):
        if self.away:
            self.away -= 1
            raise StoreUnavailable("redis", "away")
        self.locked.append(user.id)


class Journal:
    """Remembers what it was told."""

    def __init__(self):
        self.each, self.whole = [], []

    async def record_change(self, change):
        self.whole.append(change)

    async def record_changes(self, changes):
        self.each += changes


async def _portions(*portions):
    for portion in portions:
        yield list(portion)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(bulk_desk, "_PAUSES", (0.0, 0.0, 0.0))


async def test_all_but_whoever_asks_are_changed_and_each_has_its_entry():
    live, journal = Live(), Journal()
    desk = BulkDesk(Accounts(), live, journal)
    by = Actor("me")
    assert await desk.act(BulkAct.LOCK, _portions("ab", ["me", "c"]), "state active", by, "breach", 5.0) == 3
    assert live.locked == ["a", "b", "c"]
    assert [(one.action, one.subject, one.after["why"]) for one in journal.each] == [
        ("user.lock", user, "breach") for user in "abc"
    ]
    (whole,) = journal.whole
    assert (whole.action, whole.subject, whole.after) == (
        *("user.lock-all", "state active"),
        {"accounts": 3, "why": "breach"},
    )


async def test_redis_is_tried_again_since_the_filter_may_not_find_these_any_more():
    live, journal = Live(away=2), Journal()
    assert await BulkDesk(Accounts(), live, journal).act(BulkAct.LOCK, _portions("a"), "x", Actor("me"), "y", 5.0) == 1
    assert live.locked == ["a"]


async def test_what_was_done_before_an_outage_is_written_down():
    live, journal = Live(away=99), Journal()
    with pytest.raises(StoreUnavailable):
        await BulkDesk(Accounts(), live, journal).act(BulkAct.LOCK, _portions("ab", "c"), "x", Actor("me"), "y", 5.0)
    assert journal.whole[0].after["accounts"] == 2
