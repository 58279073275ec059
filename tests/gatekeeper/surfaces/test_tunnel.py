"""WebSocket, and other protocols, through the gate as client and upstream see them (security 7)."""

import asyncio
import random
import socket
import struct
from pathlib import Path

import aiohttp
import pytest
from gates import bearer, running_gate
from sockets import ASKING, BINARY, CLOSE, KEY, PING, PONG, RULES, SWITCHING, TEXT, Wire, closing, frame, until
from upstreams import Upstream

CONTINUATION = 0x0


def open_files():
    """How many files and sockets this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


# A message's way


async def test_messages_pass_both_ways_in_any_size(ws_gate):
    tokens = await ws_gate.newcomer()
    async with ws_gate.client.ws_connect(ws_gate.url + "/x", headers=bearer(tokens), max_msg_size=0) as ws:
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20, 5 << 20):
            data = random.Random(size).randbytes(size)
            await ws.send_bytes(data)
            assert await ws.receive_bytes(timeout=60) == data
        await ws.send_str("grüße")
        assert await ws.receive_str(timeout=30) == "grüße"


async def test_many_messages_under_way_at_once_keep_their_order(ws_gate):
    tokens = await ws_gate.newcomer()
    async with ws_gate.client.ws_connect(ws_gate.url + "/x", headers=bearer(tokens)) as ws:
        for number in range(2000):
            await ws.send_str(str(number))
        assert [await ws.receive_str(timeout=30) for _ in range(2000)] == [str(number) for number in range(2000)]


async def test_compressed_messages_and_subprotocols_are_the_upstream_s_business(ws_gate):
    tokens = await ws_gate.newcomer()
    url = ws_gate.url + "/deflate"
    async with ws_gate.client.ws_connect(url, headers=bearer(tokens), compress=15, protocols=["chat"]) as ws:
        assert (ws.protocol, ws.compress) == ("chat", 15)
        await ws.send_str("abc" * 10_000)
        assert await ws.receive_str(timeout=30) == "abc" * 10_000


async def test_the_upstream_is_told_who_asks_and_the_client_gets_the_101_s_fields(postgres_dsn, redis_url, tmp_path):
    """security 3, 29"""
    switching = SWITCHING.replace(b"\r\n\r\n", b"\r\nX-Gate-User: evil\r\nSet-Cookie: gate=evil\r\nX-Kept: 1\r\n\r\n")

    async def script(wire):
        await wire.request()
        await wire.send(switching)
        await wire.until_closed()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            fields = ["X-Gate-User: evil", "X-Gate_Subject: evil", "Sec-WebSocket-Protocol: chat", "Origin: http://a"]
            head = await client.open("/x?a=%2F", *fields, tokens=tokens)
            (request,) = upstream.requests
    assert request.line == b"GET /x?a=%2F HTTP/1.1"
    assert request.values(b"X-Gate-User") == [b"ada@example.com"]
    assert b"evil" not in request.head
    assert (request.values(b"Upgrade"), request.values(b"Connection")) == ([b"websocket"], [b"Upgrade"])
    assert request.values(b"Sec-WebSocket-Key") == [KEY.encode()]
    assert request.values(b"Sec-WebSocket-Protocol") == [b"chat"]
    assert request.values(b"Authorization") == []
    assert "evil" not in head
    for line in ("Connection: Upgrade", "Upgrade: websocket", "X-Kept: 1", "Sec-WebSocket-Accept: "):
        assert head.count(line) == 1, head


@pytest.mark.parametrize("pieces", ["all at once", "byte by byte"])
async def test_what_follows_right_behind_the_request_is_not_lost(ws_gate, pieces):
    tokens = await ws_gate.newcomer()
    early = frame(TEXT, b"early") + frame(BINARY, b"x" * 300)[:100]
    async with Wire(ws_gate.url) as client:
        if pieces == "all at once":
            await client.open(tokens=tokens, behind=early)
        else:
            head = [f"Host: {client.authority}", f"Authorization: Bearer {tokens['access_token']}", *ASKING]
            for byte in "\r\n".join(["GET /x HTTP/1.1", *head, "", ""]).encode() + early:
                client.send(bytes([byte]))
                await client.writer.drain()
                await asyncio.sleep(0)
            assert (await client.head())[0] == 101
        assert await client.frame() == (0x81, b"early")
        client.send(frame(BINARY, b"x" * 300)[100:])
        assert await client.frame() == (0x82, b"x" * 300)


async def test_an_upgrade_may_follow_other_requests_on_its_connection(ws_gate):
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        for path in ("/one", "/two"):
            client.ask(path, tokens=tokens)
        client.ask("/three", *ASKING, tokens=tokens, behind=frame(TEXT, b"hello"))
        assert [(await client.answer())[2] for _ in range(2)] == [b'{"path": "/one"}', b'{"path": "/two"}']
        assert (await client.head())[0] == 101
        assert await client.frame() == (0x81, b"hello")


# The same bytes as without the gate


CASES = {
    "text": frame(TEXT, b"hello"),
    "empty text": frame(TEXT),
    "125 bytes": frame(TEXT, b"x" * 125),
    "126 bytes": frame(TEXT, b"x" * 126),
    "127 bytes": frame(TEXT, b"x" * 127),
    "128 bytes": frame(TEXT, b"x" * 128),
    "65535 bytes": frame(TEXT, b"x" * 65535),
    "65536 bytes": frame(TEXT, b"x" * 65536),
    "empty binary": frame(BINARY),
    "every byte": frame(BINARY, bytes(range(256))),
    "a megabyte": frame(BINARY, random.Random(1).randbytes(1 << 20)),
    "a mask of zeros": frame(TEXT, b"hello", mask=bytes(4)),
    "many in one write": frame(TEXT, b"hello") * 500,
    "ping": frame(PING),
    "ping with a payload": frame(PING, b"payload"),
    "ping of 125 bytes": frame(PING, b"x" * 125),
    "ping of 126 bytes": frame(PING, b"x" * 126),
    "ping in fragments": frame(PING, b"a", fin=False),
    "ten pings": frame(PING, b"p") * 10,
    "unasked pong": frame(PONG, b"x") + frame(PING, b"after"),
    "two fragments": frame(TEXT, b"fra", fin=False) + frame(CONTINUATION, b"gment"),
    "empty fragments": frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION),
    "a ping between fragments": frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"b"),
    "a hundred fragments": frame(TEXT, b"x", fin=False)
    + frame(CONTINUATION, b"x", fin=False) * 98
    + frame(CONTINUATION, b"x"),
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "a message inside a message": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "unknown data opcode": frame(0x3, b"x"),
    "unknown control opcode": frame(0xB, b"x"),
    "reserved bit 1": bytes([0xC1]) + frame(TEXT, b"x")[1:],
    "reserved bit 2": bytes([0xA1]) + frame(TEXT, b"x")[1:],
    "reserved bit 3": bytes([0x91]) + frame(TEXT, b"x")[1:],
    "unmasked": frame(TEXT, b"hello", mask=None),
    "not UTF-8": frame(TEXT, b"\xff\xfe"),
    "UTF-8 cut by fragments": frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"\xba"),
    "UTF-8 that never ends": frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"x"),
    "surrogates": frame(TEXT, b"\xed\xa0\x80"),
    "length in more bytes than needed": bytes([0x81, 0xFE, 0, 1]) + bytes(4) + b"x",
    "length of 2**63": bytes([0x82, 0xFF]) + struct.pack("!Q", 1 << 63) + bytes(4),
    "close": frame(CLOSE),
    "close 1000": frame(CLOSE, closing(1000)),
    "close 1000 and a reason": frame(CLOSE, closing(1000, b"bye")),
    "close of 1 byte": frame(CLOSE, b"\x03"),
    "close of 125 bytes": frame(CLOSE, closing(1000, b"x" * 123)),
    "close of 126 bytes": frame(CLOSE, closing(1000, b"x" * 124)),
    "close 999": frame(CLOSE, closing(999)),
    "close 1004": frame(CLOSE, closing(1004)),
    "close 1005": frame(CLOSE, closing(1005)),
    "close 1006": frame(CLOSE, closing(1006)),
    "close 1016": frame(CLOSE, closing(1016)),
    "close 3000": frame(CLOSE, closing(3000)),
    "close 4999": frame(CLOSE, closing(4999)),
    "close 65535": frame(CLOSE, closing(65535)),
    "close with a reason that is not UTF-8": frame(CLOSE, closing(1000, b"\xff")),
    "a message behind a close": frame(CLOSE, closing(1000)) + frame(TEXT, b"late"),
    "a close between fragments": frame(TEXT, b"a", fin=False) + frame(CLOSE, closing(1000)),
    "no frames at all": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}

WRONG = (
    "126 bytes",
    "ping in",
    "of nothing",
    "inside",
    "unknown",
    "reserved",
    "UTF-8",
    "surrogates",
    "2**63",
    "behind",
)
WRONG += ("between fragments", "close 999", "close 100", "close 1016", "close 65535", "of 1 byte", "no frames")


@pytest.fixture
async def mirror(postgres_dsn, redis_url, tmp_path):
    """A gate, and an upstream that reads up to the client's end and then says the same bytes back, and ends."""
    heard = []

    async def script(wire):
        await wire.head()
        await wire.send(SWITCHING)
        said = b""
        while data := await wire.read():
            said += data
        heard.append(said)
        await wire.send(said)

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            yield gate, heard


