"""Networks that an operator has listed: autonomous systems by number, others by address. For ``policies.anomalies``."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

from policies.model import Address

Network: TypeAlias = IPv4Network | IPv6Network


class Listed:
    """The list in force. A number is that of an autonomous system."""

    __slots__ = ("_systems", "_v4", "_v6")

    def __init__(self, entries: Iterable[int | Network] = ()) -> None:
        self.replace(list(entries))

    def __len__(self) -> int:
        return len(self._systems) + sum(len(found) for _, found in (*self._v4, *self._v6))

    def replace(self, entries: Iterable[int | Network]) -> None:
        """These from now on, and no others."""
        entries = list(entries)
        self._systems = frozenset(entry for entry in entries if isinstance(entry, int))
        networks = [entry for entry in entries if not isinstance(entry, int)]
        self._v4 = _tables([network for network in networks if network.version == 4])
        self._v6 = _tables([network for network in networks if network.version == 6])

    def naming(self, address: Address, asn: int | None) -> str | None:
        """The entry that this one falls under, such as ``185.220.100.0/24`` or ``AS64500``; the narrowest."""
        value = int(address)
        for mask, found in self._v4 if address.version == 4 else self._v6:
            if value & mask in found:
                return found[value & mask]
        return f"AS{asn}" if asn is not None and asn in self._systems else None


def _tables(networks: Iterable[Network]) -> tuple[tuple[int, dict[int, str]], ...]:
    """By mask, the narrowest first: the bits of each network and how people write it."""
    tables: dict[int, dict[int, str]] = {}
    for network in networks:
        whole = network.prefixlen == network.max_prefixlen
        text = str(network.network_address) if whole else str(network)
        tables.setdefault(int(network.netmask), {})[int(network.network_address)] = text
    return tuple(sorted(tables.items(), reverse=True))
