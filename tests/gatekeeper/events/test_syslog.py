"""Events to syslog servers of every transport."""

import asyncio
import contextlib
import json
import re
import socket

import pytest
from factories import NOW
from mail_server import own_authority

from gatekeeper.errors import StartupError
from gatekeeper.events.event import Event
from gatekeeper.events.hub import Undelivered
from gatekeeper.events.names import Wanted
from gatekeeper.events.syslog import Syslog, SyslogServer

ALL = Wanted(["*"])
HEAD = re.compile(r"<(\d+)>1 (\S+) (\S+) gatekeeper (\d+) (\S+) - (.*)", re.DOTALL)


def _event(name="login.failure", **data):
    return Event(name, "e1", NOW, data)


def _parsed(message):
    priority, time, _, _, name, text = HEAD.fullmatch(message.decode()).groups()
    assert time == "2027-01-15T08:00:00.000Z"
    assert json.loads(text)["type"] == name
    return int(priority), json.loads(text)


@pytest.fixture
def datagrams(tmp_path, short_tmp):
    opened = []

    def bind(transport):
        family = socket.AF_UNIX if transport == "unix" else socket.AF_INET
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        opened.append(receiver)
        receiver.settimeout(60)
        receiver.bind(str(short_tmp / "log") if transport == "unix" else ("127.0.0.1", 0))
        place = receiver.getsockname()
        return receiver, SyslogServer(transport, *([place] if transport == "unix" else place))

    yield bind
    for one in opened:
        one.close()


class Collector:
    """A server that reads octet-counted messages (RFC 6587) off each connection."""

    def __init__(self, context=None):
        self.messages = asyncio.Queue()
        self.writers = []
        self.context = context

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.hang_up()

    def hang_up(self):
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while True:
                size = int(await reader.readuntil(b" "))
                self.messages.put_nowait(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    async def next(self):
        async with asyncio.timeout(60):
            return await self.messages.get()


@pytest.mark.parametrize("transport", ["udp", "unix"])
async def test_a_datagram_an_event(datagrams, transport):
    receiver, server = datagrams(transport)
    await Syslog(server, "auth", Wanted(["login.*"])).take(
        [_event(a="ä"), _event("user.lock"), _event("login.success")]
    )
    first, second = (_parsed(receiver.recv(65536)) for _ in range(2))
    assert first == (4 * 8 + 4, {**first[1], "data": {"a": "ä"}})
    assert second[0] == 4 * 8 + 6


async def test_what_is_too_large_for_a_datagram_says_so(datagrams):
    receiver, server = datagrams("udp")
    await Syslog(server, "local7", ALL).take([_event(a="x" * 100_000)])
    priority, said = _parsed(receiver.recv(65536))
    assert said["truncated"] is True
    assert priority == 23 * 8 + 4


@pytest.mark.parametrize("secure", [False, True])
async def test_one_connection_carries_many_and_is_made_anew_when_lost(tmp_path, secure):
    context, authority = own_authority(tmp_path) if secure else (None, None)
    async with Collector(context) as collector:
        syslog = Syslog(SyslogServer("tls" if secure else "tcp", "127.0.0.1", collector.port, authority), "auth", ALL)
        await syslog.take([_event(), _event("user.lock")])
        assert _parsed(await collector.next())[1]["type"] == "login.failure"
        priority, said = _parsed(await collector.next())
        assert (priority, said["type"]) == (4 * 8 + 5, "user.lock")
        assert len(collector.writers) == 1
        collector.hang_up()
        async with asyncio.timeout(60):
            with contextlib.suppress(OSError):
                await syslog._reader.read()
        await syslog.take([_event("user.unlock")])
        assert _parsed(await collector.next())[1]["type"] == "user.unlock"
        syslog._part()


async def test_a_server_whose_certificate_is_somebody_elses_gets_nothing(tmp_path):
    context, _ = own_authority(tmp_path)
    async with Collector(context) as collector:
        syslog = Syslog(SyslogServer("tls", "127.0.0.1", collector.port), "auth", ALL)
        with pytest.raises(Undelivered, match="certificate verify failed"):
            await syslog.take([_event()])
        assert collector.messages.empty()


async def test_a_server_that_is_not_there_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Undelivered, match=f"tcp://127.0.0.1:{port}"):
            await Syslog(SyslogServer("tcp", "127.0.0.1", port), "auth", ALL).take([_event()])


async def test_a_socket_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Undelivered, match="nolog"):
        await Syslog(SyslogServer("unix", str(tmp_path / "nolog")), "auth", ALL).take([_event()])


def test_an_authority_that_is_none_ends_the_start(tmp_path):
    with pytest.raises(StartupError, match=r"notify\.syslog\.ca"):
        Syslog(SyslogServer("tls", "x", 1, tmp_path / "none.pem"), "auth", ALL)
