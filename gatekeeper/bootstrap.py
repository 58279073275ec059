"""Before the workers: the secret, the signing keys, the first admin's link. Called by ``supervisor`` and ``cli``.

``prepare`` may run in several gates at once over the same stores; each step is safe to repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.clock import Clock, SystemClock
from gatekeeper.config.forms import SHORTEST_SECRET
from gatekeeper.config.model import Config, Storage
from gatekeeper.errors import StartupError
from gatekeeper.identity.setup import FirstAdmin
from gatekeeper.store.accounts import PostgresAccounts, PostgresKeys, PostgresSetupLinks
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.tokens.keyring import generate, unseal


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``prepare`` found: the link for the first admin where there is none, as a path under the prefix."""

    setup_token: str | None


def secret_of(storage: Storage) -> str:
    """The gate's secret: configured, or made once in ``data_dir/secret`` (0600). Raises StartupError."""
    if storage.secret is not None:
        return storage.secret.get_secret_value()
    path = storage.data_dir / "secret"
    try:
        storage.data_dir.mkdir(parents=True, exist_ok=True)
        return _read(path) or _make(path)
    except OSError as fault:
        raise StartupError(f"storage.data_dir: the secret in {path} cannot be kept: {fault.strerror}") from None


def _read(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise StartupError(f"{path} can be read by others (mode {mode:o}); make it 600")
    text = path.read_text().strip()
    if len(text) < SHORTEST_SECRET:
        raise StartupError(f"{path} holds fewer than {SHORTEST_SECRET} characters")
    return text


def _make(path: Path) -> str:
    """Write a new secret whole or not at all; of several gates at once, one wins."""
    draft = path.with_name(f".secret-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return _read(path) or ""


@asynccontextmanager
async def postgres_at(dsn: str) -> AsyncIterator[Postgres]:
    """An open database for a command or a start."""
    postgres = Postgres(dsn, size=2)
    await postgres.open()
    try:
        yield postgres
    finally:
        await postgres.close()


async def prepare_stores(config: Config, dsn: str, clock: Clock) -> Prepared:
    """Keys that are missing, and a fresh link where there is no admin."""
    secret = secret_of(config.storage)
    async with postgres_at(dsn) as postgres:
        keys = PostgresKeys(postgres)
        now = clock.now()
        present = {(key.purpose, key.algorithm) for key in await keys.load() if key.retired_at is None}
        for purpose, algorithm in (("access", config.tokens.algorithm), ("assertion", "EdDSA")):
            if (purpose, algorithm) not in present:
                await keys.add_unless_present(generate(algorithm, purpose, secret, now))
        for key in await keys.load():
            unseal(key, secret)  # a wrong secret is said now, in one line
        accounts = PostgresAccounts(postgres)
        if await accounts.has_admin():
            return Prepared(setup_token=None)
        first = FirstAdmin(PostgresSetupLinks(postgres), accounts, PostgresJournal(postgres))
        return Prepared(setup_token=await first.make_link(now))


def prepare(config: Config, dsn: str) -> Prepared:
    """``prepare_stores`` for callers without an event loop. Raises StartupError or StoreUnavailable."""
    return asyncio.run(prepare_stores(config, dsn, SystemClock()))
