"""Calls that the gate makes to addresses of its configuration: webhooks, the check of leaked passwords (security 30).

Names are resolved here, private addresses are refused unless the configuration lists their network, and the connection
goes to exactly the addresses that were judged. Redirects are not followed, the environment's proxies not used.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052


class PrivateAddress(OSError):
    """The name leads into a network that the configuration does not list."""


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
    return address


def reachable(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether the gate may call this address: a public one, or one in a network that is listed."""
    meant = _inner(address)
    if any(one in network for network in allowed for one in {address, meant} if one.version == network.version):
        return True
    return meant.is_global and not meant.is_multicast and not meant.is_reserved


class JudgedResolver(AbstractResolver):
    """The system's resolver, less the addresses that may not be called."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError for an unknown name, PrivateAddress where it leads where it must not."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        # One private address among public ones is no accident: the name is refused as a whole.
        addresses = [ip_address(place[0]) for *_, place in found]
        if not all(reachable(address, self._allowed) for address in addresses):
            why = f"{host} leads to a private address that notify.allow_private does not list"
            raise PrivateAddress(errno.EACCES, why)
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
            for kind, _, _, _, place in found
        ]

    async def close(self) -> None:
        """There is nothing to let go of."""


class Outbound:
    """Makes sessions under the rules above; ``timeout`` (seconds) is for a whole answer."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)

    def refused(self, url: str) -> str | None:
        """Why an address of numbers may not be called, which no resolver gets to see; None where it may."""
        host = URL(url).host or ""
        try:
            address = ip_address(host)
        except ValueError:
            return None
        if reachable(address, self._allowed):
            return None
        return f"{host} is a private address that notify.allow_private does not list"

    def session(self, timeout: float) -> aiohttp.ClientSession:
        """A session for one call, to be closed after it."""
        connector = aiohttp.TCPConnector(
            resolver=JudgedResolver(self._allowed), use_dns_cache=False, force_close=True, limit=1
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout),
            trust_env=False,
            auto_decompress=False,
        )
