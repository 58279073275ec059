"""Everything that the database holds of one person, to be handed out or erased (privacy requests). Used by the cli."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from gatekeeper.clock import as_datetime
from gatekeeper.store.login_reader import LINE
from gatekeeper.store.postgres import Postgres

_AT_ONCE: Final = 1000
_LEAVING: Final = "SELECT relname AS name FROM pg_class WHERE relname ~ '^login_logs_leaving_\\d{4}_\\d{2}$'"
#: Attempts on the account, and those with its e-mail from when nobody had it.
_THEIRS: Final = "(user_id = %(user)s OR (user_id IS NULL AND (lower(btrim(email)) = %(email)s OR email = %(hidden)s)))"
_KINDS: Final = {
    "account": "SELECT id, email, email_verified, name, roles, locked, created_at, updated_at FROM users"
    " WHERE id = %(user)s",
    "password": "SELECT changed_at FROM passwords WHERE user_id = %(user)s",
    "totp": "SELECT confirmed_at, last_used_at FROM totp_secrets WHERE user_id = %(user)s",
    "passkey": "SELECT name, synced, transports, created_at, last_used_at FROM passkeys WHERE user_id = %(user)s"
    " ORDER BY created_at",
    "recovery-code": "SELECT created_at, used_at FROM recovery_codes WHERE user_id = %(user)s",
    "remembered-device": "SELECT user_agent, created_at, expires_at FROM remembered_devices WHERE user_id = %(user)s",
    "api-key": "SELECT id, name, start, scopes, networks::text[] AS networks, created_at, created_by, expires_at,"
    " revoked_at, last_used_at, host(last_used_address) AS last_used_address FROM api_keys WHERE user_id = %(user)s"
    " ORDER BY created_at",
    "habits": "SELECT profile FROM familiar WHERE user_id = %(user)s",
    "session": "SELECT id, started_at, expires_at, ended_at, end_reason, host(address) AS address, country, user_agent,"
    " amr FROM sessions WHERE user_id = %(user)s ORDER BY started_at",
    "ban": "SELECT since, until, source, reason, lifted_at FROM bans WHERE kind = 'user' AND subject = %(user)s::text"
    " ORDER BY since",
    "change": "SELECT time, actor, action, subject, before, after, host(address) AS address FROM audit_log"
    " WHERE %(user)s::text IN (actor, subject) OR subject = %(email)s ORDER BY id",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Whose data: the account's id where there is one, its canonical e-mail, and what the log has for a hidden one."""

    user: str | None
    email: str
    hidden: str

    def params(self) -> dict[str, object]:
        return {"user": uuid.UUID(self.user) if self.user else None, "email": self.email, "hidden": self.hidden}

    def theirs(self, user_id: str | None, email: str) -> bool:
        """Whether a row of the login log is about this person: what the statements here ask, for archives."""
        if user_id is not None:
            return user_id == self.user
        return email.strip().lower() == self.email or email == self.hidden


class PostgresPersonalData:
    """Needs a database with patience: the whole log is read."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def lines(self, person: Person) -> AsyncGenerator[str, None]:
        """One line of JSON a fact, with its ``kind``; login attempts last. No secrets, hashes or tokens."""
        for kind, sql in _KINDS.items():
            line = f"(jsonb_build_object('kind', '{kind}') || to_jsonb(fact))::text AS line"
            for row in await self._postgres.fetch(f"SELECT {line} FROM ({sql}) AS fact", person.params()):  # noqa: S608
                yield row["line"]
        logins = f"SELECT {LINE} FROM login_logs WHERE {_THEIRS} ORDER BY time, id"  # noqa: S608
        async with contextlib.aclosing(self._postgres.stream(logins, person.params(), batch=_AT_ONCE)) as batches:
            async for rows in batches:
                for row in rows:
                    yield login_line(row["line"])

    async def erase(self, person: Person, now: float) -> int:
        """The account and all that belongs to it, in one transaction; how many login attempts went with it.

        The account is to be locked before. Attempts that wait in a spool or an archive do not come back.
        """
        params = person.params()
        async with self._postgres.transaction() as transaction:
            if person.user:
                await transaction.execute(
                    "INSERT INTO login_erasures (user_id, erased_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (params["user"], as_datetime(now)),
                )
                await transaction.execute(
                    "UPDATE bans SET label = NULL WHERE kind = 'user' AND subject = %s", (person.user,)
                )
            rows = await transaction.execute(f"DELETE FROM login_logs WHERE {_THEIRS}", params)  # noqa: S608
            for table in await transaction.fetch(_LEAVING):
                rows += await transaction.execute(f"DELETE FROM {table['name']} WHERE {_THEIRS}", params)  # noqa: S608
            await transaction.execute("DELETE FROM users WHERE id = %s", (params["user"],))
        return rows


def login_line(line: str) -> str:
    """A row of the login log as one of these lines."""
    return '{"kind": "login", ' + line.lstrip()[1:]
