"""The admin panel, built over the services that it shows. Called by ``gatekeeper.app.edge``."""

from __future__ import annotations

import os
from pathlib import Path

from admin.app import Panel, Views
from admin.guard import Guard
from admin.lists import PanelReader
from admin.render import Renderer
from admin.rule_table import RuleTable
from admin.views.activity import ActivityViews
from admin.views.ban_files import BanFiles
from admin.views.ban_import import BanImport
from admin.views.bans import BanViews
from admin.views.config import ConfigViews
from admin.views.exports import LoginExports
from admin.views.keys import KeyViews
from admin.views.limits import LimitViews
from admin.views.live import LiveViews
from admin.views.logins import LoginViews
from admin.views.mail import MailViews
from admin.views.map import Geography, MapViews
from admin.views.overview import OverviewViews
from admin.views.rules import RuleViews
from admin.views.search import SearchView
from admin.views.signals import SignalViews
from admin.views.trial import TrialViews
from gatekeeper.app.audit import audit_inspector
from gatekeeper.app.keys import key_desk
from gatekeeper.app.logins import Logins
from gatekeeper.app.mail import MailServices
from gatekeeper.app.meters import meters
from gatekeeper.app.owners import OwnerViews, owner_views
from gatekeeper.app.parts import Running, TokenParts
from gatekeeper.bans.desk import BanDesk
from gatekeeper.config.model import Config
from gatekeeper.explain import Explainer, Found, Suspect
from gatekeeper.gate import Gate
from gatekeeper.health import Health
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.emails import canonical_email
from gatekeeper.identity.guard import folded
from gatekeeper.identity.limits import account_key
from gatekeeper.inbound import HostList
from gatekeeper.pages.theme import Theme
from gatekeeper.store.activity import RedisActivity
from gatekeeper.store.ban_words import RedisBanWords
from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.limit_use import RedisLimitUse
from gatekeeper.store.login_places import PostgresLoginPlaces
from gatekeeper.store.open_signals import PostgresOpenSignals
from gatekeeper.store.panel import PostgresPanel
from gatekeeper.store.panel_bans import PostgresPanelBans
from gatekeeper.store.panel_users import PostgresUsers
from gatekeeper.store.presence import RedisPresence
from gatekeeper.tokens.keyring import derive
from gatekeeper.trial import Trials
from geo.lookup import PlaceFinder


def _geography(places: PlaceFinder) -> Geography:
    return Geography(places.places.positions, places.database_date.isoformat())


