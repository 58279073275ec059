"""The services that let people in: passwords, second factors, step-up. Built over a worker's parts for ``edge``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gatekeeper.app.parts import Running, TokenParts
from gatekeeper.config.forms import is_loopback
from gatekeeper.config.model import Config
from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.challenges import Challenges
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.factor_endpoints import FactorEndpoints
from gatekeeper.identity.factors.checks import FactorChecks
from gatekeeper.identity.factors.devices import Devices
from gatekeeper.identity.factors.enrolment import Enrolment
from gatekeeper.identity.factors.recovery_codes import RecoveryCodes
from gatekeeper.identity.factors.totp import Totp
from gatekeeper.identity.guard import AttemptGuard
from gatekeeper.identity.limits import AttemptCounter, LimitsCounter, account_key
from gatekeeper.identity.login import PasswordLogin
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.passkey_login import PasskeyLogin
from gatekeeper.identity.password_changes import PasswordChanges
from gatekeeper.identity.recording import Recording
from gatekeeper.identity.second_endpoints import SecondEndpoints
from gatekeeper.identity.second_step import SecondStep
from gatekeeper.identity.session_watch import SessionWatch
from gatekeeper.identity.signals import SignalDesk
from gatekeeper.identity.step_up import StepUps
from gatekeeper.inbound import HostList
from gatekeeper.journal.audit import AuditLog
from gatekeeper.store.challenges import RedisChallenges
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.failures import RedisFailures
from gatekeeper.store.familiar import PostgresProfiles
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.session_sightings import RedisSessionSightings
from gatekeeper.tokens.keyring import derive
from gatekeeper.tokens.sealing import Sealer

if TYPE_CHECKING:  # fido2 comes with an extra
    from gatekeeper.identity.factors.passkeys import Passkeys


@dataclass(frozen=True, slots=True)
class Logins:
    """The services, for the endpoints and the pages."""

    accounts: Accounts
    challenges: Challenges
    login: PasswordLogin
    second: SecondStep
    checks: FactorChecks
    step_ups: StepUps
    enrolment: Enrolment
    passkeys: Passkeys | None
    passkey_login: PasskeyLogin | None
    notices: Notices
    recording: Recording
    watch: SessionWatch


@dataclass(frozen=True, slots=True)
class _Factors:
    """What second factors are made of."""

    store: PostgresFactors
    totp: Totp
    recovery_codes: RecoveryCodes
    devices: Devices
    passkeys: Passkeys | None


def _passkeys(config: Config, store: PostgresFactors, secret: str) -> Passkeys | None:
    """None where the extra ``passkeys`` is not installed."""
    try:
        from gatekeeper.identity.factors.passkeys import Passkeys as Ceremonies
    except ModuleNotFoundError as missing:
        if missing.name is None or not missing.name.startswith("fido2"):
            raise
        return None
    serving = [HostList(config.public_url, config.hosts), HostList(config.panel_url)]

    def serves(host: str, port: int | None) -> bool:
        return any(hosts.serves(host, port) for hosts in serving)  # admins confirm by the same passkeys in the panel

    return Ceremonies(store, derive(secret, "passkeys"), public_url=config.public_url, serves=serves)


def _factors(config: Config, running: Running) -> _Factors:
    store, secret = PostgresFactors(running.stores.postgres), running.secret
    issuer = urlsplit(config.public_url).hostname or "gatekeeper"
    return _Factors(
        store=store,
        totp=Totp(store, Sealer(derive(secret, "totp-at-rest")), issuer=issuer),
        recovery_codes=RecoveryCodes(store, derive(secret, "recovery-codes")),
        devices=Devices(store, derive(secret, "remembered-devices"), life=config.mfa.remember_devices),
        passkeys=_passkeys(config, store, secret),
    )


def _guard(config: Config, tokens: TokenParts, running: Running, counter: AttemptCounter) -> AttemptGuard:
    return AttemptGuard(
        counter,
        tokens.devices,
        running.stores.records,
        running.bans.strikes,
        per_address=running.rates.login_per_ip,
        per_account=running.rates.login_per_account,
        secret=derive(running.secret, "attempt-counters"),
    )


def _desk(config: Config, running: Running) -> SignalDesk:
    stores, section = running.stores, config.anomalies
    return SignalDesk(
        PostgresProfiles(stores.postgres),
        RedisFailures(stores.redis, section.window),
        section.settings(running.listed),
        section.actions(),
        report_only=section.report_only,
        on_signal=running.metrics.signal,
    )


def _watch(
    config: Config,
    tokens: TokenParts,
    running: Running,
    desk: SignalDesk,
    recording: Recording,
    accounts: Accounts,
    notices: Notices,
) -> SessionWatch:
    stores = running.stores
    sightings = RedisSessionSightings(stores.redis, life=tokens.sessions.idle_ttl)
    watch = SessionWatch(
        sightings,
        desk,
        recording,
        tokens.sessions,
        stores.records,
        accounts,
        notices,
        moves_told_every=config.anomalies.moves_told_every,
    )
    running.closers.append(watch.close)
    return watch


def _recording(
    tokens: TokenParts, running: Running, desk: SignalDesk, accounts: Accounts, notices: Notices
) -> Recording:
    key_of = partial(account_key, derive(running.secret, "attempt-counters"))
    strikes, clock = running.bans.strikes, running.clock
    return Recording(running.attempts, desk, tokens.devices, strikes, accounts, notices, clock, key_of)


def _challenges(config: Config, running: Running) -> Challenges:
    store, secret = RedisChallenges(running.stores.redis), derive(running.secret, "challenges")
    return Challenges(store, secret=secret, attempts=config.otp.attempts)


def _checks(config: Config, running: Running, parts: _Factors, challenges: Challenges) -> FactorChecks:
    return FactorChecks(
        parts.store,
        parts.totp,
        parts.recovery_codes,
        parts.passkeys,
        challenges,
        LimitsCounter(running.stores.redis.limits_storage),
        methods=config.mfa.methods,
        per_account=running.rates.login_per_account,
    )


def _reach_their_users(config: Config) -> bool:
    """Whether mailed codes do: not those on the console alone, unless whoever tries the gate out sits before it."""
    return set(config.otp.deliver) != {"console"} or is_loopback(urlsplit(config.public_url).hostname or "")


def build_logins(config: Config, tokens: TokenParts, running: Running, notices: Notices) -> Logins:
    """All of it."""
    stores, roles = running.stores, config.mfa.require_for_roles
    accounts = Accounts(stores.accounts, stores.live)
    desk = _desk(config, running)
    recording = _recording(tokens, running, desk, accounts, notices)
    watch = _watch(config, tokens, running, desk, recording, accounts, notices)
    challenges = _challenges(config, running)
    parts = _factors(config, running)
    checks = _checks(config, running, parts, challenges)
    guard = _guard(config, tokens, running, LimitsCounter(stores.redis.limits_storage))
    second = SecondStep(
        accounts,
        tokens.sessions,
        checks,
        parts.devices,
        challenges,
        recording,
        watch,
        running.bans.bans,
        running.bans.strikes,
        PasswordChanges(PostgresLinks(stores.postgres)),
        required_roles=roles,
        mails_codes=_reach_their_users(config),
    )
    tokens.sessions.on_theft = notices.token_stolen
    login = PasswordLogin(accounts, running.passwords, second, recording, guard)
    step_ups = StepUps(login, tokens.sessions, checks, challenges, running.bans.strikes, required_roles=roles)
    enrolment = _enrolment(parts, checks, step_ups, challenges, tokens, stores.journal, notices)
    passkey_login = _passkey_login(config, running, accounts, parts.passkeys, challenges, second, recording)
    return Logins(
        accounts,
        challenges,
        login,
        second,
        checks,
        step_ups,
        enrolment,
        parts.passkeys,
        passkey_login,
        notices,
        recording,
        watch,
    )


def _enrolment(
    parts: _Factors,
    checks: FactorChecks,
    step_ups: StepUps,
    challenges: Challenges,
    tokens: TokenParts,
    audit: AuditLog,
    notices: Notices,
) -> Enrolment:
    return Enrolment(
        parts.store,
        parts.totp,
        parts.recovery_codes,
        parts.passkeys,
        parts.devices,
        checks,
        step_ups,
        challenges,
        tokens.sessions,
        audit,
        notices,
    )


def _passkey_login(
    config: Config,
    running: Running,
    accounts: Accounts,
    passkeys: Passkeys | None,
    challenges: Challenges,
    second: SecondStep,
    recording: Recording,
) -> PasskeyLogin | None:
    if passkeys is None or "passkey" not in config.mfa.methods:
        return None
    counter, strikes = LimitsCounter(running.stores.redis.limits_storage), running.bans.strikes
    return PasskeyLogin(
        accounts,
        passkeys,
        challenges,
        second,
        recording,
        counter,
        strikes,
        per_address=running.rates.login_per_ip,
    )


def factor_endpoints(
    config: Config, tokens: TokenParts, identity: Identity, logins: Logins
) -> tuple[SecondEndpoints, FactorEndpoints]:
    """The calls of second factors and step-up."""
    limit = config.sizes.json_body
    second = SecondEndpoints(
        identity,
        logins.second,
        logins.step_ups,
        tokens.cookies,
        logins.passkeys,
        logins.passkey_login,
        json_limit=limit,
    )
    return second, FactorEndpoints(identity, logins.enrolment, logins.second, json_limit=limit)
