"""identity.fingerprints: whose word on a client's TLS handshake counts."""

from __future__ import annotations

from ipaddress import ip_network

from multidict import CIMultiDict, CIMultiDictProxy

from gatekeeper.clock import ManualClock
from gatekeeper.identity.fingerprints import Fingerprints
from gatekeeper.inbound import Arrival, InboundRequest, RequestReader, TrustedProxies

PROXY, STRANGER = "10.0.0.1", "203.0.113.9"
JA4 = "t13d1516h2_8daaf6152771_b186095e22b6"


def asked(*fields: tuple[str, str], peer: str = PROXY) -> InboundRequest:
    reader = RequestReader(TrustedProxies([ip_network("10.0.0.0/8")]), ManualClock(1_800_000_000.0))
    sent = [("Host", "app.example"), ("User-Agent", "curl/8.1"), *fields]
    if peer == PROXY:
        sent.append(("X-Forwarded-For", STRANGER))
    raw = tuple((name.encode(), value.encode()) for name, value in sent)
    found = reader.read("POST", "/_gate/auth/login", CIMultiDictProxy(CIMultiDict(sent)), raw, Arrival(peer))
    assert isinstance(found, InboundRequest)
    return found


def of(*fields: tuple[str, str], peer: str = PROXY, header: str | None = "X-JA4") -> str | None:
    return Fingerprints(b"k" * 32, header).of(asked(*fields, peer=peer))


def test_a_trusted_proxy_s_tls_fingerprint_counts() -> None:
    assert of(("x-ja4", JA4)) != of()
    assert of(("X-JA4", JA4)) == of(("x-ja4", f" {JA4} "))
    assert of(("X-JA4", JA4), header=None) == of()


def test_a_stranger_s_word_on_its_own_handshake_does_not_count() -> None:
    assert of(("X-JA4", JA4), peer=STRANGER) == of(peer=STRANGER)


def test_of_two_words_none_counts() -> None:
    assert of(("X-JA4", JA4), ("X-JA4", "t13d0000")) == of()
