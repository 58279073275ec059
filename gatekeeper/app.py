"""The composition root: the only place that builds objects from a Config. Called by ``gatekeeper.worker``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from admin.app import Panel
from gatekeeper.answers import json_answer
from gatekeeper.bootstrap import secret_of
from gatekeeper.clock import Clock, SystemClock
from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable
from gatekeeper.gate import Authenticator, Gate
from gatekeeper.health import Health
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.endpoints import Identity, IdentitySettings
from gatekeeper.identity.limits import LimitsCounter
from gatekeeper.identity.login import PasswordLogin
from gatekeeper.identity.openapi import document
from gatekeeper.identity.passwords import OWASP, Argon2Cost, PasswordRules, Passwords
from gatekeeper.identity.setup import FirstAdmin
from gatekeeper.inbound import HostList, RequestReader, TrustedProxies
from gatekeeper.journal.measured import MeasuredAttempts
from gatekeeper.live import LiveConnections
from gatekeeper.observe.access import AccessLog
from gatekeeper.observe.metrics import CONTENT_TYPE, Metrics
from gatekeeper.pages.next import origins_of
from gatekeeper.pages.theme import Theme
from gatekeeper.pages.views import Pages
from gatekeeper.pools import open_pools, readiness, show_targets
from gatekeeper.store.accounts import PostgresAccounts, PostgresKeys, PostgresSetupLinks
from gatekeeper.store.addresses import StoreAddresses
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal, PostgresSessionRecords
from gatekeeper.store.redis import Redis
from gatekeeper.store.replay import Replay
from gatekeeper.surfaces.entrance import Entrance, Handler
from gatekeeper.surfaces.identity_headers import IdentityHeaders
from gatekeeper.surfaces.proxy import Proxy, ProxySettings
from gatekeeper.surfaces.verify import NginxVerify
from gatekeeper.tokens.assertion import Assertions
from gatekeeper.tokens.codec import AccessTokens
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.keyring import KeyRing, derive, unseal
from gatekeeper.tokens.refresh import RefreshTokens
from gatekeeper.tokens.sessions import Sessions
from gatekeeper.upstream.pool import UpstreamPool
from geo.lookup import PlaceFinder
from policies.load import compile_rules
from policies.rates import Limit
from policies.rules import RuleBook

KEYS_EVERY = 30.0  # seconds between looks for signing keys that other gates made
_USER_LIFE_MARGIN = 86_400.0


@dataclass(slots=True)
class Gatekeeper:
    """One worker's gate and the hold on its life.

    ``app`` answers what is under the prefix, ``forward`` everything else, ``internal`` the internal listener.
    """

    app: web.Application
    forward: Handler
    internal: web.Application
    health: Health
    live: LiveConnections

    def begin_drain(self) -> None:
        """SIGTERM came: readiness fails from now on."""
        self.health.draining = True


@dataclass(frozen=True, slots=True)
class Stores:
    """The drivers and what is built right on them."""

    postgres: Postgres
    redis: Redis
    live: RedisSessions
    records: PostgresSessionRecords
    journal: PostgresJournal
    accounts: PostgresAccounts
    setup_links: PostgresSetupLinks
    keys: PostgresKeys


@dataclass(frozen=True, slots=True)
class TokenParts:
    """Everything that makes and reads tokens."""

    ring: KeyRing
    access: AccessTokens
    refresh: RefreshTokens
    sessions: Sessions
    cookies: Cookies
    authenticator: Authenticator


def open_stores(config: Config, postgres_dsn: str, redis_url: str, clock: Clock) -> Stores:
    """The stores, not yet connected."""
    user_life = config.tokens.refresh_ttl + _USER_LIFE_MARGIN
    postgres = Postgres(postgres_dsn)
    records = PostgresSessionRecords(postgres)
    redis = Redis(redis_url, on_new_server=Replay(records, clock, user_life=user_life))
    return Stores(
        postgres=postgres,
        redis=redis,
        live=RedisSessions(redis, user_life=user_life),
        records=records,
        journal=PostgresJournal(postgres),
        accounts=PostgresAccounts(postgres),
        setup_links=PostgresSetupLinks(postgres),
        keys=PostgresKeys(postgres),
    )


def _tokens(config: Config, stores: Stores, secret: str, metrics: Metrics) -> TokenParts:
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
        on_event=metrics.token,
    )
    cookies = Cookies(secure=config.public_url.startswith("https:"))
    authenticator = Authenticator(access, refresh, stores.live, sessions, cookies)
    return TokenParts(ring, access, refresh, sessions, cookies, authenticator)


async def load_keys(tokens: TokenParts, store: PostgresKeys, secret: str) -> None:
    """Take over the signing keys of the database; what a vanished key signed stops verifying."""
    keys = [unseal(key, secret) for key in await store.load()]
    tokens.access.forget(tokens.ring.replace(keys))


async def _keep_keys(tokens: TokenParts, store: PostgresKeys, secret: str) -> None:
    while True:
        await asyncio.sleep(KEYS_EVERY)
        # PostgreSQL away: the keys in hand stay in force.
        with contextlib.suppress(StoreUnavailable):
            await load_keys(tokens, store, secret)


def is_loopback(public_url: str) -> bool:
    """Whether only this machine can reach the gate by its public address."""
    host = urlsplit(public_url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _open_registration(config: Config) -> bool:
    mode = config.registration.mode
    return mode == "open" or (mode == "auto" and is_loopback(config.public_url))


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
    upstreams: dict[str, UpstreamPool] = field(default_factory=dict)

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
        self.passwords.close()
        for pool in self.upstreams.values():
            await pool.close()
        await self.stores.redis.close()
        await self.stores.postgres.close()
        self.places.close()


def _login(config: Config, tokens: TokenParts, accounts: Accounts, running: Running) -> PasswordLogin:
    return PasswordLogin(
        accounts,
        running.passwords,
        tokens.sessions,
        MeasuredAttempts(running.stores.journal, running.metrics),
        LimitsCounter(running.stores.redis.limits_storage),
        per_address=config.limits.login_per_ip,
        per_account=config.limits.login_per_account,
        counter_secret=derive(running.secret, "attempt-counters"),
    )


def _identity(config: Config, stores: Stores, tokens: TokenParts, running: Running) -> tuple[Identity, PasswordLogin]:
    accounts = Accounts(stores.accounts, stores.live)
    login = _login(config, tokens, accounts, running)
    identity = Identity(
        settings=IdentitySettings(
            open_registration=_open_registration(config),
            register_per_address=config.limits.register_per_ip,
            refresh_per_session=config.limits.refresh_per_session,
            json_limit=config.sizes.json_body,
        ),
        accounts=accounts,
        passwords=running.passwords,
        login=login,
        sessions=tokens.sessions,
        authenticator=tokens.authenticator,
        cookies=tokens.cookies,
        refresh_tokens=tokens.refresh,
        counter=LimitsCounter(stores.redis.limits_storage),
        keys=tokens.ring,
        places=running.places,
        audit=stores.journal,
    )
    return identity, login


@dataclass(frozen=True, slots=True)
class Edge:
    """What handles requests."""

    identity: Identity
    pages: Pages
    panel: Panel
    proxy: Proxy
    verify: NginxVerify
    entrance: Entrance
    health: Health
    theme: Theme


def _edge(config: Config, stores: Stores, tokens: TokenParts, running: Running, access: AccessLog | None) -> Edge:
    hosts = HostList(config.public_url, config.hosts)
    trusted = TrustedProxies(config.trusted_proxies)
    default = config.limits.default
    gate = Gate(
        running.rules,
        hosts,
        tokens.authenticator,
        stores.live,
        tokens.cookies,
        Limit("default", default.amount, default.get_expiry()),
        on_store_lost=partial(running.metrics.store_error, "redis"),
    )
    headers = IdentityHeaders(Assertions(tokens.ring, config.public_url), running.places)
    identity, login = _identity(config, stores, tokens, running)
    theme = Theme(prefix=config.prefix, public_url=config.public_url, packages=("gatekeeper.pages", "admin"))
    pages = Pages(
        theme=theme,
        identity=identity,
        login=login,
        authenticator=tokens.authenticator,
        sessions=tokens.sessions,
        cookies=tokens.cookies,
        passwords=running.passwords,
        setup=FirstAdmin(stores.setup_links, stores.accounts, stores.journal),
        origins=origins_of(config.public_url, config.hosts),
        form_limit=config.sizes.json_body,
    )
    scheme = "https" if config.public_url.startswith("https:") else "http"
    return Edge(
        identity=identity,
        pages=pages,
        panel=Panel(
            theme=theme,
            authenticator=tokens.authenticator,
            cookies=tokens.cookies,
            attempts=stores.journal,
            sessions=stores.records,
            live=stores.live,
            idle_ttl=config.tokens.idle_ttl,
        ),
        proxy=Proxy(
            gate,
            running.upstreams,
            headers,
            trusted,
            ProxySettings(config.prefix, config.sizes.body),
            running.metrics,
            running.live,
        ),
        verify=NginxVerify(gate, headers, trusted, hosts, prefix=config.prefix, public_url=config.public_url),
        entrance=Entrance(
            RequestReader(trusted, running.clock, scheme=scheme), hosts, access, running.metrics, prefix=config.prefix
        ),
        health=Health(
            {
                "redis": running.redis_answers,
                "postgres": running.postgres_answers,
                **readiness(running.upstreams),
            }
        ),
        theme=theme,
    )


def _application(config: Config, edge: Edge) -> web.Application:
    prefix = config.prefix
    app = web.Application(middlewares=[edge.entrance.middleware], client_max_size=config.sizes.json_body)
    edge.theme.setup(app)
    app.add_routes(edge.identity.routes(prefix))
    app.add_routes(edge.pages.routes(prefix))
    app.add_routes(edge.panel.routes(prefix))
    app.add_routes(edge.health.routes(prefix))
    openapi = document(prefix, config.public_url)

    async def openapi_json(_request: web.Request) -> web.Response:
        return json_answer(openapi)

    app.router.add_get(f"{prefix}/openapi.json", openapi_json)
    app.router.add_route("*", f"{prefix}/verify", edge.verify.handle)
    return app


def _internal(config: Config, edge: Edge, metrics: Metrics) -> web.Application:
    """Health and metrics for those inside, without login."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    app = web.Application()
    app.add_routes([*edge.health.routes(config.prefix), web.get(f"{config.prefix}/metrics", show)])
    return app


