"""What ``gatekeeper explain`` says of bans, which it asks a database that runs; it starts none and changes nothing.

Judges as ``policies.ban_list.BanList`` does: the narrowest network, then the country, then the user agent, none of
which reaches an address of ``bans.allow``; and the account by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gatekeeper.bans.desk import said_time
from gatekeeper.cli.doors import running_gate
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED
from gatekeeper.errors import GatekeeperError
from gatekeeper.explain import Found, Suspect
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.embedded import embedded_servers
from gatekeeper.store.postgres import Postgres, QueryError
from policies.bans import Ban, BanKind, Subject, agent_matches, of_user


def bans_on(suspect: Suspect, loaded: LoadedConfig) -> Found:
    """Never raises for a database that is away: then the remark says so."""
    if suspect.nobody:
        return Found()
    try:
        with _database(loaded) as dsn:
            if dsn is None:
                return Found(remark="bans were not looked at, as no gate of this data_dir runs")
            return asyncio.run(_found(suspect, loaded, dsn))
    except (GatekeeperError, QueryError) as fault:
        return Found(remark=f"bans could not be looked at: {fault}")


@contextmanager
def _database(loaded: LoadedConfig) -> Iterator[str | None]:
    storage = loaded.config.storage
    dsn = storage.postgres.get_secret_value()
    if dsn != EMBEDDED:
        yield dsn
    elif running_gate(storage.data_dir) is None:
        yield None
    else:
        with embedded_servers(storage.data_dir, attach=True, postgres=True, redis=False) as embedded:
            yield embedded.addresses.postgres


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Postgres]:
    postgres = Postgres(dsn, size=1)
    try:
        yield postgres
    finally:
        await postgres.close()


async def _found(suspect: Suspect, loaded: LoadedConfig, dsn: str) -> Found:
    now = SystemClock.now()
    async with _connected(dsn) as postgres:
        store = PostgresBans(postgres, _nobody)
        ban = await _of_request(store, suspect, now)
        if ban is not None:
            allowed = [str(net) for net in loaded.config.bans.allow if suspect.address and suspect.address in net]
            if not allowed:
                return Found(_said(ban))
        else:
            allowed = []
        account = await _of_account(store, PostgresAccounts(postgres), suspect.email, now)
    if account is not None:
        return Found(_said(account))
    return Found(remark=f"{_said(ban)}, but {allowed[0]} is in bans.allow" if ban is not None else None)


async def _of_request(store: PostgresBans, suspect: Suspect, now: float) -> Ban | None:
    if suspect.address is not None and (reaching := await store.reaching(suspect.address, now)):
        return reaching[0]
    if suspect.country is not None and (ban := await store.find(Subject(BanKind.COUNTRY, suspect.country), now)):
        return ban
    agent = (suspect.agent or "").lower()
    bans = await store.on_agents(now) if agent else []
    return next((ban for ban in bans if agent_matches(ban.subject.text, agent)), None)


async def _of_account(store: PostgresBans, accounts: PostgresAccounts, email: str | None, now: float) -> Ban | None:
    try:
        account = None if email is None else await accounts.find_by_email(canonical_email(email))
    except InvalidEmail:
        return None
    return None if account is None else await store.find(of_user(account.state.id), now)


def _said(ban: Ban) -> str:
    text = f"agent:{ban.subject.text}" if ban.subject.kind is BanKind.AGENT else ban.label or ban.subject.text
    end = "for good" if ban.until is None else f"until {said_time(ban.until)}"
    reason = f": {ban.reason}" if ban.reason else ""
    return f"{text} is banned {end} ({ban.source}, by {ban.actor}{reason})"


async def _nobody(_version: int) -> None:
    """Nothing is changed here."""
