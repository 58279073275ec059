"""A replayed year: every planted attack is found, and people are hardly bothered."""

from __future__ import annotations

import pytest
from year.attacks import ATTACKS
from year.replay import Outcome, replay, table, year


def _judged(users: int, seed: int) -> Outcome:
    outcome = replay(year(users, seed))
    missed = [name for name, signals in outcome.found.items() if not signals]
    assert (len(outcome.found), missed) == (len(ATTACKS), [])
    rate = len(outcome.false) / users / (365 / 90)
    assert rate <= 1, table(outcome)
    return outcome


def test_forty_users_and_twelve_attacks() -> None:
    outcome = _judged(40, 1)
    assert outcome.by_kind["login"] > 3000
    assert "| planted attacks | 12 | 0 |" in table(outcome)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 6))
def test_two_hundred_users_and_twelve_attacks(seed: int) -> None:
    _judged(200, seed)
