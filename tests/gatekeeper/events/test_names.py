"""Names of events and the patterns by which they are asked for."""

import pytest

from gatekeeper.events.names import LOGINS, Wanted, fault_of_pattern


@pytest.mark.parametrize("pattern", ["*", "login.*", *LOGINS, "user.lock", "signal.new_country", "api-key.*"])
def test_what_there_is_may_be_asked_for(pattern):
    assert fault_of_pattern(pattern) is None


@pytest.mark.parametrize("pattern", ["login", "login.failed", "logins.*", "otp", "user.", ""])
def test_what_there_is_not_is_a_fault_that_says_what_there_is(pattern):
    assert "there are" in fault_of_pattern(pattern)


def test_a_pattern_wants_what_it_says_and_nothing_beside():
    wanted = Wanted(["login.*", "user.lock"])
    assert "login.failure" in wanted
    assert "user.lock" in wanted
    assert "user.unlock" not in wanted
    assert "logins.failure" not in wanted
    assert "user.lock.more" not in wanted
    assert "anything.at.all" in Wanted(["*"])
