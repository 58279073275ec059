"""What lives as long as a worker: the drivers, what is built right on them, the tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from gatekeeper.app.login_log import LoginLog
from gatekeeper.app.rates import AttemptRates
from gatekeeper.app.rule_hits import HitKeeper
from gatekeeper.authenticator import Authenticator
from gatekeeper.bans.door import Door
from gatekeeper.bans.follow import BanFollower
from gatekeeper.bans.strikes import Strikes
from gatekeeper.clock import Clock
from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.passwords import Passwords
from gatekeeper.issuers import foreign_tokens
from gatekeeper.journal.attempts import AttemptLog
from gatekeeper.live import LiveConnections
from gatekeeper.observe.metrics import Metrics
from gatekeeper.pools import Pools
from gatekeeper.reload_desk import ReloadDesk
from gatekeeper.store.accounts import PostgresAccounts, PostgresKeys, PostgresSetupLinks
from gatekeeper.store.api_keys import PostgresApiKeys
from gatekeeper.store.foreign import PostgresForeignRevocations
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.login_reader import PostgresLoginReader
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal, PostgresSessionRecords
from gatekeeper.store.redis import Redis
from gatekeeper.store.replay import Replay
from gatekeeper.store.rule_hits import PostgresRuleHits
from gatekeeper.tokens.api_keys import KeyReader, KeyUses
from gatekeeper.tokens.binding import Bindings
from gatekeeper.tokens.codec import AccessTokens
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.devices import DeviceTokens
from gatekeeper.tokens.foreign import ForeignTokens
from gatekeeper.tokens.keyring import KeyRing, derive, unseal
from gatekeeper.tokens.refresh import RefreshTokens
from gatekeeper.tokens.sessions import Sessions
from gatekeeper.watch import WatchedFiles
from geo.lookup import PlaceFinder
from policies.ban_list import BanList
from policies.listed import Listed
from policies.rules import RuleBook

KEYS_EVERY = 5.0  # seconds between looks for signing keys that other gates made
_USER_LIFE_MARGIN = 86_400.0


@dataclass(frozen=True, slots=True)
class BanParts:
    """The list of bans, who may change it, and who asks it (``gatekeeper.app.bans``)."""

    bans: BanList
    strikes: Strikes
    follower: BanFollower
    door: Door


@dataclass(frozen=True, slots=True)
class Stores:
    """The drivers and what is built right on them."""

    postgres: Postgres
    redis: Redis
    live: RedisSessions
    records: PostgresSessionRecords
    foreign: PostgresForeignRevocations
    journal: PostgresJournal
    login_log: PostgresLoginLog
    login_reader: PostgresLoginReader
    accounts: PostgresAccounts
    setup_links: PostgresSetupLinks
    keys: PostgresKeys
    api_keys: PostgresApiKeys
    rule_hits: PostgresRuleHits


@dataclass(frozen=True, slots=True)
class TokenParts:
    """Everything that makes and reads tokens."""

    ring: KeyRing
    access: AccessTokens
    refresh: RefreshTokens
    sessions: Sessions
    cookies: Cookies
    devices: DeviceTokens
    authenticator: Authenticator
    api_keys: KeyReader
    foreign: ForeignTokens | None


def open_stores(config: Config, postgres_dsn: str, redis_url: str, clock: Clock) -> Stores:
    """The stores, not yet connected."""
    user_life = config.tokens.refresh_ttl + _USER_LIFE_MARGIN
    postgres = Postgres(postgres_dsn, timeout=config.storage.postgres_timeout)
    records, foreign = PostgresSessionRecords(postgres), PostgresForeignRevocations(postgres)
    keys = PostgresApiKeys(postgres)
    replay = Replay(records, foreign, keys, clock, user_life=user_life)
    patience = config.storage.redis_timeout
    redis = Redis(redis_url, timeout=patience, connect_timeout=max(patience, 1.0), on_new_server=replay)
    return Stores(
        postgres=postgres,
        redis=redis,
        live=RedisSessions(redis, user_life=user_life),
        records=records,
        foreign=foreign,
        journal=PostgresJournal(postgres),
        login_log=PostgresLoginLog(postgres),
        login_reader=PostgresLoginReader(postgres),
        accounts=PostgresAccounts(postgres),
        setup_links=PostgresSetupLinks(postgres),
        keys=PostgresKeys(postgres),
        api_keys=keys,
        rule_hits=PostgresRuleHits(postgres),
    )


def token_parts(
    config: Config, stores: Stores, secret: str, metrics: Metrics, bans: BanList, places: PlaceFinder
) -> TokenParts:
    """The makers and readers of tokens, over a key ring that is still empty."""
    ring = KeyRing([])
    access = AccessTokens(ring, issuer=config.public_url, audience=config.tokens.audience, ttl=config.tokens.access_ttl)
    refresh = RefreshTokens(derive(secret, "refresh-tokens"))
    sessions = Sessions(
        stores.live,
        stores.records,
        access,
        refresh,
        refresh_ttl=config.tokens.refresh_ttl,
        idle_ttl=config.tokens.idle_ttl,
        reuse_window=config.tokens.refresh_reuse_window,
        bindings=Bindings(
            derive(secret, "session-bindings"),
            places.country,
            bind=config.sessions.bind,
            on_mismatch=config.sessions.on_mismatch,
        ),
        on_event=metrics.token,
    )
    cookies = Cookies(secure=config.public_url.startswith("https:"))
    devices = DeviceTokens(derive(secret, "device-tokens"))
    keys = KeyReader(stores.live, stores.api_keys, KeyUses())
    authenticator = Authenticator(access, refresh, stores.live, sessions, cookies, bans, keys)
    foreign = foreign_tokens(config)
    return TokenParts(ring, access, refresh, sessions, cookies, devices, authenticator, keys, foreign)


async def load_keys(tokens: TokenParts, store: PostgresKeys, secret: str) -> None:
    """Take over the signing keys of the database; what a vanished key signed stops verifying."""
    keys = [unseal(key, secret) for key in await store.load()]
    tokens.access.forget(tokens.ring.replace(keys))


async def keep_keys(tokens: TokenParts, store: PostgresKeys, secret: str) -> None:
    """Look for other gates' keys, for ever, until cancelled."""
    while True:
        await asyncio.sleep(KEYS_EVERY)
        # PostgreSQL away: the keys in hand stay in force.
        with contextlib.suppress(StoreUnavailable):
            await load_keys(tokens, store, secret)