@pytest.mark.parametrize("case", CASES)
async def test_every_byte_passes_as_it_is_in_both_directions(mirror, case):
    """security 7: in the manner of the Autobahn cases; what is wrong with a frame is for the ends to judge"""
    gate, heard = mirror
    data = CASES[case]
    for step in (len(data), len(data) // 20 + 1):
        async with Wire(gate.url) as client:
            await client.open("/public/x")
            for start in range(0, len(data), step):
                client.send(data[start : start + step])
                await client.writer.drain()
                await asyncio.sleep(0)
            client.writer.write_eof()
            assert await client.rest() == data
        assert heard.pop() == data


# With these the server goes on, so that it can be asked for its last word without a race against its reset.
GOOD = [case for case in CASES if not any(word in case for word in WRONG)]


async def played(url, data, tokens=None):
    """What a real server says to these frames, up to its end."""
    async with Wire(url) as client:
        await client.open("/echo", tokens=tokens)
        client.send(data)
        if not data.startswith(b"\x88"):
            client.send(frame(PING, b"last") + frame(CLOSE, closing(1000, b"last")))
        return await client.rest()


@pytest.mark.parametrize("case", GOOD)
async def test_a_server_answers_frames_as_it_does_without_the_gate(ws_gate, sockets, case):
    """security 7"""
    direct = await played(sockets.address, CASES[case])
    assert await played(ws_gate.url, CASES[case], await ws_gate.newcomer()) == direct
    assert direct[-2:] != b"RS"
    assert direct.startswith((b"\x81", b"\x82", b"\x88", b"\x8a"))


# Who gets in


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 403),
        (["Origin: http://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin: {origin}", "Sec-Fetch-Site: same-site"], 403),
        (["Origin: {origin}", "Sec-Fetch-Site: cross-site"], 403),
        (["Origin: {origin}"], 101),
        (["Origin: {origin}", "Sec-Fetch-Site: same-origin"], 101),
    ],
)
async def test_a_cookie_opens_a_tunnel_only_from_the_same_origin(ws_gate, sockets, fields, status):
    """security 7, 8"""
    tokens = await ws_gate.newcomer()
    cookie = f"Cookie: gate={tokens['access_token']}"
    async with Wire(ws_gate.url) as client:
        client.ask("/x", *ASKING, cookie, *(field.format(origin=ws_gate.url) for field in fields))
        answered, head = await client.head()
    assert answered == status, head
    assert ("X-Gate-Reason: csrf" in head) is (status == 403)
    assert len(sockets.requests) == (status == 101)


