"""What is sent, and the services that send it: outbox, SMTP, webhooks, codes, recovery, registration. For ``edge``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Final

from gatekeeper.app.api_keys import key_service
from gatekeeper.app.logins import Logins
from gatekeeper.app.parts import Running
from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable
from gatekeeper.events.hooks import EventHooks
from gatekeeper.identity.disowning import Disowning
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.factors.otp import OneTimeCodes, OtpSettings
from gatekeeper.identity.leaks import PwnedRanges
from gatekeeper.identity.limits import LimitsCounter
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.mail_endpoints import MailEndpoints
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.otp_login import OtpLogin
from gatekeeper.identity.passwords import Argon2Cost, PasswordRules, Passwords
from gatekeeper.identity.recovery import Recovery
from gatekeeper.identity.registration import Invitations, Registration, RegistrationSettings
from gatekeeper.mail_desk import MailDesk
from gatekeeper.notify.console import Console
from gatekeeper.notify.delivery import Channel, Delivery
from gatekeeper.notify.digest import Digests
from gatekeeper.notify.letters import Letters
from gatekeeper.notify.messages import Kind
from gatekeeper.notify.outbound import Outbound
from gatekeeper.notify.outbox import EVENT, Notifier, Routes
from gatekeeper.notify.smtp import Smtp, SmtpServer
from gatekeeper.notify.webhook import Webhooks, key_of
from gatekeeper.observe.lines import Lines, LineWriter
from gatekeeper.store.digests import PostgresDigests
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.mail_queue import PostgresMailQueue
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.keyring import derive
from gatekeeper.tokens.sealing import Sealer

SWEEP_EVERY: Final = 3600.0  # seconds
_KEPT: Final = 30 * 86_400.0  # seconds that a message that was given up is shown
_LINKS_KEPT: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Post:
    """Everything about sending."""

    outbox: PostgresOutbox
    links: PostgresLinks
    notifier: Notifier
    delivery: Delivery
    digests: tuple[Digests, ...]  # none where nobody wants them


@dataclass(frozen=True, slots=True)
class MailServices:
    """The services, for the endpoints and the pages; ``queue`` for the panel."""

    codes: OneTimeCodes
    otp_login: OtpLogin
    proofs: EmailProofs
    recovery: Recovery
    registration: Registration
    disowning: Disowning
    queue: MailDesk


class _StandardOutput:
    """Lines to standard output; its thread starts with the first one."""

    def __init__(self) -> None:
        self._writer: LineWriter | None = None

    def write(self, line: bytes) -> None:
        self._writer = self._writer or LineWriter(sys.stdout)
        self._writer.write(line)


def routes_of(config: Config) -> Routes:
    """Which way each kind of message goes."""
    hooks: dict[str, tuple[str, ...]] = {}
    for kind in Kind:
        hooks[kind] = tuple(hook.url for hook in config.notify.webhooks if _listens(hook.events, kind))
    codes = tuple(dict.fromkeys(config.otp.deliver))
    others = ("smtp",) if config.mail.smtp.host is not None else codes
    return Routes(codes, others, hooks)


def _listens(events: list[str], kind: Kind) -> bool:
    return str(kind) in events


def smtp_of(config: Config) -> Smtp | None:
    """The channel for mail; None where none is configured. Raises StartupError."""
    mail, server = config.mail, config.mail.smtp
    if server.host is None or mail.from_address is None:
        return None
    password = server.password.get_secret_value() if server.password else None
    letters = Letters(sender=mail.from_address, public_url=config.public_url, folder=mail.templates)
    return Smtp(
        SmtpServer(server.host, server.port, server.tls, server.user, password, server.ca, server.timeout), letters
    )


def webhooks_of(config: Config) -> Webhooks | None:
    """The sender of webhooks; None where none is configured."""
    if not config.notify.webhooks:
        return None
    keys = {hook.url: key_of(hook.secret.get_secret_value()) for hook in config.notify.webhooks}
    return Webhooks(keys, Outbound(config.notify.allow_private), config.notify.timeout)


def notifier_of(config: Config, postgres: Postgres, secret: str, lines: Lines | None = None) -> Notifier:
    """What takes messages; ``lines`` is where the console's go (standard output)."""
    return Notifier(PostgresOutbox(postgres), sealer_of(secret), routes_of(config), Console(lines or _StandardOutput()))


def sealer_of(secret: str) -> Sealer:
    """For what waits in the outbox."""
    return Sealer(derive(secret, "messages"))


def build_post(config: Config, running: Running, lines: Lines | None) -> Post:
    """Raises StartupError where something that mail needs is missing."""
    postgres = running.stores.postgres
    channels: dict[str, Channel] = {}
    smtp = smtp_of(config)
    if smtp is not None:
        channels["smtp"] = smtp
    webhooks = webhooks_of(config)
    if webhooks is not None:
        channels |= {"webhook": webhooks, EVENT: EventHooks(webhooks)}
    outbox = PostgresOutbox(postgres)
    delivery = Delivery(
        outbox,
        sealer_of(running.secret),
        channels,
        running.clock,
        tries=config.mail.tries,
        on_event=running.metrics.message,
    )
    notifier = notifier_of(config, postgres, running.secret, lines)
    notifier.wake = delivery.wake
    return Post(outbox, PostgresLinks(postgres), notifier, delivery, digests_of(config, running, delivery.wake))


