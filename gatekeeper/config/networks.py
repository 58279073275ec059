"""Lists of networks that stand in files of their own, such as those that CDNs publish. Used for ``trusted_proxies``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from gatekeeper.config.types import Network, parse_network

MARK: Final = "file:"
LARGEST: Final = 1 << 20  # bytes of a file


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
        try:
            with self.path.open("rb") as stream:
                content = stream.read(LARGEST + 1)
        except OSError as fault:
            raise BadNetworks(f"{self.path}: {fault.strerror or 'cannot be read'}") from None
        if len(content) > LARGEST:
            raise BadNetworks(f"{self.path} has more than {LARGEST >> 20} MiB")
        found: list[Network] = []
        for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                found.append(parse_network(text))
            except ValueError as fault:
                raise BadNetworks(f"{self.path}:{number}: {fault}") from None
        if not found:
            raise BadNetworks(f"{self.path} holds no network")
        return found


def parse_networks(value: Any) -> Network | NetworkFile:
    """A network, or ``file:PATH``. Raises ValueError."""
    if isinstance(value, NetworkFile):
        return value
    if isinstance(value, str) and value.startswith(MARK):
        path = value.removeprefix(MARK).strip()
        if not path or path.startswith("//") or "\0" in path:
            raise ValueError("a file of networks is written file:./networks.txt or file:/whole/path")
        return NetworkFile(Path(path))
    return parse_network(value)


def all_networks(entries: Iterable[Network | NetworkFile]) -> list[Network]:
    """Every network of a list and of the files that it names. Raises BadNetworks."""
    found: list[Network] = []
    for entry in entries:
        found += entry.read() if isinstance(entry, NetworkFile) else [entry]
    return found


def files_of(entries: Iterable[Network | NetworkFile]) -> list[Path]:
    """The files that a list names."""
    return [entry.path for entry in entries if isinstance(entry, NetworkFile)]


NetworkOrFile = Annotated[
    Any,
    BeforeValidator(parse_networks),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "file:./cdn.txt"]}),
]
