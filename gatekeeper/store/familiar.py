"""What is usual for users, in PostgreSQL. Implements ``identity.signals.Profiles``."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Final

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.postgres import Postgres
from policies.familiar import Familiar

_TRIES: Final = 8  # logins of one user at the same moment


class PostgresProfiles:
    """One small record a user; a change that another has overtaken is made again on what that one wrote."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def read(self, user: str) -> Familiar:
        """What is known by now; nothing of a user without logins. Raises StoreUnavailable."""
        return (await self._read(user))[0]

    async def learn(self, user: str, change: Callable[[Familiar], Familiar]) -> None:
        """Put ``change`` in. Raises StoreUnavailable."""
        for _ in range(_TRIES):
            familiar, version = await self._read(user)
            row = await self._postgres.fetch_one(
                "INSERT INTO familiar AS f (user_id, profile) VALUES (%(user)s, %(profile)s)"
                " ON CONFLICT (user_id) DO UPDATE SET profile = excluded.profile, version = f.version + 1"
                " WHERE f.version = %(version)s RETURNING version",
                {"user": uuid.UUID(user), "profile": json.dumps(change(familiar).dump()), "version": version},
            )
            if row is not None:
                return
        raise StoreUnavailable("postgres", "the same profile was changed too often at once")

    async def _read(self, user: str) -> tuple[Familiar, int]:
        row = await self._postgres.fetch_one(
            "SELECT profile, version FROM familiar WHERE user_id = %s", (uuid.UUID(user),)
        )
        return (Familiar(), 0) if row is None else (Familiar.load(row["profile"]), row["version"])
