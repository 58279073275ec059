"""A gigabyte each way through a whole gate, in constant memory (issue: data plane; security 4, 6)."""

import asyncio
import resource
from contextlib import asynccontextmanager

import pytest
from gates import bearer, running_gate
from yarl import URL

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
GIB = 1 << 30
PART = bytes(1 << 16)


@asynccontextmanager
async def _giant(received: list[int]):
    """An upstream that takes any body and answers a gigabyte, keeping none of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        size = 0
        while size < length:
            size += len(await reader.read(1 << 16))
        received.append(size)
        give = GIB if head.startswith(b"GET") else 0
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % give)
        for _ in range(give // len(PART)):
            writer.write(PART)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _parts():
    for _ in range(GIB // len(PART)):
        yield PART


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def test_a_gigabyte_down_and_one_up_pass_whole_and_are_not_kept(postgres_dsn, redis_url, tmp_path):
    received: list[int] = []
    async with _giant(received) as address:
        settings = {"upstreams": {"api": {"targets": [address]}}, "sizes": {"body": "2GiB"}}
        async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
            headers = bearer(await gate.newcomer())
            before, size = _peak_mib(), 0
            async with gate.client.get(URL(f"{gate.url}/down"), headers=headers) as answer:
                async for part in answer.content.iter_any():
                    size += len(part)
            assert size == GIB
            headers["Content-Length"] = str(GIB)
            async with gate.client.post(URL(f"{gate.url}/up"), data=_parts(), headers=headers) as answer:
                assert answer.status == 200
            assert received[-1] == GIB
            # Gate, client and upstream share this process: what is in flight in all three, and not a gigabyte.
            assert _peak_mib() - before < 64
