"""gatekeeper/store/breaker.py: finding Redis, staying on it, leaving it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gatekeeper.errors import StartupError, StoreUnavailable
from gatekeeper.store.redis import CommandRefused, Event, Executor, Redis

CALM = 30.0  # a time-out for tests that are not about time-outs
FAST = 0.2
GENEROUS = 10.0  # how much later than FAST a loaded machine may be


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_tcp(make_valkey: Any) -> tuple[Any, int]:
    port = free_port()
    return make_valkey("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"), port


def path_of(url: str) -> str:
    return url.partition("@")[2].partition("?")[0]


def password_of(url: str) -> str:
    return url.partition("://:")[2].partition("@")[0]


# Where it is


async def test_password_and_database_of_the_url_are_used_on_tcp_and_unix_sockets(make_valkey: Any) -> None:
    server, port = on_tcp(make_valkey)
    urls = [server.url, server.url.replace("db=0", "db=3"), f"redis://:{password_of(server.url)}@127.0.0.1:{port}/3"]
    stores = [Redis(url, timeout=CALM, connect_timeout=CALM) for url in urls]
    for store in stores:
        await store.open()
    await stores[1].call("SET", "where", "three")
    assert await stores[0].call("GET", "where") is None
    assert await stores[2].call("GET", "where") == b"three"
    for store in stores:
        await store.close()


async def test_a_user_of_the_access_list_is_let_in_by_name(valkey: Any, redis: Redis) -> None:
    await redis.call("ACL", "SETUSER", "gate", "on", ">word", "~gate:*", "+@all")
    own = Redis(f"unix://gate:word@{path_of(valkey.url)}", timeout=CALM, connect_timeout=CALM)
    await own.open()
    assert await own.call("ACL", "WHOAMI") == b"gate"
    with pytest.raises(StoreUnavailable, match="NOPERM"):
        await own.call("GET", "other")
    await own.close()


async def test_a_wrong_password_is_said_in_one_line_without_the_password(valkey: Any) -> None:
    wrong = Redis(f"unix://:sesame@{path_of(valkey.url)}", timeout=CALM, connect_timeout=CALM)
    with pytest.raises(StoreUnavailable, match=r"^redis: WRONGPASS[^\n]*$") as caught:
        await wrong.open()
    await wrong.close()
    assert "sesame" not in str(caught.value) + repr(wrong)


@pytest.mark.parametrize(
    "url", ["http://localhost", "redis://:ses:ame/x@host:x", "redis://host/zero", "redis://host/0?nonsense=1", ""]
)
def test_a_url_that_is_none_is_a_startup_error_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(StartupError) as caught:
        Redis(url)
    assert "ame" not in str(caught.value)
    assert caught.value.__suppress_context__


def certify(folder: Path) -> Path:
    """A key and a self-signed certificate for localhost, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "localhost.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


