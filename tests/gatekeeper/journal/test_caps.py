"""gatekeeper/journal/caps.py and recorder.py."""

from __future__ import annotations

from ipaddress import ip_address

import orjson
import pytest
from attempts import attempt
from factories import NOW

from gatekeeper.app.login_log import flood_caps
from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable
from gatekeeper.journal.attempts import Attempt, Result
from gatekeeper.journal.caps import Cap, FloodCaps, Reached
from gatekeeper.journal.recorder import LoginRecorder
from gatekeeper.journal.records import ATTEMPT, SUPPRESSED

MANY = 1_000_000


class SpoolFake:
    """Keeps in memory, or is full."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.kept: list[tuple[bytes, dict[str, object]]] = []

    async def append(self, kind: bytes, json: bytes) -> None:
        if self.full:
            raise StoreUnavailable("spool", "full")
        self.kept.append((kind, orjson.loads(json)))


class DirectFake:
    """The database, or none."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []

    async def record_attempt(self, attempt: Attempt) -> None:
        self.rows.append(attempt)


def caps(*, session: int = MANY, address: int = MANY, minute: int = MANY) -> FloodCaps:
    return FloodCaps(session=session, address=address, minute=minute)


def test_each_cap_holds_for_its_own_subject_and_minute():
    few = caps(address=2)
    assert [few.take(attempt()) for _ in range(3)] == [None, None, Reached(Cap.ADDRESS, "192.0.2.1")]
    assert few.take(attempt(address=ip_address("192.0.2.2"))) is None
    assert few.take(attempt(time=NOW + 60)) is None


def test_a_session_a_network_and_all_have_caps():
    one = caps(session=1)
    assert [one.take(attempt(session="s1")) for _ in range(2)] == [None, Reached(Cap.SESSION, "s1")]
    one = caps(address=1)
    first, second = ip_address("2001:db8::1"), ip_address("2001:db8::ffff:2")
    assert one.take(attempt(address=first)) is None
    assert one.take(attempt(address=second)) == Reached(Cap.ADDRESS, "2001:db8::/64")
    one = caps(minute=1)
    assert one.take(attempt()) is None
    assert one.take(attempt(address=ip_address("198.51.100.9"))) == Reached(Cap.MINUTE, "")


def test_what_one_address_is_refused_takes_no_place_from_others():
    few = caps(address=1, minute=2)
    for _ in range(50):
        few.take(attempt())
    assert few.take(attempt(address=ip_address("198.51.100.9"))) is None


def test_a_successful_login_always_gets_its_row():
    few = caps(session=1, address=1, minute=1)
    assert [few.take(attempt(result=Result.SUCCESS, reason=None, session="s")) for _ in range(9)] == [None] * 9


@pytest.mark.parametrize(("workers", "rows"), [(1, 10), (4, 12), (20, 20)])
def test_the_workers_of_one_gate_share_the_cap_of_all_and_not_the_others(workers, rows):
    caps_of_all = {"session": 3, "address": 1000, "minute": 10}
    config = Config.model_validate({"workers": workers, "logs": {"caps": caps_of_all}})
    each = [flood_caps(config) for _ in range(workers)]
    assert sum(one.take(attempt()) is None for one in each for _ in range(50)) == rows
    alone = flood_caps(Config.model_validate({"workers": workers, "logs": {"caps": {**caps_of_all, "minute": MANY}}}))
    assert sum(alone.take(attempt(session="s")) is None for _ in range(9)) == 3


async def test_beyond_a_cap_an_attempt_is_counted_by_what_it_was():
    spool, counted = SpoolFake(), []
    recorder = LoginRecorder(spool, DirectFake(), caps(address=1), on_suppressed=counted.append)
    for _ in range(2):
        await recorder.record_attempt(attempt(country="DE", device_kind="bot"))
    assert [kind for kind, _ in spool.kept] == [ATTEMPT, SUPPRESSED]
    assert spool.kept[1][1] == {
        "time": "2027-01-15T08:00:00.000000+00:00",
        "result": "failure",
        "reason": "invalid-credentials",
        "country": "DE",
        "device": "bot",
        "cap": "address",
        "subject": "192.0.2.1",
    }
    assert counted == ["address"]


async def test_an_email_is_hidden_only_where_nobody_has_it():
    spool = SpoolFake()
    recorder = LoginRecorder(spool, DirectFake(), caps(), hide=lambda text: f"hidden {len(text)}")
    for one in (attempt(email="my password"), attempt(user_id="7" * 32), attempt(email="")):
        await recorder.record_attempt(one)
    assert [row["email"] for _, row in spool.kept] == ["hidden 11", "ada@example.com", ""]


async def test_what_the_disk_does_not_take_goes_to_the_database():
    direct, told = DirectFake(), []
    recorder = LoginRecorder(
        SpoolFake(full=True), direct, caps(), hide=lambda _: "hidden", on_direct=lambda: told.append(1)
    )
    await recorder.record_attempt(attempt())
    assert [one.email for one in direct.rows] == ["hidden"]
    assert told == [1]
