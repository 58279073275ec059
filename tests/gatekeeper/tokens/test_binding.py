"""What a session is bound to, and what counts as elsewhere."""

from ipaddress import ip_address

import pytest

from gatekeeper.tokens.binding import Bindings

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEWER = "Mozilla/5.0 (X11; Linux x86_64; rv:152.0) Gecko/20100101 Firefox/152.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36"
HOME, STREET, AWAY = (ip_address(text) for text in ("192.0.2.7", "192.0.2.200", "198.51.100.7"))
COUNTRIES = {HOME: "DE", STREET: "DE", AWAY: "FR"}


def bindings(*bind, country_of=COUNTRIES.get):
    return Bindings(b"k" * 32, country_of, bind=bind)


@pytest.mark.parametrize(
    ("agent", "address", "differs"),
    [
        (FIREFOX, HOME, ()),
        (NEWER, HOME, ()),
        (FIREFOX, STREET, ()),
        (CHROME, HOME, ("device",)),
        ("", HOME, ("device",)),
        (FIREFOX, AWAY, ("network", "country")),
        (CHROME, AWAY, ("device", "network", "country")),
    ],
)
def test_what_differs_is_named(agent, address, differs):
    every = bindings("device", "network", "country")
    assert every.mismatch(every.of(FIREFOX, HOME), agent, address) == differs


def test_only_what_is_configured_counts():
    bound = bindings().of(FIREFOX, HOME)
    assert bindings().mismatch(bound, CHROME, AWAY) == ()
    assert bindings("country").mismatch(bound, CHROME, AWAY) == ("country",)
    assert bindings("device").mismatch(bound, FIREFOX, AWAY) == ()


def test_what_is_not_known_is_no_mismatch():
    knowing, ignorant = bindings("country"), bindings("country", country_of=lambda _address: None)
    assert knowing.mismatch(ignorant.of(FIREFOX, HOME), FIREFOX, AWAY) == ()
    assert ignorant.mismatch(knowing.of(FIREFOX, HOME), FIREFOX, AWAY) == ()
    every = bindings("device", "network", "country")
    assert every.mismatch("", CHROME, AWAY) == (), "a session of before there were bindings"
    assert every.mismatch("of another form", CHROME, AWAY) != ()
    assert every.mismatch("of-another-form", CHROME, AWAY) == ()


def test_ipv6_is_held_to_its_48():
    network = bindings("network")
    bound = network.of(FIREFOX, ip_address("2001:db8:1:2::3"))
    assert network.mismatch(bound, FIREFOX, ip_address("2001:db8:1:ffff::1")) == ()
    assert network.mismatch(bound, FIREFOX, ip_address("2001:db8:2::1")) == ("network",)
    assert network.mismatch(bound, FIREFOX, HOME) == ("network",)


def test_a_record_holds_no_words_of_the_client():
    bound = bindings("device").of("evil\0 words\r\n" * 5000, HOME)
    assert (len(bound) < 100, bound.isascii(), bound.isprintable(), bound.count(" ")) == (True, True, True, 2)


def test_a_mismatch_is_logged_once_a_session_and_kind(caplog):
    device = bindings("device")
    assert [device.note(session, ("device",), HOME) for session in ("a", "a", "b")] == [True, False, True]
    assert len(caplog.records) == 2
