"""Security 24: each answered login attempt is one row, whatever is killed meanwhile. Real processes and servers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import psycopg2
import pytest
import servers
from supervised import PATIENCE, Supervised, free_port, until

AT_ONCE = 16
SPOOLED = "SELECT email FROM login_logs"


@dataclass
class Load:
    """Logins with wrong passwords, each with an e-mail of its own, from several clients at once."""

    url: str
    total: int
    sent: Iterator[int] = field(init=False)
    answered: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)  # 503: a row says that
    unknown: set[str] = field(default_factory=set)  # no answer came

    def __post_init__(self) -> None:
        self.sent = iter(range(self.total))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @property
    def done(self) -> int:
        return len(self.answered) + len(self.refused) + len(self.unknown)

    def reached(self, share: float) -> None:
        """Wait until so much of it is done."""
        until(lambda: self.done >= share * self.total or not self._thread.is_alive(), f"{share:.0%} of the load")

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
            await asyncio.gather(*(self._client(client) for _ in range(AT_ONCE)))

    async def _client(self, client: aiohttp.ClientSession) -> None:
        for number in self.sent:
            email = f"u{number}@example.com"
            body = {"email": email, "password": "wrong password"}
            while True:
                try:
                    async with client.post(self.url, json=body) as answer:
                        (self.answered if answer.status == 401 else self.refused).add(email)
                        assert answer.status in {401, 503}, answer.status
                    break
                except aiohttp.ClientConnectorError:  # nobody listens: it was not sent
                    await asyncio.sleep(0.02)
                except (aiohttp.ClientError, TimeoutError):
                    self.unknown.add(email)
                    break


@contextmanager
def stores() -> Iterator[tuple[servers.Server, servers.Server]]:
    with (
        servers.short_folder() as one,
        servers.short_folder() as two,
        servers.postgres_server(one) as postgres,
        servers.valkey_server(two) as valkey,
    ):
        yield postgres, valkey


def config_for(postgres: str, redis: str) -> dict[str, Any]:
    address = f"127.0.0.1:{free_port()}"
    return {
        "listen": [address],
        "public_url": f"http://{address}",
        "workers": 2,
        "storage": {"postgres": postgres, "redis": redis.replace("redis+socket", "unix")},
        "limits": {"login_per_ip": "1000000/minute", "default": "1000000/minute"},
        "bans": {"after": None, "spray": None},
        "logs": {"format": "json", "spool_sync": False},
    }


def rows(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


class Chaos:
    """One gate over both stores that is killed in the middle of its work and started again."""

    def __init__(self, folder: Path, config: dict[str, Any], postgres: servers.Server) -> None:
        self._folder, self._config, self._postgres = folder, config, postgres
        self.url = f"http://{config['listen'][0]}/_gate/auth/login"

    def start(self) -> Supervised:
        (self._folder / "err").touch()
        return Supervised(self._folder, self._config, app="cheap_gate:build", example=False).wait_ready()

    def judge(self, load: Load) -> None:
        """Nothing is lost, nothing doubled, and the counts say the same."""
        wanted = load.answered | load.refused

        def arrived() -> bool:
            return wanted <= {email for (email,) in rows(self._postgres.url, SPOOLED)}

        until(arrived, "every answered attempt in the database")
        found = Counter(email for (email,) in rows(self._postgres.url, SPOOLED))
        assert [email for email, times in found.items() if times != 1] == []
        assert set(found) - wanted <= load.unknown
        counted = rows(self._postgres.url, "SELECT grain, sum(attempts)::int FROM login_counts GROUP BY 1 ORDER BY 1")
        assert counted == [(grain, len(found)) for grain in ("day", "hour", "minute")]
        assert load.done == load.total


def test_a_killed_worker_and_a_killed_database_lose_and_double_nothing(tmp_path):
    with stores() as (postgres, valkey):
        chaos = Chaos(tmp_path, config_for(postgres.url, valkey.url), postgres)
        gate = chaos.start()
        try:
            with Load(chaos.url, 150) as load:
                load.reached(0.3)
                os.kill(gate.workers()[0], signal.SIGKILL)
                load.reached(0.6)
                postgres.kill()
                postgres.start()
            assert len(load.answered) > 50
            chaos.judge(load)
        finally:
            gate.close()


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_twenty_kills_of_the_gate_and_five_of_the_database_lose_and_double_nothing_of_ten_thousand(tmp_path):
    chance = random.Random(24)
    with stores() as (postgres, valkey):
        chaos = Chaos(tmp_path, config_for(postgres.url, valkey.url), postgres)
        gate = chaos.start()
        try:
            with Load(chaos.url, 10_000) as load:
                for number in range(1, 21):
                    load.reached(number / 22)
                    if number % 4 == 0:
                        postgres.kill() if chance.random() < 0.5 else postgres.stop()
                        postgres.start()
                    if number % 2:
                        os.kill(chance.choice(gate.workers()), signal.SIGKILL)
                    else:
                        gate.close()
                        gate = chaos.start()
            assert len(load.answered) > 8_000
            chaos.judge(load)
        finally:
            gate.close()
