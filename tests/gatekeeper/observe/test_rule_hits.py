"""Counting how often rules decide, apart from the path of a request."""

import pytest
from factories import NOW

from gatekeeper.app.rule_hits import HitKeeper
from gatekeeper.clock import ManualClock
from gatekeeper.errors import StoreUnavailable
from gatekeeper.observe.metrics import Metrics
from gatekeeper.observe.rule_hits import KEPT, Ruling

LET = Ruling("api", False, "allow", "")


class _Store:
    """Implements HitStore; ``away`` while nobody answers."""

    def __init__(self):
        self.away = False
        self.written = []
        self.forgotten = []

    async def add(self, hits, now):
        if self.away:
            raise StoreUnavailable("postgres", "away")
        self.written.append((hits, now))

    async def forget(self, before):
        self.forgotten.append(before)


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def store():
    return _Store()


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def keeper(metrics, store, clock):
    return HitKeeper(metrics, store, clock)


async def test_decisions_and_reports_are_written_once_by_rule_verdict_and_reason(keeper, metrics, store):
    for _ in range(2):
        metrics.decision("allow", "", "api")
    metrics.decision("deny", "no-rule", "")
    metrics.reported("trial", "deny", "rule-denied")
    await keeper.write()
    await keeper.write()
    hits = {LET: 2, Ruling("", False, "deny", "no-rule"): 1, Ruling("trial", True, "deny", "rule-denied"): 1}
    assert store.written == [(hits, NOW)]


async def test_what_metrics_have_handed_on_meanwhile_counts_too(keeper, metrics, store):
    metrics.decision("allow", "", "api")
    metrics.flush()
    metrics.decision("allow", "", "api")
    await keeper.write()
    assert store.written == [({LET: 2}, NOW)]


async def test_counts_wait_while_the_store_is_away(keeper, metrics, store):
    store.away = True
    metrics.decision("allow", "", "api")
    await keeper.write()
    metrics.decision("allow", "", "api")
    store.away = False
    await keeper.write()
    assert store.written == [({LET: 2}, NOW)]


async def test_what_is_older_than_a_month_goes_once_an_hour(keeper, store, clock):
    for _ in range(3):
        await keeper.forget()
    assert store.forgotten == [NOW - KEPT]
    clock.advance(3600)
    await keeper.forget()
    assert store.forgotten == [NOW - KEPT, NOW + 3600 - KEPT]
