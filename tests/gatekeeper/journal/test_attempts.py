"""gatekeeper/journal/attempts.py: an attempt's id (RFC 9562 5.7)."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from attempts import attempt

from gatekeeper.journal.attempts import made_at


@pytest.mark.parametrize("time", [0.0, 1.9999996, 1_800_000_000.123, 253_402_300_799.0])
def test_an_id_is_a_uuid_of_version_7_that_says_when_the_attempt_was(time):
    one = attempt(time=time).id
    assert (one.version, one.variant) == (7, uuid.RFC_4122)
    assert made_at(one) == pytest.approx(time, abs=0.001)


def test_attempts_of_one_moment_have_different_ids_and_copies_keep_theirs():
    ids = {attempt().id for _ in range(1000)}
    assert len(ids) == 1000
    one = attempt()
    assert replace(one, email="eve@example.com").id == one.id
    assert attempt(id=one.id).id == one.id


def test_an_id_from_elsewhere_does_not_say_when():
    assert made_at(uuid.uuid4()) is None