@pytest.mark.parametrize(
    ("path", "known", "status", "reason"),
    [
        ("/x", False, 401, "credentials-missing"),
        ("/staff/x", False, 401, "credentials-missing"),
        ("/staff/x", True, 403, "rule-denied"),
        ("/_gate/x", True, 404, "not-found"),
    ],
)
async def test_a_refusal_is_an_ordinary_answer_and_reaches_nobody(ws_gate, sockets, path, known, status, reason):
    tokens = await ws_gate.newcomer() if known else None
    async with Wire(ws_gate.url) as client:
        client.ask(path, *ASKING, tokens=tokens)
        answered, head, _ = await client.answer()
        assert (answered, f"X-Gate-Reason: {reason}" in head) == (status, True), head
        client.ask("/public/y")
        assert (await client.answer())[2] == b'{"path": "/public/y"}'
    assert len(sockets.requests) == 1
    assert len(ws_gate.gatekeeper.live) == 0


async def test_a_public_rule_tunnels_without_credentials(ws_gate):
    async with Wire(ws_gate.url) as client:
        await client.open("/public/x")
        client.send(frame(TEXT, b"hi"))
        assert await client.frame() == (0x81, b"hi")


async def test_an_upstream_that_refuses_is_relayed_and_the_connection_goes_on(ws_gate, sockets):
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        for behind in (b"", b"GET /public/a HTTP/1.1\r\nHost: " + client.authority.encode() + b"\r\n\r\n"):
            client.ask("/refuses", *ASKING, tokens=tokens, behind=behind)
            status, head, body = await client.answer()
            assert (status, body, "X-Why: because" in head) == (403, b"not you", True)
        # What came behind was no tunnel's, so it is the next request, and judged as one.
        assert (await client.answer())[2] == b'{"path": "/public/a"}'
        await client.open(tokens=tokens, behind=frame(TEXT, b"at last"))
        assert await client.frame() == (0x81, b"at last")


