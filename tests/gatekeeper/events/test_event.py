"""Events out of login attempts and changes."""

import json
import uuid
from ipaddress import ip_address

from factories import NOW

from gatekeeper.events.event import of_attempt, of_change
from gatekeeper.journal.attempts import Attempt, Result
from gatekeeper.journal.audit import Change
from policies.model import Reason


def _attempt(**changes):
    fields = {
        "time": NOW,
        "email": "ada@example.com",
        "user_id": "8f1f3b1e-0000-4000-8000-000000000000",
        "result": Result.FAILURE,
        "reason": Reason.INVALID_CREDENTIALS,
        "method": "password",
        "address": ip_address("203.0.113.9"),
        "country": "DE",
        "user_agent": "x\ud800",
        "session": None,
        "request_id": "r1",
    }
    return Attempt(**{**fields, **changes})


def test_an_attempt_is_an_event_of_its_result_with_its_row_and_id():
    attempt = _attempt()
    (event,) = of_attempt(attempt)
    said = json.loads(event.dump())
    assert (said["type"], said["id"], said["time"]) == ("login.failure", str(attempt.id), "2027-01-15T08:00:00.000Z")
    assert said["data"]["email"] == "ada@example.com"
    assert said["data"]["reason"] == "invalid-credentials"
    assert said["data"]["address"] == "203.0.113.9"


def test_each_signal_is_an_event_too_with_its_evidence_and_an_id_that_is_the_same_each_time():
    attempt = _attempt(
        id=uuid.UUID(int=5), signals=("new_device", "new_country"), evidence={"new_country": {"usual": ["FR"]}}
    )
    first, second = (of_attempt(attempt) for _ in range(2))
    assert [event.type for event in first] == ["login.failure", "signal.new_device", "signal.new_country"]
    assert first[2].data["evidence"] == {"usual": ["FR"]}
    assert first[2].data["attempt"] == str(uuid.UUID(int=5))
    assert [event.id for event in first] == [event.id for event in second]
    assert len({event.id for event in first}) == 3


def test_a_change_is_an_event_of_its_name_whatever_text_it_holds():
    change = Change(
        NOW, "cli:root", "user.lock", "u1", {"name": "A\ud800\x00"}, {"locked": True}, ip_address("::1"), "r2"
    )
    said = json.loads(of_change(change).dump())
    assert said["type"] == "user.lock"
    assert said["data"]["after"] == {"locked": True}
    assert said["data"]["before"] == {"name": "A?\ufffd"}
    assert (said["data"]["actor"], said["data"]["address"]) == ("cli:root", "::1")
