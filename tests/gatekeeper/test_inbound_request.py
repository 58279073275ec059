"""One reading of a request: what is refused, and what only a trusted proxy may say."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gatekeeper.clock import ManualClock
from gatekeeper.inbound import Arrival, InboundRequest, Refused, RequestReader, TrustedProxies, is_method
from gatekeeper.inbound.request import RequestIds
from policies.model import Reason, RequestTarget

PROXY, STRANGER = "10.0.0.1", "203.0.113.9"
BASE = [("Host", "app.example")]


def read(
    fields: list[tuple[str, str]],
    *,
    method: str = "GET",
    target: str = "/a?b",
    peer: str = STRANGER,
    arrival: Arrival | None = None,
) -> InboundRequest | Refused:
    reader = RequestReader(TrustedProxies([ip_network("10.0.0.0/8")]), ManualClock(1_800_000_000.25))
    raw = tuple((name.encode(), value.encode(errors="surrogateescape")) for name, value in fields)
    return reader.read(method, target, CIMultiDictProxy(CIMultiDict(fields)), raw, arrival or Arrival(peer))


def accepted(fields: list[tuple[str, str]], **how: str) -> InboundRequest:
    found = read(fields, **how)
    assert isinstance(found, InboundRequest)
    return found


def test_a_plain_request_is_read_as_it_stands() -> None:
    found = accepted(BASE)
    assert found.target == RequestTarget("http", "app.example", None, "/a", "b")
    assert found.client == found.peer == ip_address(STRANGER)
    assert found.received == 1_800_000_000.25
    assert found.raw_headers == ((b"Host", b"app.example"),)


def test_credentials_stay_out_of_repr() -> None:
    assert "s3cret" not in repr(accepted([*BASE, ("Authorization", "Bearer s3cret")]))


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "Get", "FOO", "", "GET ", "PRI"])
def test_other_methods_are_not_implemented(method: str) -> None:
    """security 2."""
    assert read(BASE, method=method) == Refused(501, Reason.METHOD_NOT_ALLOWED)
    assert not is_method(method)


@pytest.mark.parametrize(
    "target", ["http://app.example/a", "https://evil.example/", "evil.example:443", "*", "", "a", "/..", "/a%2fb"]
)
def test_only_a_clean_origin_form_is_taken(target: str) -> None:
    """security 1 and 2."""
    assert read(BASE, target=target) == Refused(400, Reason.BAD_TARGET)
    assert read(BASE, target=target, method="OPTIONS") == Refused(400, Reason.BAD_TARGET)


@pytest.mark.parametrize("hosts", [[], [""], ["a", "a"], ["a", "b"], ["a b"], ["a, b"], ["a."], ["u@a"], ["a:x"]])
def test_a_missing_doubled_or_odd_host_is_refused(hosts: list[str]) -> None:
    """security 2."""
    assert read([("Host", host) for host in hosts]) == Refused(400, Reason.BAD_TARGET)


@pytest.mark.parametrize(
    "fields",
    [
        [("Authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("Authorization", "Bearer a"), ("Authorization", "Bearer a")],
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
        [("Upgrade", "websocket, H2C")],
        [("Upgrade", "websocket"), ("Upgrade", "h2c")],
        [("Upgrade", "h2c/1")],
    ],
)
def test_two_credentials_and_h2c_are_refused(fields: list[tuple[str, str]]) -> None:
    """security 2."""
    assert read([*BASE, *fields]) == Refused(400, Reason.VALIDATION)


def test_a_websocket_and_one_authorization_are_fine() -> None:
    accepted([*BASE, ("Upgrade", "websocket"), ("Authorization", "Bearer a")])


@pytest.mark.parametrize("peer", ["", "/run/gate.sock"])
def test_a_peer_without_an_address_is_refused(peer: str) -> None:
    """Fail closed: a unix socket says nothing of who is behind it."""
    assert read(BASE, peer=peer) == Refused(403, Reason.UNTRUSTED_PROXY)


FORWARDED = [
    ("X-Forwarded-For", "198.51.100.1"),
    ("X-Forwarded-Proto", "HTTPS"),
    ("X-Forwarded-Host", "Shop.Example:444"),
    ("X-Request-Id", "given-1"),
]


def test_a_trusted_proxy_is_believed() -> None:
    """security 5."""
    found = accepted([*BASE, *FORWARDED], peer=PROXY)
    assert found.target == RequestTarget("https", "shop.example", 444, "/a", "b")
    assert found.client == ip_address("198.51.100.1")
    assert found.peer == ip_address(PROXY)
    assert found.request_id == "given-1"


def test_a_stranger_is_not_believed() -> None:
    """security 5."""
    found = accepted([*BASE, *FORWARDED, ("X-Forwarded-For", "junk")], peer=STRANGER)
    assert found.target == RequestTarget("http", "app.example", None, "/a", "b")
    assert found.client == ip_address(STRANGER)
    assert found.request_id != "given-1"


@pytest.mark.parametrize(("said", "scheme"), [("http", "http"), ("https", "https"), ("ws", "http"), ("wss", "https")])
def test_the_scheme_that_a_trusted_proxy_says_counts(said: str, scheme: str) -> None:
    assert accepted([*BASE, ("X-Forwarded-Proto", said)], peer=PROXY).target.scheme == scheme


@pytest.mark.parametrize(
    "fields",
    [
        [("X-Forwarded-For", "junk")],
        [("X-Forwarded-For", "")],
        [("X-Forwarded-Proto", "ftp")],
        [("X-Forwarded-Proto", "")],
        [("X-Forwarded-Proto", "https, http")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Host", "")],
        [("X-Forwarded-Host", "a, b")],
        [("X-Forwarded-Host", "a"), ("X-Forwarded-Host", "a")],
        [("X-Forwarded-Host", "a/b")],
    ],
)
def test_what_a_trusted_proxy_garbles_is_refused(fields: list[tuple[str, str]]) -> None:
    """security 5: fail closed rather than guess scheme, host or client."""
    assert read([*BASE, *fields], peer=PROXY) == Refused(400, Reason.VALIDATION)


@pytest.mark.parametrize("sent", ["", "a b", "a\tb", "x" * 129, "a\u2028b", "id;1", "\udcff", "a\u0085"])
def test_odd_request_ids_are_replaced_even_from_a_trusted_proxy(sent: str) -> None:
    """security 28: a log line stays one line."""
    found = accepted([*BASE, ("X-Request-Id", sent)], peer=PROXY)
    assert found.request_id != sent
    assert found.request_id.isalnum()


def test_two_request_ids_are_replaced() -> None:
    found = accepted([*BASE, ("X-Request-Id", "a"), ("X-Request-Id", "b")], peer=PROXY)
    assert found.request_id not in {"a", "b"}


def test_request_ids_differ_and_sort_by_time() -> None:
    ids, others = RequestIds(), RequestIds()
    made = [ids.new(1_800_000_000 + number / 1000) for number in range(2000)]
    assert made == sorted(made)
    assert len({*made, *(others.new(1_800_000_000) for _ in range(2000))}) == 4000
    assert {len(one) for one in made} == {24}


def test_a_proxy_that_cannot_name_its_client_is_not_believed_for_it() -> None:
    """security 5: behind the Proxy Protocol the bytes are the client's, and so is X-Forwarded-For."""
    fields = [*BASE, ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Request-Id", "mine")]
    found = read(fields, arrival=Arrival(PROXY, believed=False))
    assert isinstance(found, InboundRequest)
    assert (found.client, found.trusted, found.target.scheme) == (ip_address(PROXY), False, "http")
    assert found.request_id != "mine"
    known = read(fields, arrival=Arrival(PROXY))
    assert isinstance(known, InboundRequest)
    assert (known.client, known.trusted) == (ip_address("192.0.2.1"), True)


def test_the_listener_says_the_scheme_unless_a_trusted_proxy_does() -> None:
    for arrival, fields, scheme in (
        (Arrival(STRANGER, "https"), BASE, "https"),
        (Arrival(STRANGER, "https"), [*BASE, ("X-Forwarded-Proto", "http")], "https"),
        (Arrival(PROXY, "https"), [*BASE, ("X-Forwarded-Proto", "http")], "http"),
        (Arrival(PROXY, "http"), [*BASE, ("X-Forwarded-Proto", "https")], "https"),
        (Arrival(STRANGER), BASE, "http"),
    ):
        found = read(fields, arrival=arrival)
        assert isinstance(found, InboundRequest)
        assert found.target.scheme == scheme