@pytest.mark.parametrize("switched", [True, False])
async def test_an_upstream_out_of_reach_is_502_as_ever(postgres_dsn, redis_url, tmp_path, switched):
    async def script(wire):
        await wire.request()
        if switched:
            await wire.send(SWITCHING.replace(b"Upgrade: websocket", b"Upgrade: other"))

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            client.ask("/public/x", *ASKING)
            status, head, _ = await client.answer()
            assert (status, "X-Gate-Reason: upstream-unavailable" in head) == (502, True)
            client.ask("/_gate/health/live")
            assert (await client.head())[0] == 200


# What is no tunnel


@pytest.mark.parametrize(
    ("path", "line", "fields"),
    [
        ("/none/x", "GET {} HTTP/1.1", ASKING),
        ("/lines/x", "GET {} HTTP/1.1", ASKING),
        ("/x", "GET {} HTTP/1.1", ["Connection: Upgrade", "Upgrade: unheard-of"]),
        ("/x", "GET {} HTTP/1.1", ["Upgrade: websocket"]),
        ("/x", "HEAD {} HTTP/1.1", ASKING),
        ("/x", "POST {} HTTP/1.1", [*ASKING, "Content-Length: 0"]),
    ],
)
async def test_an_upgrade_that_is_not_for_this_rule_is_stripped_and_the_rest_goes_on(
    ws_gate, sockets, path, line, fields
):
    """RFC 9110 7.8: a server may ignore Upgrade"""
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        client.ask(path, *fields, tokens=tokens, line=line)
        assert (await client.head())[0] == 200
    (request,) = sockets.requests
    assert request.path == path
    assert "Upgrade" not in request.headers


async def test_http_1_0_cannot_switch(ws_gate, sockets):
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        client.ask("/x", *ASKING, tokens=tokens, line="GET {} HTTP/1.0")
        assert (await client.head())[0] == 200
    assert "Upgrade" not in sockets.requests[0].headers


@pytest.mark.parametrize("offer", ["h2c", "websocket, h2c", "H2C"])
async def test_another_http_is_refused_on_every_rule(ws_gate, sockets, offer):
    """security 2"""
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        client.ask("/x", "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", tokens=tokens)
        assert (await client.head())[0] == 400
    assert sockets.requests == []


async def test_only_what_the_rule_allows_is_offered_to_the_upstream(ws_gate, sockets):
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        asking = [field.replace("Upgrade: websocket", "Upgrade: lines/1, WebSocket") for field in ASKING]
        client.ask("/x", *asking, tokens=tokens)
        assert (await client.head())[0] == 101
        client.send(frame(TEXT, b"hi"))
        assert await client.frame() == (0x81, b"hi")
    assert sockets.requests[0].headers["Upgrade"] == "WebSocket"


async def lines(wire):
    """A protocol that no library knows: each line comes back in capitals."""
    await wire.request()
    await wire.send(b"HTTP/1.1 101 Go ahead\r\nUpgrade: lines\r\nConnection: upgrade\r\n\r\nready\n")
    while data := await wire.read():
        await wire.send(data.upper())


async def test_a_rule_may_allow_another_protocol(postgres_dsn, redis_url, tmp_path):
    async with Upstream(lines) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            client.ask("/lines/x", "Connection: Upgrade", "Upgrade: lines", tokens=tokens)
            assert (await client.head())[0] == 101
            client.send(b"hello\n")
            async with asyncio.timeout(30):
                assert await client.reader.readexactly(12) == b"ready\nHELLO\n"
            # In a protocol that the gate does not know there is no place for a word of its own.
            await gate.post("logout", {}, headers=bearer(tokens))
            assert await client.rest() == b"RST"