@dataclass(slots=True)
class Running:
    """What lives as long as the worker and is opened and closed with it."""

    stores: Stores
    rules: RuleBook
    passwords: Passwords
    places: PlaceFinder
    clock: Clock
    secret: str
    metrics: Metrics
    live: LiveConnections
    bans: BanParts
    upstreams: Pools
    login_log: LoginLog
    rates: AttemptRates
    rule_hits: HitKeeper
    listed: Listed
    watched: list[WatchedFiles[Any]]
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    reloads: ReloadDesk = field(default_factory=ReloadDesk)

    @property
    def attempts(self) -> AttemptLog:
        """Where login attempts are written."""
        return self.login_log.attempts

    async def redis_answers(self) -> None:
        """Raises StoreUnavailable unless Redis answers."""
        await self.stores.redis.call("PING")

    async def drain(self, _app: web.Application) -> None:
        """No connection is accepted any more: end those that would never end, so that clients go elsewhere."""
        await self.live.drain()

    async def postgres_answers(self) -> None:
        """Raises StoreUnavailable unless PostgreSQL answers."""
        await self.stores.postgres.fetch_one("SELECT 1 AS one")

    async def close(self) -> None:
        """Let go of everything."""
        for close in self.closers:
            await close()
        await self.bans.strikes.close()
        self.passwords.close()
        await self.upstreams.close()
        await self.login_log.close()
        await self.stores.redis.close()
        await self.stores.postgres.close()
        self.places.close()
