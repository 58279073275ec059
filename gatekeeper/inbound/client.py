"""Who is calling: the address behind trusted proxies. Used by ``inbound.request``, verify, bans and limits.

The peer is who holds the socket, the client whom trusted peers speak for. Nothing that a client sends moves the
result: only an unbroken chain of ``trusted_proxies``, walked from the right, is believed (security 5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from policies.model import Address

Network = IPv4Network | IPv6Network

_REMEMBERED: Final = 4096
_V4_PORT: Final = re.compile(r"([0-9.]{7,15})(?::[0-9]{1,5})?")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~-]{1,32})?)\](?::[0-9]{1,5})?")
_LOWER_HALF: Final = (1 << 64) - 1
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class _KnownV4(IPv4Address):
    """An address that is asked for its text and its hash more than once a request, which cost a microsecond each."""

    __slots__ = ("_hash", "_text", "rate_key")

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self._text = super().__str__()
        self._hash = super().__hash__()
        self.rate_key = self._text

    def __str__(self) -> str:
        return self._text

    def __hash__(self) -> int:
        return self._hash


class _KnownV6(IPv6Address):
    """The same."""

    __slots__ = ("_hash", "_text", "rate_key")

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self._text = super().__str__()
        self._hash = super().__hash__()
        self.rate_key = f"{IPv6Address(value & ~_LOWER_HALF)}/64"

    def __str__(self) -> str:
        return self._text

    def __hash__(self) -> int:
        return self._hash


def parse_address(text: str) -> Address | None:
    """An IPv4 or IPv6 address in its one form: ``::ffff:`` mapped to IPv4, without a zone; None if it is neither."""
    try:
        if ":" not in text:
            return _KnownV4(int(IPv4Address(text)))
        address = IPv6Address(text.partition("%")[0])
    except AddressValueError:
        return None
    mapped = address.ipv4_mapped
    return _KnownV6(int(address)) if mapped is None else _KnownV4(int(mapped))


class TrustedProxies:
    """The networks whose word on scheme, host and client counts."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self.replace(networks)

    def replace(self, networks: Sequence[Network]) -> None:
        """Trust these from now on, and no others."""
        self._v4 = tuple((int(net.netmask), int(net.network_address)) for net in networks if net.version == 4)
        self._v6 = tuple((int(net.netmask), int(net.network_address)) for net in networks if net.version == 6)
        self._v4 += tuple(_unmapped(net) for net in networks if net.version == 6 and net.subnet_of(_MAPPED))
        self._peers: dict[str, tuple[Address, bool]] = {}

    def trusts(self, address: Address) -> bool:
        """Whether this (normalised) address is one of them."""
        value = int(address)
        for mask, network in self._v4 if address.version == 4 else self._v6:  # noqa: SIM110 - a generator costs more
            if value & mask == network:
                return True
        return False

    def peer(self, text: str) -> tuple[Address, bool] | None:
        """Address and trust of a socket's other end, or None where it has no IP address (a unix socket)."""
        known = self._peers.get(text)
        if known is not None:
            return known
        return self._learn(text, text)

    def element(self, text: str) -> tuple[Address, bool] | None:
        """Address and trust of one element of X-Forwarded-For, which may have a port; None where it is unreadable."""
        known = self._peers.get(text)
        if known is not None:
            return known
        bare = _V4_PORT.fullmatch(text) or _BRACKETED.fullmatch(text)
        return self._learn(text, text if bare is None else bare[1])

    def _learn(self, text: str, bare: str) -> tuple[Address, bool] | None:
        address = parse_address(bare)
        if address is None:
            return None
        if len(self._peers) >= _REMEMBERED:
            self._peers.clear()
        found = self._peers[text] = (address, self.trusts(address))
        return found


def _unmapped(network: Network) -> tuple[int, int]:
    """Mask and address of the IPv4 network that ``::ffff:a.b.c.d/n`` stands for."""
    return int(network.netmask) & 0xFFFFFFFF, int(network.network_address) & 0xFFFFFFFF


def derive_client(peer: Address, lines: Sequence[str], trusted: TrustedProxies) -> Address | None:
    """The client's address from the X-Forwarded-For lines, or None where a trusted peer sent what nobody can read.

    An untrusted peer is its own client, whatever it sends; so is a trusted one without the field. Elements left
    of the first that is not trusted were written by a stranger and are not even looked at. Where the whole
    chain is trusted, its far end is the client.
    """
    if not lines or not trusted.trusts(peer):
        return peer
    client = peer
    for line in reversed(lines):  # RFC 9110 5.2: several lines are one list
        for element in reversed(line.split(",")):
            found = trusted.element(element.strip(" \t"))
            if found is None:
                return None
            client = found[0]
            if not found[1]:
                return client
    return client


def rate_key(address: Address) -> str:
    """What limits count: an IPv4 address, or the /64 of an IPv6 one, which is what one subscriber gets."""
    if isinstance(address, _KnownV4 | _KnownV6):
        return address.rate_key
    if address.version == 4:
        return str(address)
    return f"{IPv6Address(int(address) & ~_LOWER_HALF)}/64"
