"""Lists of networks that stand in files of their own, such as those that CDNs publish or of Tor's exits.

Used for ``trusted_proxies`` and ``anomalies.listed_networks``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from gatekeeper.config.types import Network, parse_network

Entry = TypeVar("Entry")
MARK: Final = "file:"
LARGEST: Final = 1 << 20  # bytes of a file
MOST_SYSTEMS: Final = (1 << 32) - 1  # the highest number of an autonomous system (RFC 6793)
_SYSTEM: Final = re.compile(r"(?:AS)?([1-9][0-9]{0,9})", re.IGNORECASE)


class BadNetworks(ValueError):
    """A file that is no list of networks, in words for an operator; they name the file and the line."""


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A text file with one network in CIDR, or one address, a line; ``#`` begins a comment."""

    path: Path

    def __str__(self) -> str:
        return f"{MARK}{self.path}"

    def read(self) -> list[Network]:
        """Its networks. Raises BadNetworks, also for a file without any: half a download is no list."""
        return self._read(parse_network)

    def _read(self, parse: Callable[[str], Entry]) -> list[Entry]:
        try:
            with self.path.open("rb") as stream:
                content = stream.read(LARGEST + 1)
        except OSError as fault:
            raise BadNetworks(f"{self.path}: {fault.strerror or 'cannot be read'}") from None
        if len(content) > LARGEST:
            raise BadNetworks(f"{self.path} has more than {LARGEST >> 20} MiB")
        found: list[Entry] = []
        for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                found.append(parse(text))
            except ValueError as fault:
                raise BadNetworks(f"{self.path}:{number}: {fault}") from None
        if not found:
            raise BadNetworks(f"{self.path} holds no network")
        return found


@dataclass(frozen=True, slots=True)
class ListedFile(NetworkFile):
    """The same with autonomous systems among the lines, such as ``AS64500``."""

    def read_listed(self) -> list[int | Network]:
        """Its entries. Raises BadNetworks."""
        return self._read(parse_listed_one)


def parse_listed_one(value: Any) -> int | Network:
    """The number of an autonomous system, a network or an address. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _SYSTEM.fullmatch(value.strip())):
        number = int(match[1])
    else:
        return parse_network(value)
    if not 1 <= number <= MOST_SYSTEMS:
        raise ValueError(f"an autonomous system has a number from 1 to {MOST_SYSTEMS}")
    return number


def parse_listed(value: Any) -> int | Network | ListedFile:
    """One of those, or ``file:PATH``. Raises ValueError."""
    if isinstance(value, ListedFile):
        return value
    if isinstance(value, str) and value.startswith(MARK):
        return ListedFile(path_of(value))
    return parse_listed_one(value)


def parse_networks(value: Any) -> Network | NetworkFile:
    """A network, or ``file:PATH``. Raises ValueError."""
    if isinstance(value, NetworkFile):
        return value
    if isinstance(value, str) and value.startswith(MARK):
        return NetworkFile(path_of(value))
    return parse_network(value)


def path_of(text: str) -> Path:
    """The path behind ``file:``. Raises ValueError."""
    path = text.removeprefix(MARK).strip()
    if not path or path.startswith("//") or "\0" in path:
        raise ValueError("a file of networks is written file:./networks.txt or file:/whole/path")
    return Path(path)


def all_networks(entries: Iterable[Network | NetworkFile]) -> list[Network]:
    """Every network of a list and of the files that it names. Raises BadNetworks."""
    found: list[Network] = []
    for entry in entries:
        found += entry.read() if isinstance(entry, NetworkFile) else [entry]
    return found


def all_listed(entries: Iterable[int | Network | ListedFile]) -> list[int | Network]:
    """Every entry of a list and of the files that it names. Raises BadNetworks."""
    found: list[int | Network] = []
    for entry in entries:
        found += entry.read_listed() if isinstance(entry, ListedFile) else [entry]
    return found


def files_of(entries: Iterable[int | Network | NetworkFile]) -> list[Path]:
    """The files that a list names."""
    return [entry.path for entry in entries if isinstance(entry, NetworkFile)]


NetworkOrFile = Annotated[
    Any,
    BeforeValidator(parse_networks),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "file:./cdn.txt"]}),
]
ListedOrFile = Annotated[
    Any,
    BeforeValidator(parse_listed),
    PlainSerializer(lambda entry: entry if isinstance(entry, int) else str(entry)),
    WithJsonSchema({"type": ["integer", "string"], "examples": [64500, "185.220.100.0/24", "file:./tor-exits.txt"]}),
]
