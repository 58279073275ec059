"""The 101 and the splice, below any web framework."""

import asyncio
import contextlib
import gc
import random
import socket
import struct

import pytest
from sockets import BINARY, CLOSE, TEXT, closing, frame, read_frame
from upstreams import plays

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream import tunnel as tunnels
from gatekeeper.upstream.connection import Connection
from gatekeeper.upstream.messages import OutboundRequest, encode_head
from gatekeeper.upstream.tunnel import Frames, Parked, Tunnel, close_frame, probe_peer

HEADERS = [(b"Host", b"u"), (b"Sec-WebSocket-Key", b"k")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nX-A: b\r\n\r\n"


def asking(*protocols: bytes, method: str = "GET") -> OutboundRequest:
    return OutboundRequest(method, "/ws", HEADERS, upgrade=protocols or (b"websocket",))


# Where frames begin


@pytest.mark.parametrize("mask", [None, b"abcd"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_begins_where_the_last_one_ends_however_the_bytes_are_cut(size, mask):
    chance = random.Random(size)
    one = [frame(BINARY, bytes(size), mask=mask), frame(TEXT, b"hello", mask=mask), frame(BINARY, mask=mask)]
    stream, ends = b"".join(one), {len(one[0]), len(one[0]) + len(one[1]), sum(map(len, one))}
    near = {cut + by for cut in ends for by in (-2, -1, 0, 1, 2)} | set(range(16))
    for cuts in [[cut] for cut in near if 0 <= cut <= len(stream)] + [
        sorted(chance.choices(range(len(stream)), k=6)) for _ in range(20)
    ]:
        frames, done = Frames(), 0
        for cut in [*cuts, len(stream)]:
            frames.follow(stream[done:cut])
            done = cut
            assert frames.at_boundary is (done in ends or done == 0), (cuts, cut)


def test_a_close_frame_is_noticed_and_a_text_that_looks_like_one_is_not():
    for data, ended in [(frame(TEXT, b"\x88\x00", mask=None), False), (frame(CLOSE, closing(1000), mask=None), True)]:
        frames = Frames()
        for byte in data:
            frames.follow(bytes([byte]))
        assert frames.ended is ended


def test_a_close_frame_is_never_longer_than_a_control_frame_may_be():
    assert close_frame(4401, "session-ended") == b"\x88\x0f\x11\x31session-ended"
    assert len(close_frame(1001, "x" * 500)) == 127


# The request and its 101


def test_the_head_asks_for_the_protocols_in_one_upgrade_field():
    head = encode_head(asking(b"WebSocket", b"foo/1"))
    assert head.endswith(b"\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: WebSocket, foo/1\r\n\r\n")
    assert b"pgrade" not in encode_head(OutboundRequest("GET", "/", [*HEADERS, (b"Upgrade", b"websocket")]))


@pytest.mark.parametrize(
    "request_",
    [
        OutboundRequest("POST", "/", HEADERS, b"body", upgrade=(b"websocket",)),
        asking(b"web\r\nsocket"),
        asking(b"a b"),
        asking(b""),
        asking(b"a/b/c"),
    ],
)
def test_what_cannot_be_asked_for_never_reaches_a_wire(request_):
    with pytest.raises(ValueError, match="switch of protocols"):
        encode_head(request_)


async def test_a_101_gives_the_socket_away_and_frees_its_place(u, make_pool):
    async def script(wire):
        await wire.request()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH + b"early")
        await wire.send(await wire.read())
        await wire.until_closed()

    upstream = await u(script)
    pool = make_pool(upstream, max_connections=1)
    answers = [await pool.send(asking()) for _ in range(3)]  # one slot is enough for any number of tunnels
    assert pool.stats.open == 0
    for answer in answers:
        assert (answer.status, (b"X-A", b"b") in answer.headers, answer.complete_body) == (101, True, None)
        switched = answer.take_switched()
        assert answer.take_switched() is None
        assert switched.protocol == b"WebSocket"
        switched.socket.transport.write(b"hello")
        switched.socket.transport.resume_reading()
        async with asyncio.timeout(30):
            while switched.socket.early != b"earlyhello":  # noqa: ASYNC110 - a socket says no more than this
                await asyncio.sleep(0.001)
        switched.socket.abort()


async def test_a_101_byte_by_byte_is_the_same(u, make_pool):
    async def script(wire):
        await wire.request()
        await wire.dribble(SWITCH + b"ab")
        await wire.until_closed()

    answer = await make_pool(await u(script)).send(asking())
    switched = answer.take_switched()
    switched.socket.transport.resume_reading()
    async with asyncio.timeout(30):
        while switched.socket.early != b"ab":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    switched.socket.abort()


@pytest.mark.parametrize(
    "lie",
    [
        SWITCH.replace(b"WebSocket", b"h2c"),
        SWITCH.replace(b"WebSocket", b"websocket, h2c"),
        SWITCH.replace(b"X-A: b", b"Upgrade: websocket"),
        SWITCH.replace(b"Upgrade: WebSocket\r\n", b""),
        SWITCH.replace(b"keep-alive, Upgrade", b"keep-alive"),
        SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_101_that_does_not_say_what_was_offered_is_no_answer(u, make_pool, lie):
    upstream = await u(plays(lie))
    pool = make_pool(upstream)
    with pytest.raises(UpstreamUnavailable):
        await pool.send(asking())
    assert pool.stats.open == 0


async def test_another_answer_is_an_ordinary_one_and_the_connection_goes_on(u, make_pool):
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno"
    upstream = await u(plays(refusal, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    pool = make_pool(upstream)
    answer = await pool.send(asking())
    assert (answer.status, answer.complete_body, answer.take_switched()) == (403, b"no", None)
    assert (await pool.send(OutboundRequest("GET", "/", HEADERS))).status == 200
    assert len(upstream.wires) == 1


async def test_each_upgrade_gets_a_connection_of_its_own(u, make_pool):
    upstream = await u(plays(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", SWITCH, SWITCH))
    pool = make_pool(upstream)
    await pool.send(OutboundRequest("GET", "/", HEADERS))
    upstream.script = plays(SWITCH)
    (await pool.send(asking())).release()
    assert len(upstream.wires) == 2


async def test_an_upstream_that_never_answers_an_upgrade_is_too_slow(u, make_pool):
    async def silent(wire):
        await wire.until_closed()

    pool = make_pool(await u(silent), first_byte_timeout=0.05)
    with pytest.raises(UpstreamTimeout):
        await pool.send(asking())


async def test_a_caller_that_leaves_as_the_101_comes_leaves_no_socket_behind(u, make_pool, monkeypatch):
    closed = []

    async def script(wire):
        try:
            await wire.request()
            await wire.send(SWITCH)
            await wire.until_closed()
        finally:
            closed.append(wire)

    upstream = await u(script)
    pool = make_pool(upstream)
    for delay in range(12):
        task = asyncio.ensure_future(pool.send(asking()))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await task).release()
    # And in the very tick: the answer is there, its caller has not run yet.
    part_with = Connection._part_with

    def answer_and_cancel(self, *arguments):
        part_with(self, *arguments)
        task.cancel()

    monkeypatch.setattr(Connection, "_part_with", answer_and_cancel)
    task = asyncio.ensure_future(pool.send(asking()))
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        while len(closed) < len(upstream.wires):  # noqa: ASYNC110 - the other side's view
            await asyncio.sleep(0.001)


async def test_a_tunnel_to_a_tls_upstream(u, make_pool, certificates):
    server, client = certificates

    async def script(wire):
        await wire.request()
        await wire.send(SWITCH)
        while data := await wire.read():
            await wire.send(data)

    pool = make_pool(await u(script, tls=server), ssl_context=client)
    async with spliced(framed=False, upstream=(await pool.send(asking())).take_switched().socket) as ends:
        ends.client.write(b"x" * 300_000)
        assert await ends.read(300_000) == b"x" * 300_000
        ends.client.write_eof()
        await ends.over()


# The splice


class Ends:
    """The far ends of a tunnel: what its client and its upstream hold."""

    def __init__(self):
        self.ended = asyncio.Event()
        self.tunnel = None
        self.parked = []
        self.reader = self.client = self.far = self.upstream = None

    async def read(self, size, *, upstream=False):
        async with asyncio.timeout(30):
            return await (self.far if upstream else self.reader).readexactly(size)

    async def rest(self, *, upstream=False):
        """All that comes up to the end; b"RST" behind it where that was no clean one."""
        reader = self.far if upstream else self.reader
        data = b""
        async with asyncio.timeout(30):
            try:
                while part := await reader.read(65536):
                    data += part
            except ConnectionError:
                data += b"RST"
        return data

    async def over(self):
        async with asyncio.timeout(30):
            await self.ended.wait()


async def pair():
    """A TCP connection: the transport of the gate's end, and the reader and writer of the other."""
    loop = asyncio.get_running_loop()
    accepted = loop.create_future()

    async def accept(reader, writer):
        accepted.set_result((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    reader, writer = await accepted
    server.close()
    return transport, reader, writer


@contextlib.asynccontextmanager
async def spliced(*, framed=True, upstream=None, client_early=b"", upstream_early=b""):
    ends = Ends()
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    near, ends.reader, ends.client = await pair()
    if upstream is None:
        far, ends.far, ends.upstream = await pair()
        upstream = Parked(far, upstream_early)
    ends.parked = [near, upstream.transport]
    ends.tunnel = Tunnel(Parked(near, client_early), upstream, framed=framed, on_end=ends.ended.set)
    try:
        yield ends
    finally:
        for writer in (ends.client, ends.upstream):
            if writer is not None:
                writer.transport.abort()
                with contextlib.suppress(Exception):
                    await writer.wait_closed()
        await ends.over()
    assert complaints == []


async def test_bytes_pass_both_ways_with_what_came_early_first():
    async with spliced(client_early=b"first", upstream_early=b"hello") as ends:
        ends.client.write(b" second")
        ends.upstream.write(b" world")
        assert await ends.read(11) == b"hello world"
        assert await ends.read(12, upstream=True) == b"first second"


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_a_half_close_passes_and_the_other_side_may_still_speak(first):
    async with spliced(framed=False) as ends:
        one, other = (ends.client, ends.upstream) if first == "client" else (ends.upstream, ends.client)
        one.write(b"last words")
        one.write_eof()
        assert await ends.rest(upstream=first == "client") == b"last words"
        other.write(b"and mine")
        other.write_eof()
        assert await ends.rest(upstream=first != "client") == b"and mine"
        await ends.over()


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_a_side_that_does_not_follow_the_other_s_end_is_cut_off(first, monkeypatch):
    monkeypatch.setattr(tunnels, "HALF_OPEN", 0.05)
    async with spliced() as ends:
        (ends.client if first == "client" else ends.upstream).write_eof()
        await ends.over()


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_a_reset_passes_as_a_reset(first):
    async with spliced() as ends:
        one = ends.client if first == "client" else ends.upstream
        one.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.transport.abort()
        assert await ends.rest(upstream=first == "client") == b"RST"
        await ends.over()


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_what_was_sent_before_the_end_arrives_at_a_slow_reader(first, monkeypatch):
    monkeypatch.setattr(tunnels, "HALF_OPEN", 0.2)
    async with spliced(framed=False) as ends:
        one, upstream = (ends.client, True) if first == "client" else (ends.upstream, False)
        for end in [*ends.parked, ends.client, ends.upstream]:  # or the system's buffers take it all at once
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        data, taken = random.Random(1).randbytes(1 << 20), b""
        one.write(data)
        one.write_eof()
        while len(taken) < len(data):
            taken += await ends.read(min(8 << 10, len(data) - len(taken)), upstream=upstream)
            await asyncio.sleep(0.02)  # so that it takes longer than HALF_OPEN in all, and less at each look
        assert taken == data


@pytest.mark.parametrize("direction", ["to the client", "to the upstream"])
async def test_a_slow_reader_holds_the_writer_back_and_memory_stays_bounded(direction):
    async with spliced(framed=False) as ends:
        writer, upstream = (ends.upstream, False) if direction == "to the client" else (ends.client, True)
        reader = ends.far if upstream else ends.reader
        for sock in (*(end.get_extra_info("socket") for end in ends.parked), writer.get_extra_info("socket")):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        reader._transport.pause_reading()
        piece, written = b"x" * 65536, 0
        with contextlib.suppress(TimeoutError):
            while written < 200 << 20:
                writer.write(piece)
                written += len(piece)
                async with asyncio.timeout(1):
                    await writer.drain()
        assert written < 32 << 20  # the sockets' own buffers, not ours
        assert all(end.get_write_buffer_size() < 512 << 10 for end in ends.parked)
        reader._transport.resume_reading()
        got = 0
        while got < written:
            got += len(await ends.read(min(65536, written - got), upstream=upstream))


async def test_an_ended_session_is_told_between_two_frames():
    async with spliced() as ends:
        ends.upstream.write(frame(TEXT, b"hello", mask=None))
        await ends.read(7)
        ends.client.write(b"unread")
        ends.tunnel.close(4401, "session-ended")
        ends.tunnel.close(1001, "twice")
        async with asyncio.timeout(30):
            assert await read_frame(ends.reader) == (0x88, closing(4401, b"session-ended"))
        assert await ends.rest() == b""
        for _ in range(10):  # what a client says that has not yet understood
            ends.client.write(frame(TEXT, b"late"))
            await ends.client.drain()
        assert (await ends.rest(upstream=True)).removesuffix(b"RST") in {b"", b"unread"}
        ends.client.write_eof()
        await ends.over()


async def test_a_client_that_does_not_answer_the_close_frame_is_cut_off(monkeypatch):
    monkeypatch.setattr(tunnels, "FAREWELL", 0.05)
    async with spliced() as ends:
        ends.tunnel.close(4401, "session-ended")
        await ends.over()
        assert await ends.rest() in {close_frame(4401, "session-ended"), close_frame(4401, "session-ended") + b"RST"}


@pytest.mark.parametrize("cut", [1, 2, 5])
async def test_in_the_middle_of_a_frame_it_resets(cut):
    async with spliced() as ends:
        ends.upstream.write(frame(TEXT, b"hello", mask=None)[:cut])
        await ends.read(cut)
        ends.tunnel.close(4401, "session-ended")
        assert await ends.rest() == b"RST"
        await ends.over()


async def test_another_protocol_is_reset():
    async with spliced(framed=False) as ends:
        ends.tunnel.close(4401, "session-ended")
        assert await ends.rest() == b"RST"
        await ends.over()


async def test_nothing_follows_the_upstream_s_own_close_frame():
    async with spliced() as ends:
        own = frame(CLOSE, closing(1000), mask=None)
        ends.upstream.write(own)
        await ends.read(len(own))
        ends.tunnel.close(4401, "session-ended")
        assert await ends.rest() == b""
        ends.client.write_eof()
        await ends.over()


async def test_a_client_that_had_half_closed_is_told_too(monkeypatch):
    monkeypatch.setattr(tunnels, "FAREWELL", 1000)
    async with spliced() as ends:
        ends.client.write_eof()
        assert await ends.rest(upstream=True) == b""
        ends.tunnel.close(1001, "going-away")
        assert await ends.rest() == close_frame(1001, "going-away")
        await ends.over()


async def test_a_client_that_does_not_read_is_cut_off_all_the_same(monkeypatch):
    monkeypatch.setattr(tunnels, "FAREWELL", 0.05)
    async with spliced() as ends:
        ends.reader._transport.pause_reading()
        data = frame(BINARY, bytes(64 << 20), mask=None)
        ends.upstream.write(data)
        async with asyncio.timeout(30):
            while not ends.parked[0].get_write_buffer_size():  # noqa: ASYNC110 - the gate's own buffer
                await asyncio.sleep(0.001)
        ends.tunnel.close(4401, "session-ended")
        await ends.over()


async def test_both_sockets_probe_for_a_vanished_peer():
    async with spliced() as ends:
        for end in ends.parked:
            sock = end.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    for end in ends.parked:
        probe_peer(end)  # a closed one is left alone


async def test_a_client_that_was_held_back_is_heard_out_after_the_close_frame(monkeypatch):
    monkeypatch.setattr(tunnels, "FAREWELL", 1000)
    async with spliced() as ends:
        ends.far._transport.pause_reading()
        with contextlib.suppress(TimeoutError):
            while True:
                ends.client.write(bytes(65536))
                async with asyncio.timeout(0.5):
                    await ends.client.drain()
        ends.tunnel.close(4401, "session-ended")
        assert await ends.rest() == close_frame(4401, "session-ended")
        ends.client.write_eof()
        await ends.over()


async def test_a_parked_socket_is_left_unread(u, make_pool):
    async def script(wire):
        await wire.request()
        await wire.send(SWITCH + bytes(8 << 20))
        await wire.until_closed()

    switched = (await make_pool(await u(script)).send(asking())).take_switched()
    await asyncio.sleep(0.3)
    assert len(switched.socket.early) < 1 << 20
    switched.socket.abort()


async def test_a_side_that_was_gone_before_the_splice_ends_the_other(monkeypatch):
    monkeypatch.setattr(tunnels, "HALF_OPEN", 1000)
    near, reader, writer = await pair()
    far, far_reader, far_writer = await pair()
    client, upstream = Parked(near), Parked(far)
    client.abort()
    while not client.lost:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    ended = asyncio.Event()
    Tunnel(client, upstream, framed=True, on_end=ended.set)
    async with asyncio.timeout(30):
        assert await far_reader.read() == b""
        far_writer.close()
        await ended.wait()
        writer.close()
        for one in (writer, far_writer):
            with contextlib.suppress(ConnectionError):
                await one.wait_closed()
        assert await reader.read() == b""


async def test_a_tunnel_that_is_over_leaves_nothing_to_the_collector():
    def left():
        return [one for one in gc.get_objects() if isinstance(one, Tunnel | tunnels._Side)]

    gc.collect()
    gc.disable()
    try:
        async with spliced() as ends:
            assert len(left()) == 3
            ends.client.write_eof()
            ends.upstream.write_eof()
            await ends.over()
            ends.tunnel = None
            async with asyncio.timeout(30):
                while left():  # noqa: ASYNC110 - until the loop lets go of its handles
                    await asyncio.sleep(0.001)
    finally:
        gc.enable()
