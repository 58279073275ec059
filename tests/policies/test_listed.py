"""Networks by list, as ``listed_network`` asks for them."""

from ipaddress import ip_address, ip_network

import pytest

from policies.listed import Listed

ENTRIES = [64500, *map(ip_network, ("185.220.100.0/24", "185.220.100.7", "185.220.0.0/16", "2001:db8:1::/48"))]


@pytest.mark.parametrize(
    ("address", "asn", "entry"),
    [
        ("185.220.100.7", None, "185.220.100.7"),
        ("185.220.100.8", 64500, "185.220.100.0/24"),
        ("185.220.101.8", None, "185.220.0.0/16"),
        ("2001:db8:1:2::3", None, "2001:db8:1::/48"),
        ("192.0.2.1", 64500, "AS64500"),
        ("192.0.2.1", 64501, None),
        ("192.0.2.1", None, None),
        ("2001:db8:2::1", None, None),
    ],
)
def test_the_narrowest_entry_is_named(address, asn, entry):
    assert Listed(ENTRIES).naming(ip_address(address), asn) == entry


def test_another_list_replaces_the_whole():
    listed = Listed(ENTRIES)
    assert len(listed) == 5
    listed.replace([ip_network("192.0.2.0/24")])
    assert listed.naming(ip_address("192.0.2.9"), 64500) == "192.0.2.0/24"
    assert listed.naming(ip_address("185.220.100.7"), None) is None
