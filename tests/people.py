"""A few accounts and sessions in a database, for tests of the panel's lists."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from factories import NOW

from gatekeeper.clock import as_datetime
from gatekeeper.store.postgres import Postgres

PEOPLE = (
    ("ada@example.com", "Ada Lovelace", ["admin"], False),
    ("bob@example.com", None, [], True),
    ("eve@example.org", "Éva Ågren", ["staff"], False),
    ("100%_sure@example.net", "O'Neill", ["staff"], False),
)


def id_of(number: int) -> str:
    """The id of a person."""
    return str(uuid.UUID(int=number + 1))


@asynccontextmanager
async def peopled(dsn: str) -> AsyncIterator[Postgres]:
    """A database in which the people have accounts."""
    database = Postgres(dsn, timeout=30.0)
    try:
        for number, (email, name, roles, locked) in enumerate(PEOPLE):
            moment = as_datetime(NOW - number)
            await database.execute(
                "INSERT INTO users (id, email, name, roles, locked, epoch_raised_at, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (uuid.UUID(id_of(number)), email, name, roles, locked, moment, moment, moment),
            )
        yield database
    finally:
        await database.close()


async def begin(
    database: Postgres,
    sid: str,
    owner: int = 0,
    *,
    at: float = NOW - 60,
    ends: float = NOW + 3600,
    ended: float | None = None,
    address: str = "192.0.2.1",
    country: str | None = "CH",
    city: str | None = None,
    amr: Sequence[str] = (),
) -> None:
    """A session's record."""
    await database.execute(
        "INSERT INTO sessions (id, user_id, started_at, expires_at, ended_at, address, country, city, amr)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(sid, uuid.UUID(id_of(owner)), as_datetime(at), as_datetime(ends)),
            *(None if ended is None else as_datetime(ended), address, country, city, list(amr)),
        ),
    )
