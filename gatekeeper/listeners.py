"""The sockets that clients connect to: bound before anything else starts, held by the supervisor for its whole life.

On Linux each worker slot has a socket of its own per address (SO_REUSEPORT), so the kernel deals out connections and
those of a crashed worker wait for its successor. Elsewhere all workers share one socket an address. Bound sockets
refuse connections until a worker calls ``listen`` on them: nobody gets in before the gate is ready.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from gatekeeper.config.forms import listen_place
from gatekeeper.errors import StartupError

ONE_PER_SLOT: Final = sys.platform == "linux"  # elsewhere SO_REUSEPORT does not balance, or is another thing
BACKLOG: Final = 1024
PATIENCE: Final = 1.5  # seconds for the workers of a gate that was killed to let go of a port
_RETRY_EVERY: Final = 0.05
Place = tuple[str, int] | tuple[str, int, int, int]  # what the socket module takes and gives, IPv4 and IPv6


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen; ``host`` is an IP address or a name, without brackets. Port 0 lets the system choose.

    ``key`` is the configuration's word for it, said in faults.
    """

    host: str
    port: int
    key: str = "listen"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class Listeners:
    """Bound sockets: ``by_slot[slot]`` is what the worker in that slot serves; the one at ``i`` there belongs to the
    address at ``entries[i]`` of the configuration, since a name may stand for several.
    """

    by_slot: list[list[socket.socket]] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)

    @classmethod
    def bind(cls, addresses: Sequence[str], slots: int, *, key: str = "listen", patience: float = PATIENCE) -> Self:
        """Bind every address of the configuration's ``key`` for ``slots`` workers.

        ``patience`` (seconds) is how long a port may still be in use. Raises StartupError with nothing left bound.
        """
        wanted = [ListenAddress(*listen_place(text), key=key) for text in addresses]
        listeners = cls([[] for _ in range(slots)])
        deadline = time.monotonic() + patience
        try:
            for entry, address in enumerate(wanted):
                listeners._bind(entry, address, deadline)
        except BaseException:
            listeners.close()
            raise
        return listeners

    def _bind(self, entry: int, address: ListenAddress, deadline: float) -> None:
        for family, place in _resolve(address):
            first = bind_alone(address, family, place, deadline)
            self.by_slot[0].append(first)
            self.entries.append(entry)
            beside = first.getsockname()  # what port 0 became
            for sockets in self.by_slot[1:]:
                sockets.append(_bind_beside(address, family, beside) if ONE_PER_SLOT else first)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each bound address."""
        return [one.getsockname()[:2] for one in self.by_slot[0]]

    def close(self) -> None:
        """Let go of every socket; a worker's own copies live on."""
        for sockets in self.by_slot:
            for one in sockets:
                one.close()


def bind_alone(address: ListenAddress, family: socket.AddressFamily, place: Place, deadline: float) -> socket.socket:
    """A socket on an address that nobody else holds, not yet listening. Raises StartupError.

    It is bound without SO_REUSEPORT, which a second gate would share unnoticed, and marked as shareable with its
    own kind afterwards. SO_REUSEADDR is off between here and ``allow_quick_restart``: two bound sockets that both
    have it do not see each other until one listens.
    """
    while True:
        one = _socket(family)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections in TIME_WAIT do not count
            one.bind(place)
        except OSError as fault:
            one.close()
            if fault.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise StartupError(f"{address.key}: {address} {_plainly(fault, address)}") from None
        else:
            if ONE_PER_SLOT:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            return one
        time.sleep(_RETRY_EVERY)


def allow_quick_restart(one: socket.socket) -> None:
    """Called right before ``listen``: connections accepted here do not block the next start's ``bind``."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def bind_one(address: ListenAddress, *, patience: float = PATIENCE) -> socket.socket:
    """One socket for a server beside the gate. Raises StartupError."""
    family, place = _resolve(address)[0]
    return bind_alone(address, family, place, time.monotonic() + patience)


def _bind_beside(address: ListenAddress, family: socket.AddressFamily, place: Place) -> socket.socket:
    one = _socket(family)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(place)
    except OSError as fault:
        one.close()
        raise StartupError(f"{address.key}: {address} {_plainly(fault, address)}") from None
    return one


def _socket(family: socket.AddressFamily) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setblocking(False)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 is an entry of its own
    return one


def _resolve(address: ListenAddress) -> list[tuple[socket.AddressFamily, Place]]:
    """Every address that a name stands for, each once."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise StartupError(
            f"{address.key}: {address.host} is neither an address nor a name that can be resolved"
        ) from None
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found if isinstance(place[0], str)))


def _plainly(fault: OSError, address: ListenAddress) -> str:
    match fault.errno:
        case errno.EADDRINUSE:
            return "is in use by another program; end it, or choose another address"
        case errno.EACCES:
            return f"is not allowed: ports below {_first_free_port()} need root or CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            return f"cannot be used: {address.host} is not an address of this machine"
        case _:
            return f"cannot be used: {os.strerror(fault.errno or 0)}"


def _first_free_port() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as setting:  # noqa: PTH123  # not a path of ours
            return int(setting.read())
    except (OSError, ValueError):
        return 1024