class _Finder:
    """Implements ``bans.desk.UserFinder``."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def find_user(self, email: str) -> tuple[str, str] | None:
        account = await self._accounts.find_by_email(canonical_email(email))
        return None if account is None else (account.state.id, account.state.email)


class _BansInForce:
    """What the tester of rules says of bans: those that this worker goes by, at once and without a store."""

    def __init__(self, running: Running) -> None:
        self._bans = running.bans.bans
        self._clock = running.clock

    def __call__(self, suspect: Suspect) -> Found:
        if suspect.address is None:
            return Found()
        found = self._bans.of_request(suspect.address, suspect.agent, self._clock.now())
        return Found() if found is None else Found(f"a ban on the {found.kind} of {suspect.address} is in force")


def build_panel(
    config: Config,
    tokens: TokenParts,
    running: Running,
    logins: Logins,
    mail: MailServices,
    theme: Theme,
    gate: Gate,
    health: Health,
) -> Panel:
    """All of it."""
    stores = running.stores
    guard = Guard(
        theme=theme,
        authenticator=tokens.authenticator,
        cookies=tokens.cookies,
        step_ups=logins.step_ups,
        presence=RedisPresence(stores.redis, idle=config.admin.idle),
        factor_roles=config.mfa.require_for_roles,
        idle=config.admin.idle,
    )
    renderer = Renderer(theme, lambda: running.places.attribution)
    owners = owner_views(config, tokens, running, logins, mail, renderer)
    queue = MailViews(mail.queue, renderer, server=config.mail.smtp.host, tries=config.mail.tries)
    views = _views(config, running, logins, queue, renderer, gate, health, owners)
    return Panel(guard, views, renderer, prefix=config.prefix, body_limit=config.sizes.json_body)


def _views(
    config: Config,
    running: Running,
    logins: Logins,
    queue: MailViews,
    renderer: Renderer,
    gate: Gate,
    health: Health,
    owners: OwnerViews,
) -> Views:
    stores = running.stores
    reader = PostgresPanel(stores.postgres)
    bans = PostgresBans(stores.postgres, RedisBanWords(stores.redis).tell)
    ban_desk = BanDesk(bans, stores.journal, _Finder(logins.accounts), running.places.country)
    return Views(
        overview=_overview(running, health, renderer),
        signals=_signals(running, owners, ban_desk, renderer),
        logins=LoginViews(stores.login_reader, renderer),
        exports=LoginExports(stores.login_reader),
        trusting=owners.trusting,
        map=MapViews(
            PostgresLoginPlaces(stores.postgres), stores.login_reader, renderer, lambda: _geography(running.places)
        ),
        sessions=owners.sessions,
        users=owners.users,
        user_acts=owners.user_acts,
        user_bulk=owners.user_bulk,
        user_files=owners.user_files,
        newcomers=owners.newcomers,
        story=owners.story,
        bans=BanViews(reader, PostgresPanelBans(stores.postgres), ban_desk, renderer),
        ban_files=BanFiles(PostgresPanelBans(stores.postgres)),
        ban_import=BanImport(ban_desk, renderer),
        limits=_limits(running, reader, gate, renderer),
        rules=RuleViews(
            _explainer(config, running, gate),
            RuleTable(lambda: gate.rules, stores.rule_hits, running.rule_hits.write),
            renderer,
            running.reloads,
            stores.journal,
        ),
        activity=ActivityViews(reader, audit_inspector(stores.postgres, stores.redis, running.secret), renderer),
        live=LiveViews(RedisActivity(stores.redis), reader, running.live, renderer),
        mail=queue,
        keys=KeyViews(key_desk(config, stores.postgres, stores.journal, running.secret), renderer),
        trial=TrialViews(_trials(running), renderer, limit=config.sizes.json_body),
        config=ConfigViews(running.reloads, running.places, lambda: _targets(running), renderer),
        search=SearchView(reader, PostgresUsers(stores.postgres), renderer),
    )


def _explainer(config: Config, running: Running, gate: Gate) -> Explainer:
    return Explainer(
        lambda: gate.rules,
        HostList(config.public_url, config.hosts),
        public_url=config.public_url,
        prefix=config.prefix,
        country_of=running.places.country,
        ban_on=_BansInForce(running),
    )


def _overview(running: Running, health: Health, renderer: Renderer) -> OverviewViews:
    stores = running.stores
    return OverviewViews(
        PostgresPanel(stores.postgres),
        stores.login_reader,
        PostgresOpenSignals(stores.postgres),
        renderer,
        bans=lambda: len(running.bans.bans),
        pace=running.metrics.requests_per_second,
        health=health.parts,
        standing=running.reloads,
        places=running.places,
        upstreams=lambda: _targets(running),
    )


def _targets(running: Running) -> dict[str, list[tuple[str, bool]]]:
    return {name: pool.standings() for name, pool in running.upstreams.items()}


def _limits(running: Running, reader: PanelReader, gate: Gate, renderer: Renderer) -> LimitViews:
    secret = derive(running.secret, "attempt-counters")
    return LimitViews(
        reader,
        RedisLimitUse(running.stores.redis),
        lambda: meters(gate, running.rates),
        lambda email: account_key(secret, folded(email)),
        renderer,
    )


def _signals(running: Running, owners: OwnerViews, bans: BanDesk, renderer: Renderer) -> SignalViews:
    stores = running.stores
    return SignalViews(
        PostgresOpenSignals(stores.postgres),
        stores.login_reader,
        PostgresPanel(stores.postgres),
        owners.user_desk,
        owners.session_desk,
        bans,
        stores.journal,
        renderer,
    )


def _trials(running: Running) -> Trials:
    desk = running.reloads

    def folder() -> Path:
        return Path() if desk.origin.file is None else Path(desk.origin.file).parent

    return Trials(lambda: desk.config, folder, os.environ)
