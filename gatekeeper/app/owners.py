"""The panel's pages about accounts and their sessions. Called by ``gatekeeper.app.panel``."""

from __future__ import annotations

from dataclasses import dataclass

from admin.open_sessions import OpenSessions
from admin.render import Renderer
from admin.views.newcomers import NewcomerViews
from admin.views.sessions import SessionViews
from admin.views.story import StoryView
from admin.views.trusting import TrustView
from admin.views.user_acts import UserActs
from admin.views.user_bulk import UserBulk
from admin.views.user_files import UserFiles
from admin.views.users import UserViews
from gatekeeper.app.api_keys import key_service
from gatekeeper.app.held import LIFE
from gatekeeper.app.logins import Logins
from gatekeeper.app.mail import MailServices
from gatekeeper.app.parts import Running, TokenParts
from gatekeeper.config.model import Config
from gatekeeper.identity.bulk_desk import BulkDesk
from gatekeeper.identity.device_desk import DeviceDesk
from gatekeeper.identity.factor_desk import FactorDesk
from gatekeeper.identity.session_desk import SessionDesk
from gatekeeper.identity.user_desk import UserDesk
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.familiar import PostgresProfiles
from gatekeeper.store.held import RedisHeld
from gatekeeper.store.many_accounts import PostgresManyAccounts
from gatekeeper.store.panel import PostgresPanel
from gatekeeper.store.panel_users import PostgresUsers
from gatekeeper.store.seen_devices import PostgresSeenDevices
from gatekeeper.store.story import PostgresStory


@dataclass(frozen=True, slots=True)
class OwnerViews:
    """One a subject, and the services that other pages act by too."""

    users: UserViews
    user_acts: UserActs
    user_bulk: UserBulk
    user_files: UserFiles
    newcomers: NewcomerViews
    story: StoryView
    sessions: SessionViews
    trusting: TrustView
    user_desk: UserDesk
    session_desk: SessionDesk


def owner_views(
    config: Config,
    tokens: TokenParts,
    running: Running,
    logins: Logins,
    mail: MailServices,
    renderer: Renderer,
) -> OwnerViews:
    """All of them."""
    stores, registration = running.stores, mail.registration
    reader, sessions = PostgresPanel(stores.postgres), SessionDesk(tokens.sessions, stores.journal)
    users = PostgresUsers(stores.postgres)
    keys = key_service(config, stores.api_keys, stores.live, stores.journal)
    desk = UserDesk(
        logins.accounts,
        running.passwords,
        stores.journal,
        logins.notices,
        None if registration.settings.mode == "closed" else registration.invitations,
        invitation_ttl=config.registration.invitation_ttl,
    )
    held = RedisHeld(stores.redis, life=LIFE)
    living = OpenSessions(reader, stores.live, held, idle_ttl=config.tokens.idle_ttl)
    devices = _devices(tokens, running)
    factors = FactorDesk(logins.accounts, PostgresFactors(stores.postgres), stores.journal, logins.notices)
    return OwnerViews(
        UserViews(users, reader, stores.login_reader, desk, sessions, factors, keys, devices, renderer),
        UserActs(desk, mail.proofs, factors, keys, devices),
        UserBulk(users, BulkDesk(PostgresManyAccounts(stores.postgres), stores.live, stores.journal), renderer),
        UserFiles(users),
        NewcomerViews(desk, renderer, form_limit=config.sizes.json_body),
        StoryView(PostgresStory(stores.postgres), stores.login_reader, desk, renderer),
        SessionViews(reader, living, sessions, renderer),
        TrustView(stores.login_reader, desk, devices),
        desk,
        sessions,
    )


def _devices(tokens: TokenParts, running: Running) -> DeviceDesk:
    postgres, journal = running.stores.postgres, running.stores.journal
    seen, profiles = PostgresSeenDevices(postgres), PostgresProfiles(postgres)
    return DeviceDesk(seen, profiles, PostgresFactors(postgres), tokens.sessions, journal)
