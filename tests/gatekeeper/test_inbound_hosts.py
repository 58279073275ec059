"""Host fields and the list of hosts that are served."""

from __future__ import annotations

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.inbound import HostList, parse_host
from gatekeeper.inbound import hosts as module


@pytest.mark.parametrize(
    ("field", "host", "port"),
    [
        ("example.org", "example.org", None),
        ("EXAMPLE.Org:8080", "example.org", 8080),
        ("localhost", "localhost", None),
        ("my_service:1", "my_service", 1),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("[::1]", "::1", None),
        ("[2001:DB8:0:0::1]:443", "2001:db8::1", 443),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("a" * 63 + ".example", "a" * 63 + ".example", None),
    ],
)
def test_well_formed_hosts_have_one_spelling(field: str, host: str, port: int | None) -> None:
    assert parse_host(field) == (host, port)
    assert parse_host(field) == (host, port)  # remembered


@pytest.mark.parametrize(
    "field",
    [
        "", " ", ":", ":80", "a:", "a:0", "a:080", "a:65536", "a:99999999", "a:b", "a:80:80", "a:+80", "a:8\u0660",
        "a b", " a", "a ", "a\t", "a,b", "a/b", "a?b", "a#b", "a@b", "user:pw@a", "a\\b", "a%2eb", "http://a",
        "example.org.", ".", "a..b", ".a", "-a", "a-", "a" * 64, ".".join(["a" * 60] * 5), "\u00e9.example", "a\x00b",
        "::1", "2001:db8::1", "[]", "[::1", "::1]", "[::1]x", "[::1]:", "[::1%25eth0]", "[::1%eth0]", "[v1.a]", "[a.b]",
        "[127.0.0.1]", "[1:2:3]", "*", "*.example", "a\n", "a\r\nX: y",
    ],
)  # fmt: skip
def test_malformed_hosts_are_refused(field: str) -> None:
    """security 2."""
    assert parse_host(field) is None


def test_what_is_remembered_of_hosts_stays_bounded() -> None:
    for number in range(module._REMEMBERED * 2 + 10):
        assert parse_host(f"host-{number}.example") == (f"host-{number}.example", None)
    assert len(module._parsed) <= module._REMEMBERED


@pytest.mark.parametrize(
    ("public_url", "hosts", "served", "unserved"),
    [
        (
            "http://127.0.0.1:8080",
            [],
            [("127.0.0.1", 8080)],
            [("127.0.0.1", None), ("127.0.0.1", 80), ("localhost", 8080), ("::1", 8080)],
        ),
        (
            "https://gate.example.org",
            [],
            [("gate.example.org", None), ("gate.example.org", 443)],
            [("gate.example.org", 80), ("gate.example.org", 8443), ("example.org", None)],
        ),
        ("http://[::1]:80", [], [("::1", None), ("::1", 80)], [("::1", 443)]),
        (
            "https://g.example",
            ["app.example", "api.example:8443", "www.example:443"],
            [("app.example", None), ("app.example", 1), ("api.example", 8443), ("www.example", None)],
            [("api.example", None), ("api.example", 443), ("www.example", 80), ("x.app.example", None)],
        ),
        (
            "https://g.example",
            ["*.apps.example", "*.p.example:8443", "*.q.example:443"],
            [
                ("a.apps.example", 1),
                ("a.b.apps.example", None),
                ("a.p.example", 8443),
                ("a.q.example", None),
                ("a.q.example", 443),
            ],
            [
                ("apps.example", None),
                ("xapps.example", None),
                (".apps.example", None),
                ("a.p.example", None),
                ("a.p.example", 1),
                ("a.q.example", 80),
            ],
        ),
    ],
)
def test_only_listed_hosts_are_served(
    public_url: str, hosts: list[str], served: list[tuple[str, int | None]], unserved: list[tuple[str, int | None]]
) -> None:
    listed = HostList(public_url, hosts)
    assert [entry for entry in served if not listed.serves(*entry)] == []
    assert [entry for entry in unserved if listed.serves(*entry)] == []


def test_every_bad_entry_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        HostList("ftp://a", ["ok.example", "http://x", "*", "*.", "a.*.b", "x:0", "b\u00fccher.example"])
    keys = [fault.key for fault in caught.value.faults]
    assert keys == ["public_url", "hosts[1]", "hosts[2]", "hosts[3]", "hosts[4]", "hosts[5]", "hosts[6]"]
