"""gatekeeper/store/batch.py: one connection, many callers."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store import breaker
from gatekeeper.store.batch import CommandRefused, Pipeline, Script
from gatekeeper.store.redis import Redis

CALM = 30.0  # a time-out for tests that are not about time-outs
FAST = 0.2


async def connect(port: int, timeout: float = CALM) -> Pipeline:
    loop = asyncio.get_running_loop()
    _, pipeline = await loop.create_connection(lambda: Pipeline(loop, timeout), "127.0.0.1", port)
    return pipeline


@pytest.fixture
def pipeline(redis: Redis) -> Pipeline:
    """The connection of a client that is let in."""
    pipeline = redis._breaker.pipeline
    assert pipeline is not None
    return pipeline


@pytest.fixture
async def hasty(valkey: Any, eventually: Any) -> AsyncIterator[Pipeline]:
    """A connection with a short time-out."""
    redis = Redis(valkey.url, timeout=FAST, connect_timeout=CALM)
    await eventually(redis.open)
    assert redis._breaker.pipeline is not None
    yield redis._breaker.pipeline
    await redis.close()


async def test_the_commands_of_one_tick_leave_in_one_write(pipeline: Pipeline) -> None:
    writes: list[bytes] = []

    class Recorder:
        def __init__(self, transport: Any) -> None:
            self.transport = transport

        def __getattr__(self, name: str) -> Any:
            return getattr(self.transport, name)

        def write(self, data: bytes) -> None:
            writes.append(data)
            self.transport.write(data)

    pipeline._transport = Recorder(pipeline._transport)  # type: ignore[assignment]
    answers = await asyncio.gather(*(pipeline.call("ECHO", f"m{i}") for i in range(50)))
    assert answers == [b"m%d" % i for i in range(50)]
    assert len([data for data in writes if b"ECHO" in data]) == 1


async def test_a_later_batch_is_written_before_the_earlier_one_is_answered(
    valkey: Any, pipeline: Pipeline, until: Any
) -> None:
    valkey.pause()
    sent = pipeline._sent
    first = asyncio.create_task(pipeline.call("RPUSH", "order", "first"))
    await until(lambda: pipeline._sent == sent + 1)
    second = asyncio.create_task(pipeline.call("RPUSH", "order", "second"))
    await until(lambda: pipeline._sent == sent + 2)
    assert not first.done()
    valkey.resume()
    assert await asyncio.gather(first, second) == [1, 2]
    assert await pipeline.call("LRANGE", "order", 0, -1) == [b"first", b"second"]


async def test_an_error_reaches_only_the_caller_whose_command_it_is(pipeline: Pipeline) -> None:
    await pipeline.call("SET", "text", "x")
    answers = await asyncio.gather(
        pipeline.call("GET", "text"), pipeline.call("INCR", "text"), pipeline.call("ECHO", "y"), return_exceptions=True
    )
    assert answers[0] == b"x"
    assert answers[2] == b"y"
    assert isinstance(answers[1], CommandRefused)
    assert answers[1].code == "ERR"
    assert not pipeline.lost.done()


async def test_an_unknown_command_is_reported_without_its_arguments(pipeline: Pipeline) -> None:
    with pytest.raises(CommandRefused) as caught:
        await pipeline.call("NOSUCH", "a-secret")
    assert "a-secret" not in str(caught.value)


async def test_a_part_that_is_no_text_or_number_is_refused_before_it_is_sent(pipeline: Pipeline) -> None:
    with pytest.raises(TypeError):
        await pipeline.call("SET", "k", None)
    assert await pipeline.call("ECHO", "still in step") == b"still in step"


async def test_a_script_is_loaded_where_the_server_does_not_know_it(pipeline: Pipeline) -> None:
    script = Script("inline", "return {KEYS[1], ARGV[1]}")
    answers = await asyncio.gather(*(pipeline.run(script, ["a"], [i]) for i in range(20)))
    assert answers == [[b"a", b"%d" % i] for i in range(20)]
    await pipeline.call("SCRIPT", "FLUSH")
    assert await pipeline.run(script, ["b"], ["again"]) == [b"b", b"again"]


async def test_a_failing_script_is_an_error_of_its_caller(pipeline: Pipeline) -> None:
    with pytest.raises(CommandRefused) as caught:
        await pipeline.run(Script("bad", "return redis.error_reply('GONE no such session')"), [], [])
    assert caught.value.code == "GONE"


def test_scripts_come_with_the_package_and_show_only_their_name() -> None:
    script = Script("present")
    assert len(script.sha1) == 40
    assert repr(script) == "Script('present')"


async def test_ten_thousand_cancelled_callers_never_shift_a_reply_to_another(pipeline: Pipeline) -> None:
    """Security 27; the fault behind CVE-2023-28858 and CVE-2023-28859."""
    dice = random.Random(27)
    finished = wrong = cancelled = 0

    async def ask(number: int) -> None:
        nonlocal finished, wrong
        for step in range(3):
            word = b"%d-%d" % (number, step)
            wrong += await pipeline.call("ECHO", word) != word
        finished += 1

    async def leave(task: asyncio.Task[None], ticks: int) -> None:
        nonlocal cancelled
        for _ in range(ticks):
            await asyncio.sleep(0)
        cancelled += task.cancel()

    async with asyncio.timeout(100):
        while cancelled < 10_000:
            tasks = [asyncio.create_task(ask(i)) for i in range(1000)]
            await asyncio.gather(*(leave(task, dice.randrange(12)) for task in tasks if dice.random() < 0.55))
            await asyncio.gather(*tasks, return_exceptions=True)
    assert wrong == 0
    assert finished > 1000
    assert await pipeline.call("ECHO", "in step") == b"in step"


async def test_more_callers_than_the_bound_are_refused_at_once(valkey: Any, pipeline: Pipeline, until: Any) -> None:
    valkey.pause()
    calls = [asyncio.create_task(pipeline.call("ECHO", "x")) for _ in range(17_000)]
    await until(lambda: any(call.done() for call in calls))
    refused = [call for call in calls if call.done()]
    assert len(refused) == 17_000 - 16_384
    assert all("too many" in str(call.exception()) for call in refused)
    valkey.resume()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count(b"x") == 16_384


async def test_a_crowd_is_not_taken_for_an_outage_by_the_probe(
    valkey: Any, eventually: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    class Watched(Pipeline):
        __slots__ = ()

        @property
        def crowded(self) -> bool:
            asked.append(super().crowded)
            return asked[-1]

    monkeypatch.setattr(breaker, "Pipeline", Watched)
    monkeypatch.setattr(breaker, "_PROBE_EVERY", 0.01)
    redis = Redis(valkey.url, timeout=CALM, connect_timeout=CALM)
    await eventually(redis.open)
    pipeline = redis._breaker.pipeline
    assert pipeline is not None
    valkey.pause()
    calls = [asyncio.create_task(pipeline.call("ECHO", "x")) for _ in range(17_000)]
    await until(lambda: asked.count(True) > 2)
    valkey.resume()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count(b"x") >= 16_380  # a probe may have been among those who waited
    assert redis._breaker.pipeline is pipeline
    await redis.close()


async def test_values_larger_than_any_buffer_pass(pipeline: Pipeline) -> None:
    big = random.Random(1).randbytes(4 << 20)
    await asyncio.gather(*(pipeline.call("SET", f"big{i}", big) for i in range(8)))
    assert await asyncio.gather(*(pipeline.call("GET", f"big{i}") for i in range(8))) == [big] * 8


async def test_a_stalled_loop_is_not_taken_for_a_dead_server(hasty: Pipeline) -> None:
    """On uvloop timers that came due in an event's callback run before the sockets are looked at again."""
    loop = asyncio.get_running_loop()
    calls: list[asyncio.Future[Any]] = []

    def stall() -> None:
        loop.remove_reader(ours)
        calls.append(hasty.submit(("ECHO", "there all the time")))
        hasty._flush()
        time.sleep(3 * FAST)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_reader(ours, stall)
        theirs.send(b"x")
        async with asyncio.timeout(CALM):
            while not calls:  # noqa: ASYNC110  # the callback ends it
                await asyncio.sleep(0)
        assert await calls[0] == b"there all the time"


