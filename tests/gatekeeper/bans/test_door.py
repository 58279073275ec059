"""The first look at a request: who is banned, and who gives itself away."""

from ipaddress import ip_address

import pytest
from factories import NOW, ban_list, inbound

from gatekeeper.bans.door import Door
from policies.ban_list import BanList
from policies.bans import Source
from policies.globs import parse_glob
from policies.model import Reason, Verdict

HERE = ip_address("192.0.2.1")  # where ``inbound`` comes from


class Striker:
    """Counts everything, but for ``spared``."""

    def __init__(self, spared=()):
        self.noted = []
        self.spared = spared

    def counts(self, source, address):
        return address not in self.spared

    def note(self, source, address, now):
        self.noted.append((source, address, now))


def test_nobody_is_let_in_before_the_bans_are_known():
    decision = Door(BanList()).refuses(inbound())
    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.STORE_UNAVAILABLE)


def test_while_nobody_is_banned_everybody_goes_on():
    bans = ban_list()
    assert bans.quiet
    assert Door(bans).refuses(inbound()) is None
    assert Door(bans).refuses_user("ada", NOW) is None


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.0/24", "agent:sqlmap"])
def test_the_banned_are_refused_with_the_time_until_they_may_come_back(text):
    door = Door(ban_list(text, until=NOW + 60))
    decision = door.refuses(inbound(headers={"User-Agent": "sqlmap/1.7"}))
    assert (decision.verdict, decision.reason, decision.retry_after) == (Verdict.DENY, Reason.BANNED, 60.0)
    assert door.refuses(inbound(client=ip_address("198.51.100.1"))) is None
    assert door.refuses(inbound(now=NOW + 60, headers={"User-Agent": "sqlmap/1.7"})) is None


def test_a_banned_account_is_refused_and_no_other():
    door = Door(ban_list("user:ada"))
    assert door.refuses_user("ada", NOW).reason is Reason.BANNED
    assert door.refuses_user("ada", NOW).retry_after is None
    assert door.refuses_user("bob", NOW) is None


def honeypot(*paths, striker=None, bans=None):
    striker = striker or Striker()
    return Door(bans or ban_list(), striker, [parse_glob(path) for path in paths]), striker


def test_whoever_asks_for_a_honeypot_is_refused_and_noted():
    door, striker = honeypot("/wp-login.php", "/.git/**")
    for path in ("/wp-login.php", "/.git/config", "/.git"):
        assert door.refuses(inbound(path=path)).reason is Reason.BANNED
    assert striker.noted == [(Source.HONEYPOT, HERE, NOW)] * 3
    assert door.refuses(inbound(path="/WP-login.php")) is None
    assert door.refuses(inbound(path="/a/.git/config")) is None


def test_a_browser_that_a_foreign_page_has_sent_to_a_honeypot_is_not_banned():
    door, striker = honeypot("/wp-login.php")
    assert door.refuses(inbound(path="/wp-login.php", headers={"Sec-Fetch-Site": "cross-site"})) is None
    assert striker.noted == []


def test_a_honeypot_bans_nobody_whose_offences_do_not_count():
    door, striker = honeypot("/wp-login.php", striker=Striker({HERE}))
    assert door.refuses(inbound(path="/wp-login.php")) is None
    assert striker.noted == []


def test_a_request_over_a_limit_is_noted_where_somebody_counts():
    door, striker = honeypot()
    door.over_limit(HERE, NOW)
    assert striker.noted == [(Source.LIMITS, HERE, NOW)]
    Door(ban_list()).over_limit(HERE, NOW)
