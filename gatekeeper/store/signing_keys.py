"""Other signing keys in place of those in use, for ``key_desk``; gates read ``accounts.PostgresKeys``."""

from __future__ import annotations

from gatekeeper.clock import as_datetime
from gatekeeper.store.postgres import Postgres, Transaction
from gatekeeper.tokens.keyring import SealedKey


class PostgresKeyRotation:
    """Each method is one transaction; of two at once the later one sees what the earlier has done."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def rotate(self, successor: SealedKey, *, until: float, now: float) -> str | None:
        """Add a key that is to sign; the others of its purpose verify ``until`` then (Unix seconds).

        Returns the key id of one that waits to sign already: then nothing is changed.
        """
        async with self._postgres.transaction() as tx:
            await tx.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
            waiting = await tx.fetch_one(
                "SELECT kid FROM signing_keys WHERE purpose = %s AND not_before > %s AND retired_at IS NULL LIMIT 1",
                (successor.purpose, as_datetime(now)),
            )
            if waiting is not None:
                return str(waiting["kid"])
            await tx.execute(
                "UPDATE signing_keys SET retired_at = %s WHERE purpose = %s AND retired_at IS NULL",
                (as_datetime(until), successor.purpose),
            )
            await _insert(tx, successor)
        return None

    async def retire(self, kid: str, successor: SealedKey, now: float) -> bool:
        """End a key now; whether ``successor`` took its place, as no other of its purpose signs for good."""
        async with self._postgres.transaction() as tx:
            await tx.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
            await tx.execute(
                "UPDATE signing_keys SET retired_at = %(now)s"
                " WHERE kid = %(kid)s AND (retired_at IS NULL OR retired_at > %(now)s)",
                {"now": as_datetime(now), "kid": kid},
            )
            left = await tx.fetch_one(
                "SELECT 1 AS found FROM signing_keys WHERE purpose = %(purpose)s AND not_before <= %(now)s"
                " AND retired_at IS NULL LIMIT 1",
                {"purpose": successor.purpose, "now": as_datetime(now)},
            )
            if left is None:
                await _insert(tx, successor)
        return left is None


async def _insert(tx: Transaction, key: SealedKey) -> None:
    await tx.execute(
        "INSERT INTO signing_keys (kid, algorithm, purpose, sealed, created_at, not_before)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (key.kid, key.algorithm, key.purpose, key.sealed, as_datetime(key.created_at), as_datetime(key.not_before)),
    )
