"""Host fields: what a well-formed one says, and which hosts are served. Used by ``inbound.target`` and the gate.

One host has one spelling here: lower case, no trailing dot (refused, since it would be another cookie scope and
another key for rules), IPv6 compressed (RFC 5952), a port without leading zeros.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from gatekeeper.errors import ConfigError, Fault

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_PORT: Final = r"(?::([1-9][0-9]{0,4}))?"
_NAME: Final = re.compile(rf"({_LABEL}(?:\.{_LABEL})*){_PORT}")
_LITERAL: Final = re.compile(rf"\[([0-9A-Fa-f:.]{{2,45}})\]{_PORT}")
_MAX_NAME: Final = 253
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_REMEMBERED: Final = 1024
_MAX_FIELD: Final = 300

HostPort = tuple[str, int | None]
_parsed: dict[str, HostPort] = {}


def parse_host(field: str) -> HostPort | None:
    """Host and port (None where none is named) of a Host field (RFC 9110 7.2), or None where it is malformed.

    No user information, no empty port, no percent-encoding, no zone: names, IPv4 and bracketed IPv6 only.
    """
    known = _parsed.get(field)
    if known is not None:
        return known
    found = _parse(field)
    if found is not None:
        if len(_parsed) >= _REMEMBERED:  # emptied when full, so that no client can fill it for good
            _parsed.clear()
        _parsed[field] = found
    return found


def _parse(field: str) -> HostPort | None:
    if len(field) > _MAX_FIELD:
        return None
    name = _NAME.fullmatch(field)
    if name is not None and len(name[1]) <= _MAX_NAME:
        return _with_port(name[1].lower(), name[2])
    literal = _LITERAL.fullmatch(field)
    if literal is None:
        return None
    try:
        return _with_port(str(IPv6Address(literal[1])), literal[2])
    except AddressValueError:
        return None


def _with_port(host: str, port: str | None) -> HostPort | None:
    if port is None:
        return host, None
    return (host, int(port)) if int(port) <= 0xFFFF else None


class HostList:
    """The hosts that are served: ``public_url``'s, and those of ``hosts``.

    ``hosts`` holds ``name``, ``name:port`` or ``*.name`` (every name below it, at any depth); without a port
    any will do. Raises ConfigError naming every entry that is none of these.
    """

    def __init__(self, public_url: str, hosts: Sequence[str] = ()) -> None:
        url = urlsplit(public_url)
        self._default_port = _DEFAULT_PORTS.get(url.scheme)
        self._exact: set[HostPort] = set()
        self._any_port: set[str] = set()
        self._below: dict[str, set[int | None]] = {}
        faults: list[Fault] = []
        public = parse_host(url.netloc)
        if public is None or self._default_port is None:
            faults.append(Fault("public_url", f"{public_url!r} is not an http or https address with a plain host"))
        else:
            self._add_exact(public[0], public[1] or self._default_port)
        for position, entry in enumerate(hosts):
            if not self._add(entry):
                faults.append(
                    Fault(f"hosts[{position}]", f"{entry!r} is not a host, host:port or *.host (IDNA names as xn--...)")
                )
        if faults:
            raise ConfigError(faults)

    def _add(self, entry: str) -> bool:
        below = entry.startswith("*.")
        parsed = parse_host(entry.removeprefix("*."))
        if parsed is None:
            return False
        host, port = parsed
        if below:
            ports = self._below.setdefault(f".{host}", set())
            ports.add(port)
            if port == self._default_port:
                ports.add(0)
        elif port is None:
            self._any_port.add(host)
        else:
            self._add_exact(host, port)
        return True

    def _add_exact(self, host: str, port: int) -> None:
        self._exact.add((host, port))
        if port == self._default_port:  # a Host field leaves the scheme's own port out
            self._exact.add((host, None))

    def serves(self, host: str, port: int | None) -> bool:
        """Whether requests for this host are answered at all (else 421 ``unknown-host``).

        ``port`` is None where the Host field names none; then public_url's scheme says which is meant.
        """
        if (host, port) in self._exact or host in self._any_port:
            return True
        return bool(self._below) and self._serves_below(host, port)

    def _serves_below(self, host: str, port: int | None) -> bool:
        dot = host.find(".")
        while dot > 0:
            ports = self._below.get(host[dot:])
            if ports is not None and (None in ports or (0 if port is None else port) in ports):
                return True
            dot = host.find(".", dot + 1)
        return False
