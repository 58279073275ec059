"""Two nodes of one service behind a proxy, so that a test may come from anywhere."""

from contextlib import asynccontextmanager

import pytest
from factories import NOW
from gates import running_gate
from sockets import WebSockets

from gatekeeper.store.ban_words import RedisBanWords
from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import Redis
from policies.bans import Ban, Source, parse_subject


@pytest.fixture
async def sockets():
    """An upstream that speaks WebSocket."""
    async with WebSockets() as upstream:
        yield upstream


@pytest.fixture
async def two_gates(postgres_dsn, redis_url, tmp_path, sockets):
    """Each asked at its own address; the second's bans are the first's."""
    settings = sockets.settings(hosts=["127.0.0.1"], trusted_proxies=["127.0.0.0/8"], bans={"after": 3, "allow": []})
    async with running_gate(postgres_dsn, redis_url, tmp_path / "one", **settings) as one:
        settings["public_url"] = one.url
        async with running_gate(postgres_dsn, redis_url, tmp_path / "two", clock=one.clock, **settings) as two:
            two.url = two.listening
            yield one, two


@pytest.fixture
def bans_of(postgres_dsn, redis_url):
    """The bans as a command sees them: from another process, in effect; with ``redis=False`` it tells nobody."""

    @asynccontextmanager
    async def opened(dsn=postgres_dsn, url=redis_url, *, tell=True):
        postgres, redis = Postgres(dsn, size=1, timeout=30.0), Redis(url, timeout=5.0)
        await postgres.open()
        await redis.open()

        async def silent(_version):
            """Leave the others to find out."""

        yield PostgresBans(postgres, RedisBanWords(redis).tell if tell else silent)
        await redis.close()
        await postgres.close()

    return opened


@pytest.fixture
def ban():
    """A manual ban on what ``parse_subject`` reads."""

    def made(text, **changes):
        return Ban(parse_subject(text), changes.pop("source", Source.MANUAL), NOW, **changes)

    return made