async def test_another_protocol_is_never_told_a_websocket_s_goodbye(postgres_dsn, redis_url, tmp_path):
    """Not even where what has passed could have been whole frames, such as nothing at all."""

    async def script(wire):
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Go ahead\r\nUpgrade: lines\r\nConnection: upgrade\r\n\r\n")
        await wire.until_closed()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            tokens = await gate.newcomer()
            client.ask("/lines/x", "Connection: Upgrade", "Upgrade: lines", tokens=tokens)
            assert (await client.head())[0] == 101
            await gate.post("logout", {}, headers=bearer(tokens))
            assert await client.rest() == b"RST"


async def test_what_comes_before_the_101_of_another_protocol_waits_for_it(postgres_dsn, redis_url, tmp_path):
    asked, go = asyncio.Event(), asyncio.Event()

    async def script(wire):
        await wire.head()
        asked.set()
        await go.wait()
        await wire.send(b"HTTP/1.1 101 Go ahead\r\nUpgrade: lines\r\nConnection: upgrade\r\n\r\n")
        await wire.send(await wire.read())
        await wire.until_closed()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            client.ask("/lines/x", "Connection: Upgrade", "Upgrade: lines", tokens=await gate.newcomer())
            async with asyncio.timeout(30):
                await asked.wait()
                client.send(b"hasty")
                await client.writer.drain()
                go.set()
                assert (await client.head())[0] == 101
                assert await client.reader.readexactly(5) == b"hasty"


# Ends


@pytest.mark.parametrize("how", ["close", "reset", "in the middle of a frame"])
async def test_a_client_that_goes_takes_the_upstream_s_side_along(ws_gate, sockets, how):
    tokens = await ws_gate.newcomer()
    async with Wire(ws_gate.url) as client:
        await client.open(tokens=tokens)
        if how == "in the middle of a frame":
            client.send(frame(BINARY, b"x" * 1000)[:500])
            await client.writer.drain()
        elif how == "reset":
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await until(lambda: sockets.closed and not len(ws_gate.gatekeeper.live))
    assert sockets.open == 0


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_upstream_that_goes_takes_the_client_s_side_along(postgres_dsn, redis_url, tmp_path, how):
    async def script(wire):
        await wire.request()
        await wire.send(SWITCHING + frame(BINARY, b"x" * 300, mask=None)[:100])
        await wire.read()
        if how == "reset":
            wire.reset()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            await client.open("/public/x")
            async with asyncio.timeout(30):
                assert len(await client.reader.readexactly(100)) == 100
            client.send(b"x")
            assert await client.rest() == (b"RST" if how == "reset" else b"")
            await until(lambda: not len(gate.gatekeeper.live))


async def test_a_close_handshake_ends_as_it_does_without_the_gate(ws_gate, sockets):
    codes = []
    for url, headers in [(sockets.address, {}), (ws_gate.url, bearer(await ws_gate.newcomer()))]:
        async with ws_gate.client.ws_connect(url + "/x", headers=headers) as ws:
            await ws.close(code=3001, message=b"bye")
        codes.append(ws.close_code)
    assert codes[0] == codes[1]
    await until(lambda: sockets.closed == [3001, 3001] and not len(ws_gate.gatekeeper.live))


async def test_a_slow_client_holds_the_upstream_back(postgres_dsn, redis_url, tmp_path):
    sent = []

    async def script(wire):
        await wire.request()
        await wire.send(SWITCHING)
        piece = frame(BINARY, bytes(1 << 16), mask=None)
        while len(sent) < 3000:
            await wire.send(piece)
            sent.append(piece)

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
            client.reader._limit = 1 << 16
            await client.open("/public/x")
            before = -1
            while len(sent) != before:  # until nothing moves for a while
                before = len(sent)
                await asyncio.sleep(0.3)
            assert len(sent) < 800  # 50 MiB: what the sockets of two connections may hold, and no more
            for _ in range(3000):
                assert len((await client.frame())[1]) == 1 << 16


