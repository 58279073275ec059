"""The Proxy Protocol's head: exactly its bytes are taken, however they are cut up, and nothing else passes for one."""

from __future__ import annotations

import asyncio
import socket
import struct
from ipaddress import ip_address

import pytest

from gatekeeper.server.accept import read_head
from gatekeeper.server.proxy_protocol import LONGEST, BadHead, HeadReader, Introduction

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
BEHIND = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LONGEST_LINE = b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n"


def binary(command: int, family: int, block: bytes, *, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


FOUR = socket.inet_aton("192.0.2.1") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 40000, 443)
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + bytes(16) + struct.pack("!HH", 1, 2)
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1") + bytes(16) + struct.pack("!HH", 1, 2)
TLV = b"\x20\x00\x08\x07\x00\x00\x00\x00abc" + b"\x04\x00\x01\x00"

GOOD = {
    "v1 IPv4": (b"PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\r\n", "192.0.2.1"),
    "v1 IPv6": (b"PROXY TCP6 2001:db8::1 ::1 40000 443\r\n", "2001:db8::1"),
    "v1 longest": (LONGEST_LINE, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown with addresses": (b"PROXY UNKNOWN 192.0.2.1 10.0.0.1 1 2\r\n", None),
    "v2 IPv4": (binary(0x21, 0x11, FOUR), "192.0.2.1"),
    "v2 IPv6": (binary(0x21, 0x21, SIX), "2001:db8::1"),
    "v2 IPv4 in IPv6": (binary(0x21, 0x21, MAPPED), "192.0.2.1"),
    "v2 with TLVs": (binary(0x21, 0x11, FOUR + TLV), "192.0.2.1"),
    "v2 longest": (binary(0x21, 0x11, FOUR + bytes(LONGEST - 16 - len(FOUR))), "192.0.2.1"),
    "v2 unix": (binary(0x21, 0x31, bytes(216)), None),
    "v2 unspecified": (binary(0x21, 0x00, b""), None),
    "v2 LOCAL": (binary(0x20, 0x00, b""), None),
    "v2 LOCAL with addresses": (binary(0x20, 0x11, FOUR + TLV), None),
}
BAD = {
    "no head": BEHIND,
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "lower case": b"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    "two blanks": b"PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    "no port": b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
    "one port too many": b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
    "port too high": b"PROXY TCP4 192.0.2.1 10.0.0.1 70000 2\r\n",
    "signed port": b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
    "no address": b"PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
    "name instead of an address": b"PROXY TCP4 localhost 10.0.0.1 1 2\r\n",
    "IPv4 said to be IPv6": b"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
    "IPv6 said to be IPv4": b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
    "zone": b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
    "UDP": b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
    "bare line feed": b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n" + b"x" * 107,
    "endless line": b"PROXY TCP4 " + b"1" * 200,
    "line too long": b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n",
    "version 3": binary(0x31, 0x11, FOUR),
    "unknown command": binary(0x22, 0x11, FOUR),
    "datagram": binary(0x21, 0x12, FOUR),
    "unknown family": binary(0x21, 0x41, FOUR),
    "addresses cut short": binary(0x21, 0x11, FOUR[:-1]),
    "unix addresses cut short": binary(0x21, 0x31, bytes(100)),
    "too long": binary(0x21, 0x11, FOUR + bytes(LONGEST)),
    "longest length": binary(0x21, 0x11, FOUR, length=65535),
}


def whole(reader: HeadReader, sent: bytes, piece: int) -> int:
    """Feed a socket's bytes in pieces, as they come; how many were taken until the head was known."""
    taken, arrived = 0, 0
    while reader.introduction is None:
        arrived = min(arrived + piece, len(sent))
        assert arrived > taken, "asks for more than there is"
        took = reader.look(sent[taken:arrived])
        assert 0 < took <= arrived - taken
        taken += took
    return taken


@pytest.mark.parametrize("piece", [1, 2, 5, 11, 12, 13, 15, 16, 17, 50, 10_000])
@pytest.mark.parametrize("name", GOOD)
def test_a_head_is_read_to_its_last_byte_and_no_further(name: str, piece: int) -> None:
    head, source = GOOD[name]
    reader = HeadReader()
    assert whole(reader, head + BEHIND, piece) == len(head)
    assert reader.introduction == Introduction(None if source is None else ip_address(source))


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize("name", BAD)
def test_whatever_else_begins_a_connection_is_refused(name: str, piece: int) -> None:
    """security 5, 6: nothing is taken for a head that is not exactly one, and none is endless."""
    with pytest.raises(BadHead):
        whole(HeadReader(), BAD[name] + BEHIND, piece)


@pytest.mark.parametrize("name", GOOD)
async def test_what_follows_stays_on_the_socket(name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        head, source = GOOD[name]
        reading = asyncio.create_task(read_head(ours))
        for at in range(0, len(head), 29):
            theirs.sendall(head[at : at + 29] + (BEHIND if at + 29 >= len(head) else b""))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(reading, 30) == Introduction(None if source is None else ip_address(source))
        assert ours.recv(1000) == BEHIND


async def test_a_connection_that_ends_within_the_head_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(b"PROXY TCP4 192.0")
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(BadHead):
            await asyncio.wait_for(read_head(ours), 30)