def digests_of(config: Config, running: Running, wake: Callable[[], None]) -> tuple[Digests, ...]:
    """What mails digests, if anybody wants them."""
    wanted = config.notify.digest
    if not wanted.to:
        return ()
    store, sealer = PostgresDigests(running.stores.postgres), sealer_of(running.secret)
    panel = f"{config.panel_url}{config.prefix}/admin"
    to = [parseaddr(one)[1] for one in wanted.to]
    return (Digests(store, sealer, running.clock, to=to, every=wanted.every, panel=panel, wake=wake),)


def notices_of(config: Config, post: Post) -> Notices:
    """What tells owners of changes."""
    return Notices(post.notifier, post.links, Addresses(config.public_url, config.prefix))


async def keep_tidy(post: Post, running: Running) -> None:
    """Forget old links and messages now and then, for ever, until cancelled."""
    while True:
        now = running.clock.now()
        with contextlib.suppress(StoreUnavailable):
            await post.links.forget(now - _LINKS_KEPT)
            await post.outbox.forget(now - _KEPT, now)
        await asyncio.sleep(SWEEP_EVERY)


def _codes(config: Config, running: Running, logins: Logins, post: Post) -> OneTimeCodes:
    settings = OtpSettings(
        digits=config.otp.digits,
        life=config.otp.ttl,
        resend_after=config.otp.resend_after,
        per_email=running.rates.otp_per_email,
        per_account=running.rates.otp_per_account,
        per_address=running.rates.otp_per_ip,
    )
    return OneTimeCodes(
        logins.accounts,
        logins.challenges,
        post.notifier,
        LimitsCounter(running.stores.redis.limits_storage),
        Sealer(derive(running.secret, "challenge-facts")),
        settings,
        counter_secret=derive(running.secret, "attempt-counters"),
        on_event=running.metrics.otp,
    )


def _proofs(running: Running, logins: Logins, post: Post, codes: OneTimeCodes, addresses: Addresses) -> EmailProofs:
    return EmailProofs(
        logins.accounts,
        codes,
        post.links,
        post.notifier,
        running.stores.journal,
        addresses,
        logins.step_ups,
        running.bans.strikes,
        logins.login.confirm,
        logins.notices,
    )


def build_mail_services(config: Config, running: Running, logins: Logins, post: Post) -> MailServices:
    """All of it."""
    stores, accounts = running.stores, logins.accounts
    counter = LimitsCounter(stores.redis.limits_storage)
    addresses = Addresses(config.public_url, config.prefix)
    codes = _codes(config, running, logins, post)
    proofs = _proofs(running, logins, post, codes, addresses)
    otp_login = OtpLogin(
        codes,
        logins.challenges,
        accounts,
        proofs,
        logins.second,
        logins.recording,
        counter,
        running.bans.strikes,
        per_address=running.rates.login_per_ip,
    )
    recovery = Recovery(
        accounts,
        codes,
        running.passwords,
        post.links,
        post.notifier,
        stores.journal,
        counter,
        addresses,
        logins.notices,
        per_address=running.rates.forgot_per_ip,
        per_email=running.rates.otp_per_email,
        counter_secret=derive(running.secret, "attempt-counters"),
    )
    registration = Registration(
        accounts,
        running.passwords,
        post.links,
        Invitations(post.links, post.notifier, addresses),
        proofs,
        stores.journal,
        counter,
        RegistrationSettings(config.registration_mode, config.registration.verify_email, running.rates.register_per_ip),
    )
    keys = key_service(config, stores.api_keys, stores.live, stores.journal)
    disowning = Disowning(accounts, post.links, stores.journal, addresses, keys)
    queue = MailDesk(PostgresMailQueue(stores.postgres), stores.journal, wake=post.delivery.wake)
    return MailServices(codes, otp_login, proofs, recovery, registration, disowning, queue)


def mail_endpoints(config: Config, identity: Identity, services: MailServices) -> MailEndpoints:
    """The handlers over the services."""
    return MailEndpoints(
        identity,
        services.codes,
        services.otp_login,
        services.proofs,
        services.recovery,
        services.registration,
        json_limit=config.sizes.json_body,
    )


def passwords_of(config: Config, cost: Argon2Cost) -> Passwords:
    """What hashes and judges passwords. Raises StartupError where an extra is missing."""
    wanted, leak = config.passwords, config.passwords.leak_check
    leaked = None
    if leak.url is not None:
        leaked = PwnedRanges(
            leak.url, Outbound(config.notify.allow_private), timeout=leak.timeout, required=leak.required
        )
    rules = PasswordRules(min_length=wanted.min_length, block_common=wanted.block_common, min_score=wanted.min_score)
    return Passwords(rules, cost=cost, leaked=leaked)
