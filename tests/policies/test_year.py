"""A replayed year: every planted attack is found, and people are hardly bothered."""

from __future__ import annotations

import pytest
from year.attacks import ATTACKS
from year.replay import Database, Outcome, replay, table, year

HIDDEN = "hosting"  # found by the number of its network, which not every database knows


def _judged(users: int, seed: int, database: Database = Database.FULL) -> Outcome:
    outcome = replay(year(users, seed, database))
    missed = [name for name, signals in outcome.found.items() if not signals]
    assert (len(outcome.found), missed) == (len(ATTACKS), [] if database is Database.FULL else [HIDDEN])
    rate = len(outcome.false) / users / (365 / 90)
    assert rate <= 1, table(outcome)
    return outcome


def test_forty_users_and_twelve_attacks() -> None:
    outcome = _judged(40, 1)
    assert outcome.by_kind["login"] > 3000
    assert "| planted attacks | 12 | 0 |" in table(outcome)


@pytest.mark.parametrize("database", [Database.PLACES, Database.COUNTRIES])
def test_with_less_known_of_addresses_nobody_hears_more_than_once_in_90_days(database: Database) -> None:
    outcome = _judged(30, 2, database)
    moves = [user for user, _, signals in outcome.false if "address_changed" in signals]
    assert all(moves.count(user) <= 13 for user in moves), "once in 30 days"


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 6))
def test_two_hundred_users_and_twelve_attacks(seed: int) -> None:
    outcome = _judged(200, seed)
    quarters = outcome.worst_quarters()
    assert max(quarters.values()) <= 4
    assert sum(count > 1 for count in quarters.values()) <= 80  # of 800
