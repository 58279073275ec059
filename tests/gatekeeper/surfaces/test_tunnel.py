import asyncio
import aiohttp
from gates import bearer


async def test_smoke(ws_gate, sockets):
    tokens = await ws_gate.newcomer()
    async with ws_gate.client.ws_connect(ws_gate.url + "/x", headers=bearer(tokens)) as ws:
        await ws.send_str("hello")
        assert await ws.receive_str(timeout=30) == "hello"
        await ws.send_bytes(b"x" * (1 << 20))
        assert await ws.receive_bytes(timeout=30) == b"x" * (1 << 20)
        assert len(ws_gate.gatekeeper.live) == 1
        await ws_gate.post("logout", {}, headers=bearer(tokens))
        message = await ws.receive(timeout=30)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4401, "session-ended")
