"""The client behind trusted proxies: X-Forwarded-For walked from the right."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.inbound import TrustedProxies, derive_client, parse_address, rate_key
from gatekeeper.inbound import client as module

TRUSTED = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.0.2.7/32")])


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("203.0.113.9", ["not an address"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1,198.51.100.1 ,10.0.0.2,\t192.0.2.7"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "10.0.0.3, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["junk, <script>, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::5]:4711"], "2001:db8::5"),
        ("10.0.0.1", ["[2001:db8::5]"], "2001:db8::5"),
        ("10.0.0.1", ["2001:DB8:0::5"], "2001:db8::5"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["[::ffff:c633:6401]:80"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, ::ffff:10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", ["[fe80::1%25eth0]:1"], "fe80::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["198.51.100.1, fd00::2%x"], "198.51.100.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(peer: str, lines: list[str], client: str) -> None:
    """security 5."""
    known = TRUSTED.peer(peer)
    assert known is not None
    assert derive_client(known[0], lines, TRUSTED) == ip_address(client)


@pytest.mark.parametrize(
    "line",
    [
        "", " ", ",", "198.51.100.1,", "unknown", "_hidden", "198.51.100", "198.51.100.256", "010.0.0.1", "0x7f.1",
        "2130706433", "198.51.100.1:", "198.51.100.1:x", "198.51.100.1/32", "[198.51.100.1]x", "[::1", "::1]", "[]",
        "1::2::3", "for=198.51.100.1", '"198.51.100.1"', "198.51.100.1 10.0.0.2", "\u0661.1.1.1", "localhost",
        "junk, 10.0.0.2", "198.51.100.1:123456", "198.51.100.1%eth0", "[::1]:443:1",
    ],
)  # fmt: skip
def test_what_a_trusted_peer_says_must_be_readable(line: str) -> None:
    """security 5: 400, never a guess."""
    assert derive_client(ip_address("10.0.0.1"), [line], TRUSTED) is None


@given(st.lists(st.text(max_size=30), max_size=4), st.ip_addresses())
def test_what_stands_left_of_the_proxies_own_element_never_matters(junk: list[str], client: object) -> None:
    """security 5: a client cannot move its own address."""
    honest = parse_address(str(client))
    assert honest is not None
    if TRUSTED.trusts(honest):
        return
    assert derive_client(ip_address("10.0.0.1"), [*junk, f"{','.join(junk)}, {client}"], TRUSTED) == honest


@given(st.lists(st.text(max_size=30), max_size=4))
def test_an_untrusted_peer_is_its_own_client_whatever_it_sends(lines: list[str]) -> None:
    """security 5."""
    peer = ip_address("203.0.113.9")
    assert derive_client(peer, lines, TRUSTED) == peer


@pytest.mark.parametrize(
    ("text", "address", "trusted"),
    [
        ("10.255.0.1", "10.255.0.1", True),
        ("11.0.0.1", "11.0.0.1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fd12::1%eth0", "fd12::1", True),
        ("fe80::1%eth0", "fe80::1", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.8", "192.0.2.8", False),
    ],
)
def test_peers_are_normalised_and_known_as_trusted_or_not(text: str, address: str, trusted: bool) -> None:
    """security 5."""
    for _ in range(2):  # the second time from memory
        assert TRUSTED.peer(text) == (ip_address(address), trusted)


@pytest.mark.parametrize("text", ["", "/run/gate.sock", "None", "localhost"])
def test_a_peer_without_an_address_is_nobody(text: str) -> None:
    assert TRUSTED.peer(text) is None


def test_mapped_networks_trust_the_ipv4_addresses_they_stand_for() -> None:
    trusted = TrustedProxies([ip_network("::ffff:10.1.0.0/112")])
    assert trusted.peer("10.1.2.3") == (ip_address("10.1.2.3"), True)
    assert trusted.peer("10.2.2.3") == (ip_address("10.2.2.3"), False)


def test_nobody_is_trusted_by_default() -> None:
    assert TrustedProxies().peer("127.0.0.1") == (ip_address("127.0.0.1"), False)


def test_what_is_remembered_of_peers_stays_bounded() -> None:
    trusted = TrustedProxies()
    for number in range(module._REMEMBERED + 100):
        trusted.peer(str(ip_address(0x0A000000 + number)))
    assert len(trusted._peers) <= module._REMEMBERED


def test_ipv6_is_counted_by_its_64() -> None:
    """security 5."""
    assert rate_key(ip_address("198.51.100.1")) == "198.51.100.1"
    one, two = ip_address("2001:db8:1:2::1"), ip_address("2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert rate_key(one) == rate_key(two) == "2001:db8:1:2::/64"
    assert rate_key(ip_address("2001:db8:1:3::1")) == "2001:db8:1:3::/64"