async def test_a_silent_tunnel_outlives_every_time_out(postgres_dsn, redis_url, tmp_path, sockets):
    short = "100ms"
    timeouts = {"head": short, "body_idle": short, "idle": short, "first_byte": short}
    settings = sockets.settings(timeouts=timeouts)
    settings["upstreams"]["api"]["timeout"] = "1s"
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate, Wire(gate.url) as client:
        await client.open("/public/x")
        await asyncio.sleep(1.3)  # real time-outs of sockets: only real silence shows them
        client.send(frame(TEXT, b"still there"))
        assert await client.frame() == (0x81, b"still there")


async def test_five_hundred_tunnels_come_and_go_without_a_trace(ws_gate, sockets):
    tokens = await ws_gate.newcomer()

    async def one(number):
        async with Wire(ws_gate.url) as client:
            await client.open(f"/{number}", tokens=tokens)
            if number % 3:
                client.send(frame(TEXT, b"hi"))
                assert await client.frame() == (0x81, b"hi")
            if number % 2:
                client.send(frame(CLOSE, closing(1000)))
                await client.rest()

    await one(0)
    await until(lambda: not len(ws_gate.gatekeeper.live) and not sockets.open)
    await asyncio.sleep(0.05)
    before = open_files()
    for start in range(1, 501, 20):
        await asyncio.gather(*(one(number) for number in range(start, start + 20)))
    live = ws_gate.gatekeeper.live
    await until(lambda: not len(live) and not sockets.open)
    await until(lambda: open_files() <= before)
    assert (live._by_session, live._by_user, live._all) == ({}, {}, set())


async def test_a_session_has_only_so_many_tunnels(ws_gate, sockets, monkeypatch):
    monkeypatch.setattr(ws_gate.gatekeeper.live, "_per_session", 2)
    tokens, other = await ws_gate.newcomer(), await ws_gate.newcomer("eve@example.com")
    async with Wire(ws_gate.url) as one, Wire(ws_gate.url) as two, Wire(ws_gate.url) as three:
        await one.open(tokens=tokens)
        await two.open(tokens=tokens)
        three.ask("/x", *ASKING, tokens=tokens)
        status, head, _ = await three.answer()
        assert (status, "X-Gate-Reason: rate-limited" in head) == (429, True)
        events = await ws_gate.call("GET", "/events", headers=bearer(tokens))
        assert events.status == 429
        await three.open(tokens=other)
        one.writer.close()
        await until(lambda: len(ws_gate.gatekeeper.live) == 2)
        async with Wire(ws_gate.url) as four:
            await four.open(tokens=tokens)


async def test_a_renewal_in_passing_sets_its_cookie_on_the_101(ws_gate):
    answer = await ws_gate.register("ada@example.com")
    answer = await ws_gate.post(
        "login",
        {"email": "ada@example.com", "password": "correct horse battery 9", "cookies": True},
        headers={"Origin": ws_gate.url},
    )
    refresh = answer.cookies["gate-refresh"].value
    async with Wire(ws_gate.url) as client:
        head = await client.open("/x", f"Cookie: gate-refresh={refresh}", f"Origin: {ws_gate.url}")
    assert head.count("Set-Cookie: gate=") == 1


async def test_a_client_that_leaves_while_the_upstream_thinks_leaves_nothing_behind(postgres_dsn, redis_url, tmp_path):
    asked, closed = asyncio.Event(), asyncio.Event()

    async def script(wire):
        await wire.request()
        asked.set()
        await wire.until_closed()
        closed.set()

    async with Upstream(script) as upstream:
        settings = {"upstreams": {"api": {"targets": [upstream.address]}}, "rules": RULES}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            async with Wire(gate.url) as client:
                client.ask("/public/x", *ASKING)
                async with asyncio.timeout(30):
                    await asked.wait()
            async with asyncio.timeout(30):
                await closed.wait()
            assert len(gate.gatekeeper.live) == 0


async def test_aiohttp_holds_nothing_of_a_switched_connection(ws_gate):
    """The inner names of aiohttp that the hand-over relies on are no promise."""
    tokens = await ws_gate.newcomer()
    async with ws_gate.client.ws_connect(ws_gate.url + "/x", headers=bearer(tokens)) as ws:
        await ws.send_str("hi")
        assert (await ws.receive()).type is aiohttp.WSMsgType.TEXT
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
        (only,) = ws_gate.gatekeeper.live._all
        client = only.close.__self__._tunnel._client.transport
        assert type(client.get_protocol()).__name__ == "_Side"
        assert not any("Proxy" in name for name in names)
