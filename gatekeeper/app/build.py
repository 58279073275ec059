"""One worker's gate, built and opened. Called by ``gatekeeper.worker`` and by tests as ``gatekeeper.app.build``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from gatekeeper.app.api_keys import keep_uses, write_uses
from gatekeeper.app.applications import internal_application, panel_application, public_application
from gatekeeper.app.audit import audit_sealer
from gatekeeper.app.bans import ban_parts
from gatekeeper.app.edge import build_edge
from gatekeeper.app.held import LIFE, HeldKeeper
from gatekeeper.app.login_log import LoginLog, login_log
from gatekeeper.app.mail import Post, build_post, keep_tidy, passwords_of
from gatekeeper.app.parts import Running, Stores, TokenParts, keep_keys, load_keys, open_stores, token_parts
from gatekeeper.app.places import keep_places, open_places
from gatekeeper.app.rates import AttemptRates
from gatekeeper.app.reload import Reloader, rule_book
from gatekeeper.app.reload_notes import reload_notes
from gatekeeper.app.rule_hits import HitKeeper
from gatekeeper.app.telling import Telling, build_telling
from gatekeeper.bootstrap import secret_of
from gatekeeper.clock import Clock, SystemClock
from gatekeeper.config.model import Config
from gatekeeper.errors import GatekeeperError, StoreUnavailable
from gatekeeper.events.hub import Hub
from gatekeeper.health import Health
from gatekeeper.identity.passwords import OWASP, Argon2Cost
from gatekeeper.inbound import TrustedProxies
from gatekeeper.issuers import keep_fresh
from gatekeeper.listed import read_listed, watch_listed
from gatekeeper.live import LiveConnections
from gatekeeper.observe.access import AccessLog
from gatekeeper.observe.lines import Lines
from gatekeeper.observe.metrics import Metrics
from gatekeeper.pools import Pools, show_targets
from gatekeeper.reload_desk import ReloadDesk
from gatekeeper.store.addresses import StoreAddresses
from gatekeeper.store.held import RedisHeld
from gatekeeper.surfaces.entrance import Handler
from gatekeeper.surfaces.express import Express
from policies.ban_list import BanList
from policies.listed import Listed

_ASK_AGAIN = 0.2  # seconds
_LAST_WORDS = 2.0  # seconds for the events that wait when a worker ends


@dataclass(slots=True)
class Gatekeeper:
    """One worker's gate and the hold on its life.

    ``app`` answers what is under the prefix, ``forward`` everything else, ``express`` the plain requests of both kinds
    that need no framework, ``internal`` the internal listener, ``panel`` that of the panel, where it has one.
    """

    app: web.Application
    forward: Handler
    express: Express
    internal: web.Application
    panel: web.Application | None
    health: Health
    live: LiveConnections
    reloader: Reloader
    login_log: LoginLog

    def reload(self, config: Config | None) -> None:
        """Put another configuration in force, without a pause; None: one was read and is no good.

        Raises StartupError for one that cannot be used here: then the old one stays.
        """
        if config is None:
            self.reloader.refused()
            return
        try:
            self.reloader.apply(config)
        except GatekeeperError:
            self.reloader.refused()
            raise

    trusted: TrustedProxies
    metrics: Metrics

    @property
    def reloads(self) -> ReloadDesk:
        """How the configuration stands here, and who reads it again."""
        return self.reloader.running.reloads

    def begin_drain(self) -> None:
        """SIGTERM came: readiness fails from now on."""
        self.health.draining = True


async def build(
    config: Config,
    addresses: StoreAddresses,
    *,
    access: AccessLog | None = None,
    clock: Clock | None = None,
    argon2: Argon2Cost = OWASP,
    console: Lines | None = None,
) -> Gatekeeper:
    """One worker's gate over running, migrated and prepared stores. Raises StartupError or StoreUnavailable.

    ``console`` is where the console sender's lines go, standard output unless given.
    """
    stores = open_stores(config, addresses.postgres, addresses.redis, clock := clock or SystemClock())
    running, tokens, telling = _running(config, stores, clock, argon2)
    post = build_post(config, running, console)
    telling.parcels.wake = post.delivery.wake
    edge = build_edge(config, stores, tokens, running, access, post)
    app = public_application(config, edge)
    app.cleanup_ctx.append(_life(running, tokens, post, telling.hub))
    panel = panel_application(config, edge)
    for one in filter(None, (app, panel)):
        one.on_shutdown.append(running.drain)
    return Gatekeeper(
        app,
        edge.entrance.before(edge.proxy.handle),
        edge.express,
        internal_application(config, edge, running.metrics),
        panel,
        edge.health,
        running.live,
        Reloader(running, edge, reload_notes(config, running)),
        running.login_log,
        edge.trusted,
        running.metrics,
    )


def _running(config: Config, stores: Stores, clock: Clock, argon2: Argon2Cost) -> tuple[Running, TokenParts, Telling]:
    metrics, secret = Metrics(), secret_of(config.storage)
    listed = Listed(read_listed(config))
    upstreams, places = Pools(config, secret), open_places(config.geo)
    bans = BanList(config.bans.allow, places.country)
    tokens = token_parts(config, stores, secret, metrics, bans, places)
    live = LiveConnections(stores.live, tokens.sessions, clock, tokens.api_keys, banned=bans.of_connection)
    telling = build_telling(config, stores.postgres, stores.redis, stores.journal, clock, metrics)
    running = Running(
        stores=stores,
        rules=rule_book(config, places),
        passwords=passwords_of(config, argon2),
        places=places,
        clock=clock,
        secret=secret,
        metrics=metrics,
        live=live,
        bans=ban_parts(config, stores, bans, live, metrics, clock),
        upstreams=upstreams,
        login_log=login_log(config, stores, metrics, secret, clock, telling.hub.attempted),
        rates=AttemptRates(config),
        rule_hits=HitKeeper(metrics, stores.rule_hits, clock),
        listed=listed,
        watched=watch_listed(config, listed, metrics),
        reloads=ReloadDesk(config=config),
    )
    return running, tokens, telling


def _life(
    running: Running, tokens: TokenParts, post: Post, hub: Hub
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def life(_app: web.Application) -> AsyncIterator[None]:
        keys = running.stores.keys
        try:
            await running.stores.postgres.open()
            await load_keys(tokens, keys, running.secret)
            with contextlib.suppress(StoreUnavailable):  # not ready, and nothing is served, until there is a list
                await running.bans.follower.look()
            # Redis away at the start: the worker serves public routes and answers 503 until it is there.
            with contextlib.suppress(StoreUnavailable):
                await running.stores.redis.open()
            running.metrics.password_queue = lambda: running.passwords.queued
            running.metrics.before_flush.append(show_targets(running.upstreams, running.metrics))
            keepers = {
                asyncio.create_task(keep_keys(tokens, keys, running.secret)),
                asyncio.create_task(running.metrics.keep_flushing()),
                asyncio.create_task(running.live.run()),
                asyncio.create_task(running.bans.follower.run()),
                asyncio.create_task(running.login_log.drain.run()),
                asyncio.create_task(running.login_log.keeper.run()),
                asyncio.create_task(post.delivery.run()),
                asyncio.create_task(hub.run()),
                asyncio.create_task(audit_sealer(running).run()),
                asyncio.create_task(keep_places(running.places)),
                asyncio.create_task(keep_tidy(post, running)),
                asyncio.create_task(running.rule_hits.run()),
                asyncio.create_task(held_keeper(running).run()),
                asyncio.create_task(keep_uses(tokens.api_keys.uses, running.stores.api_keys)),
                *_fresh_keys(tokens, running),
                *(asyncio.create_task(watched.run()) for watched in running.watched),
                *(asyncio.create_task(digests.run()) for digests in post.digests),
            }
            running.upstreams.watch()
            running.metrics.reloaded(good=True, now=running.clock.now())
            running.reloads.note(good=True, now=running.clock.now())
            yield
            await running.login_log.settle()
            await _end(keepers)
            await running.rule_hits.write()
            await write_uses(tokens.api_keys.uses, running.stores.api_keys)
            await hub.flush(_LAST_WORDS)
        finally:
            await running.close()

    return life


def held_keeper(running: Running) -> HeldKeeper:
    """What tells how many connections sessions hold here."""
    return HeldKeeper(running.live.held, RedisHeld(running.stores.redis, life=LIFE), running.clock)


def _fresh_keys(tokens: TokenParts, running: Running) -> set[asyncio.Task[None]]:
    foreign = tokens.foreign
    return set() if foreign is None else {asyncio.create_task(keep_fresh(foreign.issuers, running.clock))}


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: a library may swallow one cancellation on its way."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_ASK_AGAIN)