async def test_tls_is_verified_against_the_authority_and_the_name_of_the_url(
    valkey: Any, impostor: Any, relay_to: Any, tmp_path: Path
) -> None:
    pem = certify(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    port = await impostor(relay_to(path_of(valkey.url)), ssl=context)
    stranger = f"rediss://:{password_of(valkey.url)}@localhost:{port}/0"
    known = f"{stranger}?ssl_ca_certs={pem}"
    trusting = Redis(known, timeout=CALM, connect_timeout=CALM)
    await trusting.open()
    assert await trusting.call("PING") == b"PONG"
    async with contextlib.aclosing(trusting.subscribe("c")) as events:
        assert await anext(events) == Event("c", None)
    await trusting.close()
    for url in (stranger, known.replace("localhost:", "127.0.0.1:")):
        distrustful = Redis(url, timeout=CALM, connect_timeout=CALM)
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await distrustful.open()
        await distrustful.close()


# Faults


async def test_a_server_that_is_not_there_is_reported_by_open_and_found_when_it_comes(
    valkey: Any, eventually: Any
) -> None:
    valkey.stop()
    redis = Redis(valkey.url, timeout=CALM, connect_timeout=CALM)
    with pytest.raises(StoreUnavailable, match="redis: "):
        await redis.open()
    valkey.start()
    assert await eventually(lambda: redis.call("PING")) == b"PONG"
    await redis.close()


async def test_a_killed_server_fails_calls_at_once_and_its_return_is_noticed(
    valkey: Any, redis: Redis, eventually: Any
) -> None:
    """Security 23 and 25."""
    valkey.kill()
    begun = time.monotonic()
    for _ in range(200):
        with pytest.raises(StoreUnavailable):
            await redis.call("GET", "k")
    assert time.monotonic() - begun < GENEROUS  # had each waited, it would be 200 time-outs
    assert not redis.healthy
    valkey.start()
    assert await eventually(lambda: redis.call("PING")) == b"PONG"
    assert redis.healthy


async def test_calls_under_way_fail_when_the_server_dies(valkey: Any, redis: Redis) -> None:
    valkey.pause()
    calls = [asyncio.create_task(redis.call("GET", "k")) for _ in range(100)]
    await asyncio.sleep(0)
    valkey.kill()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_a_frozen_server_costs_one_time_out_and_then_nothing(valkey: Any, eventually: Any) -> None:
    """Security 23 and 25."""
    redis = Redis(valkey.url, timeout=FAST, connect_timeout=CALM)
    await eventually(redis.open)
    valkey.pause()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await redis.call("GET", "first")
    assert time.monotonic() - begun < FAST + GENEROUS
    begun = time.monotonic()
    for _ in range(200):
        with pytest.raises(StoreUnavailable):
            await redis.call("GET", "later")
    assert time.monotonic() - begun < GENEROUS
    valkey.resume()
    assert await eventually(lambda: redis.call("PING")) == b"PONG"
    await redis.close()


async def test_a_server_of_no_use_is_unavailable_and_nothing_worse(impostor: Any, misbehaviour: Any) -> None:
    """Security 25."""
    redis = Redis(f"redis://127.0.0.1:{await impostor(misbehaviour)}/0", timeout=FAST, connect_timeout=FAST)
    with pytest.raises(StoreUnavailable):
        await redis.open()
    with pytest.raises(StoreUnavailable):
        await redis.call("GET", "k")
    await redis.close()


async def test_a_server_that_refuses_to_say_who_it_is_is_not_used(impostor: Any) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(b"-ERR unknown command\r\n" * data.count(b"*"))

    redis = Redis(f"redis://127.0.0.1:{await impostor(refuse)}/0", timeout=CALM, connect_timeout=CALM)
    with pytest.raises(StoreUnavailable, match="unknown command"):
        await redis.open()
    await redis.close()


async def test_a_server_that_is_demoted_is_left_at_the_first_refused_write(
    make_valkey: Any, redis: Redis, until: Any
) -> None:
    """Security 25: what a replica says may be stale, so it is as good as no server."""
    await redis.call("SET", "k", "v")
    await redis.call("REPLICAOF", "127.0.0.1", free_port())
    with pytest.raises(StoreUnavailable, match="READONLY"):
        await redis.call("SET", "k", "w")
    with pytest.raises(StoreUnavailable):
        await redis.call("GET", "k")
    assert not redis.healthy
    await until(lambda: "replica" in redis._breaker.reason)


async def test_a_server_that_is_demoted_is_left_though_nobody_writes(redis: Redis, until: Any) -> None:
    await redis.call("REPLICAOF", "127.0.0.1", free_port())
    await until(lambda: not redis.healthy)
    with pytest.raises(StoreUnavailable):
        await redis.call("GET", "k")


# New servers


async def test_the_hook_prepares_each_new_server_before_any_caller_reaches_it(valkey: Any) -> None:
    """Security 14."""
    prepared = 0

    async def replay(executor: Executor) -> None:
        nonlocal prepared
        for _ in range(20):
            await executor.call("PING")  # time for a caller to slip through
        await executor.call("SET", "revoked", "yes")
        prepared += 1

    redis = Redis(valkey.url, timeout=CALM, connect_timeout=CALM, on_new_server=replay)
    await redis.open()
    for times in range(1, 4):
        assert await redis.call("GET", "revoked") == b"yes"
        assert prepared == times
        valkey.kill()
        valkey.start()  # empty: it keeps nothing on disk
        answers: list[Any] = []
        async with asyncio.timeout(CALM):
            while not answers:
                with contextlib.suppress(StoreUnavailable):
                    answers.append(await redis.call("GET", "revoked"))
                await asyncio.sleep(0)
        assert answers == [b"yes"]  # the first that got through; None would be the server unprepared
    await redis.close()


async def test_a_connection_that_is_only_lost_does_not_call_the_hook_again(
    valkey: Any, redis: Redis, eventually: Any, until: Any
) -> None:
    calls = 0

    async def count(_: Executor) -> None:
        nonlocal calls
        calls += 1

    gate = Redis(valkey.url, timeout=CALM, connect_timeout=CALM, on_new_server=count)
    await gate.open()
    for _ in range(3):
        before = gate._breaker.pipeline
        await eventually(lambda: redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        await until(lambda gone=before: gate._breaker.pipeline is not gone)
        await eventually(lambda: gate.call("PING"))
    assert calls == 1
    await gate.close()


@pytest.mark.parametrize("fault", [StoreUnavailable("postgres", "away"), CommandRefused("ERR away"), OSError("away")])
async def test_a_server_whose_hook_fails_stays_unavailable_and_is_tried_again(
    valkey: Any, eventually: Any, fault: Exception
) -> None:
    """Security 14: unprepared is unavailable."""
    attempts = 0

    async def replay(_: Executor) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise fault

    redis = Redis(valkey.url, timeout=CALM, connect_timeout=CALM, on_new_server=replay)
    with pytest.raises(StoreUnavailable, match="away"):
        await redis.open()
    assert not redis.healthy
    assert await eventually(lambda: redis.call("PING")) == b"PONG"
    assert attempts == 3
    await redis.close()


async def test_a_server_that_took_over_other_data_counts_as_new(make_valkey: Any, eventually: Any, until: Any) -> None:
    """Security 14: a failover there and back ends at the same process, with the other one's data."""
    (server, _), (other, port) = on_tcp(make_valkey), on_tcp(make_valkey)
    calls = 0

    async def count(_: Executor) -> None:
        nonlocal calls
        calls += 1

    redis = Redis(server.url, timeout=CALM, connect_timeout=CALM, on_new_server=count)
    await redis.open()
    other_store = Redis(other.url, timeout=CALM, connect_timeout=CALM)
    await other_store.open()
    await other_store.call("SET", "whose", "other")
    await redis.call("CONFIG", "SET", "masterauth", unquote(password_of(other.url)))
    reader, writer = await asyncio.open_unix_connection(path_of(server.url))

    async def ask(*words: str) -> bytes:
        writer.write(" ".join(words).encode() + b"\r\n")
        return await reader.readline()

    with contextlib.closing(writer):
        assert await ask("AUTH", unquote(password_of(server.url))) == b"+OK\r\n"
        assert await ask("REPLICAOF", "127.0.0.1", str(port)) == b"+OK\r\n"
        async with asyncio.timeout(CALM):
            while await ask("STRLEN", "whose") != b":5\r\n":
                pass
        assert await ask("REPLICAOF", "NO", "ONE") == b"+OK\r\n"
    await until(lambda: calls == 2)
    assert await eventually(lambda: redis.call("GET", "whose")) == b"other"
    await redis.close()
    await other_store.close()
