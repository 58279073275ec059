"""gatekeeper/bans/own.py: whether a ban would shut out the one who asks for it."""

from ipaddress import ip_address

import pytest

from gatekeeper.bans.own import meets
from policies.bans import of_user, parse_subject

ME = {"user": "me", "address": ip_address("192.0.2.7"), "country": "CH", "agent": "Mozilla/5.0 (X11) Firefox/140.0"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("192.0.2.7", "192.0.2.7 is the address from which you are asking"),
        ("192.0.2.0/24", "192.0.2.0/24 holds 192.0.2.7, from which you are asking"),
        ("::ffff:192.0.2.7", "192.0.2.7 is the address from which you are asking"),
        ("ch", "CH is the country from which you are asking"),
        ("agent:firefox*", None),
        ("agent:*firefox*", "agent:*firefox* matches the browser or program with which you are asking"),
        ("192.0.2.8", None),
        ("2001:db8::/32", None),
        ("NL", None),
    ],
)
def test_a_ban_is_held_against_address_country_and_user_agent_of_the_one_who_asks(typed, said):
    assert meets(parse_subject(typed), None, **ME) == said


def test_one_s_own_account_is_named_and_another_s_is_not_one_s_own():
    assert meets(of_user("me"), "ada@example.com", **ME) == "ada@example.com is your own account"
    assert meets(of_user("me"), None, **ME) == "me is your own account"
    assert meets(of_user("another"), None, **ME) is None


def test_of_somebody_at_a_terminal_nothing_is_known_and_no_ban_meets_them():
    nobody = {"user": "cli:root", "address": None, "country": None, "agent": None}
    for typed in ("192.0.2.7", "CH", "agent:firefox"):
        assert meets(parse_subject(typed), None, **nobody) is None
