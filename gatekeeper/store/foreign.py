"""Revoked tokens of other issuers in PostgreSQL. Implements ``tokens.foreign.ForeignRevocations``; read by replay."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gatekeeper.clock import as_datetime
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.foreign import ForeignClaims


class PostgresForeignRevocations:
    """The durable blacklist. All methods raise StoreUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def revoked(self, claims: ForeignClaims, *, by: str, now: float) -> None:
        """Keep it, and let go of those that have ended by themselves."""
        await self._postgres.execute(
            "WITH ended AS (DELETE FROM foreign_revocations WHERE expires_at < %s)"
            " INSERT INTO foreign_revocations (issuer, jti, session, expires_at, revoked_at, revoked_by)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (issuer, jti) DO NOTHING",
            (
                as_datetime(now),
                claims.issuer,
                claims.jti,
                claims.session,
                as_datetime(claims.expires_at),
                as_datetime(now),
                by,
            ),
        )

    async def in_force(self, now: float) -> AsyncIterator[list[tuple[str, float]]]:
        """Session and end (Unix seconds) of each, in batches."""
        sql = "SELECT session, expires_at FROM foreign_revocations WHERE expires_at > %s"
        async for rows in self._postgres.stream(sql, (as_datetime(now),)):
            yield [(row["session"], row["expires_at"].timestamp()) for row in rows]