async def build(
    config: Config,
    addresses: StoreAddresses,
    *,
    access: AccessLog | None = None,
    clock: Clock | None = None,
    argon2: Argon2Cost = OWASP,
) -> Gatekeeper:
    """One worker's gate over running, migrated and prepared stores. Raises StartupError or StoreUnavailable."""
    clock = clock or SystemClock()
    stores = open_stores(config, addresses.postgres, addresses.redis, clock)
    metrics, secret = Metrics(), secret_of(config.storage)
    tokens = _tokens(config, stores, secret, metrics)
    upstreams = open_pools(config, secret)
    running = Running(
        stores=stores,
        rules=compile_rules(config.rules, list(config.upstreams), prefix=config.prefix),
        passwords=Passwords(
            PasswordRules(min_length=config.passwords.min_length, block_common=config.passwords.block_common),
            cost=argon2,
        ),
        places=_places(config),
        clock=clock,
        secret=secret,
        metrics=metrics,
        live=LiveConnections(stores.live, tokens.sessions, clock),
        upstreams=upstreams,
    )
    edge = _edge(config, stores, tokens, running, access)
    app = _application(config, edge)
    app.cleanup_ctx.append(_life(running, tokens))
    app.on_shutdown.append(running.drain)
    return Gatekeeper(
        app,
        edge.entrance.before(edge.proxy.handle),
        _internal(config, edge, running.metrics),
        edge.health,
        running.live,
    )


def _life(running: Running, tokens: TokenParts) -> Callable[[web.Application], AsyncIterator[None]]:
    async def life(_app: web.Application) -> AsyncIterator[None]:
        keys = running.stores.keys
        try:
            await running.stores.postgres.open()
            await load_keys(tokens, keys, running.secret)
            # Redis away at the start: the worker serves public routes and answers 503 until it is there.
            with contextlib.suppress(StoreUnavailable):
                await running.stores.redis.open()
            running.metrics.password_queue = lambda: running.passwords.queued
            running.metrics.before_flush.append(show_targets(running.upstreams, running.metrics))
            keepers = {
                asyncio.create_task(_keep_keys(tokens, keys, running.secret)),
                asyncio.create_task(running.metrics.keep_flushing()),
                asyncio.create_task(running.live.run()),
                *(asyncio.create_task(pool.checks.run()) for pool in running.upstreams.values() if pool.checks),
            }
            yield
            for keeper in keepers:
                keeper.cancel()
            await asyncio.wait(keepers)
        finally:
            await running.close()

    return life


def _places(config: Config) -> PlaceFinder:
    if config.geo.database == "bundled":
        return PlaceFinder.bundled()
    return PlaceFinder.open(config.geo.database)
