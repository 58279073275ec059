"""listeners: who may bind what, and when."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from gatekeeper.errors import StartupError
from gatekeeper.listeners import ListenAddress, Listeners, allow_quick_restart, bind_one

Sockets = list[socket.socket]


@pytest.fixture
def opened() -> Iterator[Sockets]:
    """Sockets to close at the end."""
    sockets: Sockets = []
    yield sockets
    for one in sockets:
        one.close()


def bound(count: int = 2) -> Listeners:
    return Listeners.bind(["127.0.0.1:0"], count)


def listen(listeners: Listeners) -> None:
    for sockets in listeners.by_slot:
        for one in sockets:
            allow_quick_restart(one)
            one.listen(64)


def place(listeners: Listeners) -> str:
    host, port = listeners.addresses[0]
    return f"{host}:{port}"


@pytest.mark.parametrize("listening", [False, True])
def test_address_held_by_another_gate_is_in_use(listening: bool) -> None:
    with closing(bound()) as first:
        if listening:
            listen(first)
        with pytest.raises(StartupError, match=f"^listen: {place(first)} is in use by another program; end it"):
            Listeners.bind([place(first)], 2, patience=0)


def test_bound_sockets_refuse_connections_until_a_worker_listens() -> None:
    with closing(bound()) as listeners:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listeners.addresses[0])
        listen(listeners)
        socket.create_connection(listeners.addresses[0]).close()


def test_connections_left_over_from_the_last_start_do_not_block_the_next(opened: Sockets) -> None:
    with closing(bound(1)) as first:
        listen(first)
        address = place(first)
        opened.append(socket.create_connection(first.addresses[0]))
        (server_side,) = first.by_slot[0]
        server_side.setblocking(True)
        accepted, _ = server_side.accept()
        opened.append(accepted)
    Listeners.bind([address], 2, patience=0).close()  # established
    accepted.close()
    Listeners.bind([address], 2, patience=0).close()  # in TIME_WAIT, since the server's side closed first


def test_every_slot_has_a_socket_for_every_address() -> None:
    with closing(Listeners.bind(["127.0.0.1:0", "[::1]:0"], 3)) as listeners:
        assert len({one.fileno() for sockets in listeners.by_slot for one in sockets}) == 6
        assert len({one.getsockname() for sockets in listeners.by_slot for one in sockets}) == 2
        assert listeners.entries == [0, 1]


def test_fault_with_one_address_lets_go_of_the_others() -> None:
    with closing(bound()) as other:
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with pytest.raises(StartupError, match="in use"):
            Listeners.bind([f"127.0.0.1:{port}", place(other)], 2, patience=0)
        Listeners.bind([f"127.0.0.1:{port}"], 2, patience=0).close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("203.0.113.5:8080", "203.0.113.5 is not an address of this machine"),
        ("no-such-host.invalid:8080", "neither an address nor a name that can be resolved"),
    ],
)
def test_address_that_cannot_be_bound_is_said_plainly(address: str, words: str) -> None:
    with pytest.raises(StartupError, match=words):
        Listeners.bind([address], 1, patience=0)


def test_single_socket_names_the_key_it_is_for() -> None:
    with closing(bind_one(ListenAddress("127.0.0.1", 0))) as held:
        taken = ListenAddress("127.0.0.1", held.getsockname()[1], key="upstreams.api.targets[0]")
        with pytest.raises(StartupError, match=r"^upstreams\.api\.targets\[0\]: 127"):
            bind_one(taken, patience=0)