async def test_a_reply_never_goes_to_a_command_that_is_not_sent_yet(pipeline: Pipeline) -> None:
    """Security 27."""
    call = pipeline.submit(("GET", "k"))
    pipeline.data_received(b"+early\r\n")
    with pytest.raises(StoreUnavailable, match="nobody asked"):
        await call


async def test_an_answer_over_time_ends_the_connection_with_all_its_calls(valkey: Any, hasty: Pipeline) -> None:
    """Security 27: a late reply dies with its connection instead of answering somebody else."""
    valkey.pause()
    late = await asyncio.gather(*(hasty.call("ECHO", "late") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in late)
    valkey.resume()
    with pytest.raises(StoreUnavailable, match="no answer within"):
        await hasty.call("ECHO", "new")


async def test_a_server_of_no_use_fails_every_call(impostor: Any, misbehaviour: Any) -> None:
    """Security 25."""
    pipeline = await connect(await impostor(misbehaviour), FAST)
    answers = await asyncio.gather(*(pipeline.call("GET", "k") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    with pytest.raises(StoreUnavailable):
        await pipeline.call("GET", "k")


@pytest.mark.parametrize(
    "reply", [b"+first\r\n\xff\xfe noise\r\n", b"+first\r\n+second\r\n+third\r\n+nobody asked\r\n"]
)
async def test_a_stream_that_gets_out_of_step_ends(impostor: Any, until: Any, reply: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(reply)
        await reader.read(1000)

    pipeline = await connect(await impostor(answer))
    answers = await asyncio.gather(*(pipeline.call("GET", "k") for _ in range(3)), return_exceptions=True)
    assert answers[0] == b"first"
    await until(pipeline.lost.done)
    with pytest.raises(StoreUnavailable):
        await pipeline.call("GET", "k")


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "BUSY", "NOAUTH"])
async def test_the_answer_of_a_server_that_cannot_is_unavailability(impostor: Any, code: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(f"-{code} for a reason\r\n".encode())

    pipeline = await connect(await impostor(refuse))
    with pytest.raises(StoreUnavailable, match=code):
        await pipeline.call("GET", "k")
    assert pipeline.lost.done() == (code in {"LOADING", "READONLY", "MASTERDOWN"})
    pipeline.close()


def test_an_error_inside_a_script_is_known_by_its_own_code_on_old_servers_too() -> None:
    old = "ERR Error running script (call to f_0ab): @user_script:1: -READONLY You can't write against it"
    assert CommandRefused(old).code == "READONLY"
