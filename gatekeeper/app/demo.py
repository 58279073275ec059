"""Writes the made-up company into empty stores. Called by ``gatekeeper demo``.

Nothing of it is told to webhooks, syslog or by mail, and nobody of the company can sign in: they have no passwords. The
one who can is the admin, whose e-mail and password the caller gives.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from random import Random
from typing import Final

import pyotp

from gatekeeper.clock import as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.demo.attacks import attacks
from gatekeeper.demo.desk_work import work
from gatekeeper.demo.people import DAYS, Person, people
from gatekeeper.demo.story import Fingerprint, Opened, Story, Told
from gatekeeper.demo.world import DAY
from gatekeeper.errors import Refused
from gatekeeper.events.event import Event, of_attempt, of_change
from gatekeeper.identity.api_keys import ApiKey
from gatekeeper.identity.setup import ROLE as ADMIN
from gatekeeper.journal.audit import Change
from gatekeeper.journal.rows import as_row
from gatekeeper.listed import read_listed
from gatekeeper.notify.messages import Kind
from gatekeeper.notify.outbox import Parcel, masked
from gatekeeper.observe.rule_hits import Ruling
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.activity import RedisActivity
from gatekeeper.store.api_keys import PostgresApiKeys
from gatekeeper.store.ban_words import RedisBanWords
from gatekeeper.store.bans import PostgresBans
from gatekeeper.store.demo import PostgresDemo
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.familiar import PostgresProfiles
from gatekeeper.store.live import RedisSessions
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.redis import Redis
from gatekeeper.store.rule_hits import PostgresRuleHits
from gatekeeper.tokens.api_keys import SHOWN, KeyUse, digest_of, new_key
from gatekeeper.tokens.keyring import derive
from gatekeeper.tokens.sealing import Sealer
from gatekeeper.tokens.sessions import Session, UserState
from geo.fingerprint import fingerprint, traits_of
from policies.familiar import Familiar
from policies.listed import Listed

_PORTION: Final = 1000  # rows a statement
_NEWEST: Final = 120  # events of the live stream
_KEYS: Final = (
    ("Nightly report", ("/reports/**",), 210.0, 0.02),
    ("Build server", ("/deployments/**", "/artifacts/**"), 96.0, 0.001),
    ("Spreadsheet import", ("/invoices/**",), 33.0, 3.4),
    ("Old phone app", ("/**",), 390.0, None),
)
_UNDELIVERED: Final = (
    (Kind.NEW_SIGN_IN, 2.3, "the server answered 552: 5.2.2 mailbox full"),
    (Kind.PASSWORD_RESET, 9.8, "the server answered 550: 5.1.1 no such user"),
)


@dataclass(frozen=True, slots=True)
class Filled:
    """How much it was."""

    users: int
    attempts: int
    sessions: int
    alive: int
    bans: int


class Filler:
    """Fills the stores of ``loaded``; ``secret`` is the gate's, ``now`` the story's end in Unix seconds."""

    def __init__(
        self,
        postgres: Postgres,
        redis: Redis,
        live: RedisSessions,
        loaded: LoadedConfig,
        secret: str,
        *,
        seed: int,
        now: float,
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._live = live
        self._loaded = loaded
        self._secret = secret
        self._random = Random(seed)  # noqa: S311  # a story
        self._now = now
        self._demo = PostgresDemo(postgres)
        self._accounts = PostgresAccounts(postgres)

    async def fill(self, email: str, password_hash: str) -> Filled:
        """All of it. Raises Refused where somebody is there already, and StoreUnavailable."""
        if await self._demo.has_users():
            raise Refused("the database has users or logins already; the demo fills an empty one only")
        config, random, now = self._loaded.config, self._random, self._now
        company = people(random, now)
        story = Story(config, random, now, self._fingerprint(), Listed(read_listed(config)))
        since = now - DAYS * DAY
        happenings = [one for person in company for one in person.happenings(since, now)]
        told = await story.tell([*happenings, *attacks(random, now, company)])
        done = work(random, company, told, now)
        told.bans += done.bans
        told.changes = sorted([*told.changes, *done.changes], key=lambda change: change.time)
        await self._add_people(company)
        await self._accounts.create(_admin(email), password_hash, now)
        await self._carry_out(told.changes)
        await self._add_attempts(told)
        alive = await self._add_sessions(told.sessions)
        await self._add_bans(told)
        await self._add_keys(company, told)
        await self._add_hits()
        await self._add_undelivered(company)
        return Filled(len(company) + 1, len(told.attempts), len(told.sessions), alive, len(told.bans))

    def _fingerprint(self) -> Fingerprint:
        key = derive(self._secret, "client-fingerprints")
        return lambda headers: fingerprint(key, traits_of(headers))

    async def _add_people(self, company: list[Person]) -> None:
        factors = PostgresFactors(self._postgres)
        sealer = Sealer(derive(self._secret, "totp-at-rest"))
        for person in company:
            state = UserState(person.id, person.email, True, person.name, person.roles, False, 1, 1)
            await self._accounts.create(state, None, person.created_at)
            if person.totp:
                sealed = sealer.seal(pyotp.random_base32().encode(), person.id)
                await factors.begin_totp(person.id, sealed, person.created_at)
                await factors.confirm_totp(person.id, sealed, int(person.created_at) // 30, person.created_at)

    async def _carry_out(self, changes: list[Change]) -> None:
        journal = PostgresJournal(self._postgres)
        for change in changes:
            match change.action:
                case "user.lock" | "user.unlock":
                    locked = change.action == "user.lock"
                    await self._accounts.set_locked(change.subject, locked=locked, now=change.time)
                case "user.role":
                    roles = (change.after or {}).get("roles")
                    if isinstance(roles, list):
                        await self._accounts.set_roles(change.subject, roles, change.time)
                case _:
                    pass
            await journal.record_change(change)

    async def _add_attempts(self, told: Told) -> None:
        log, profiles = PostgresLoginLog(self._postgres), PostgresProfiles(self._postgres)
        for moment in {as_datetime(one.time).replace(day=1, hour=0, minute=0, second=0) for one in told.attempts}:
            await self._demo.make_month(moment.timestamp())
        rows = [as_row(one) for one in told.attempts]
        for start in range(0, len(rows), _PORTION):
            await log.restore(rows[start : start + _PORTION], count=True)
        for user, familiar in told.familiar.items():
            await profiles.learn(user, partial(_as_told, familiar))
        events: list[Event] = [event for one in told.attempts[-_NEWEST:] for event in of_attempt(one)]
        events += [of_change(change) for change in told.changes[-_NEWEST // 4 :]]
        await RedisActivity(self._redis).take(sorted(events, key=lambda event: event.time)[-_NEWEST:])

    async def _add_sessions(self, sessions: list[Opened]) -> int:
        tokens, users = self._loaded.config.tokens, {one.state.id: one.state for one in await self._accounts.all()}
        rows = [_row(one, tokens.refresh_ttl) for one in sessions]
        for start in range(0, len(rows), _PORTION):
            await self._demo.add_sessions(rows[start : start + _PORTION])
        alive = [one for one in sessions if one.ended is None]
        for one in alive:
            session = Session(
                id=one.id,
                user_id=one.user,
                epoch=users[one.user].epoch,
                generation=1 + int((one.seen_at - one.started) // tokens.access_ttl),
                rotated_at=one.seen_at,
                seen_at=one.seen_at,
                expires_at=one.started + tokens.refresh_ttl,
                auth_time=one.started,
                acr="2fa" if "mfa" in one.amr else "1fa",
                amr=one.amr,
                mfa_time=one.started if "mfa" in one.amr else 0.0,
            )
            await self._live.open(session, users[one.user], idle=tokens.idle_ttl)
        return len(alive)

    async def _add_bans(self, told: Told) -> None:
        store = PostgresBans(self._postgres, RedisBanWords(self._redis).tell)
        for ban in sorted(told.bans, key=lambda one: one.since):
            await store.put([ban], ban.since)
            if ban.lifted_at is not None:
                await store.lift(ban.subject, ban.lifted_by or ban.actor, ban.lifted_at)

    async def _add_keys(self, company: list[Person], told: Told) -> None:
        keys, uses = PostgresApiKeys(self._postgres), dict[str, KeyUse]()
        owners = [person for person in company if self._now - person.created_at > 400 * DAY][:1] or company[:1]
        for (name, scopes, days, used), number in zip(_KEYS, range(len(_KEYS)), strict=True):
            owner = company[number] if number else owners[0]
            text, made = new_key(), max(self._now - days * DAY, owner.created_at)
            key = ApiKey(
                id=secrets.token_hex(8),
                digest=digest_of(text) or "",
                user_id=owner.id,
                name=name,
                start=text[:SHOWN],
                scopes=scopes,
                networks=(ip_network("10.20.0.0/16"),) if number == 1 else (),
                created_at=made,
                created_by=owner.id,
                expires_at=None if number else self._now + 155 * DAY,
            )
            await keys.add(key, 100)
            if used is None:
                await keys.revoke(key.id, owner.id, self._now - 61 * DAY)
            else:
                uses[key.id] = KeyUse(self._now - used * DAY, told.sessions[0].sighting.address)
        await keys.write_uses(uses)

    async def _add_undelivered(self, company: list[Person]) -> None:
        """Mails that nobody took; what they said is gone, so that nothing of it is ever sent."""
        outbox = PostgresOutbox(self._postgres)
        for (kind, days, fault), person in zip(_UNDELIVERED, company, strict=False):
            made = self._now - days * DAY
            parcel = Parcel(uuid.uuid4(), "smtp", kind, b"", made + DAY, recipient=masked(person.email))
            await outbox.put([parcel], made)
            await outbox.give_up(parcel, fault, made + 2.0, keep=False)

    async def _add_hits(self) -> None:
        hits = PostgresRuleHits(self._postgres)
        rules = [rule for rule in self._loaded.rules.rules if not rule.report_only]
        for hour in range(DAYS * 24):
            time = self._now - hour * 3600
            busy = 1.0 + 4.0 * (7 <= as_datetime(time).hour < 18)
            often = {("allow", ""): 340, ("login", "credentials-missing"): 14}
            counted = {
                Ruling(rule.name, False, verdict, reason): int(self._random.uniform(0.7, 1.3) * busy * count)
                for rule in rules
                for (verdict, reason), count in often.items()
                if verdict == "allow" or not rule.public
            }
            await hits.add({one: count for one, count in counted.items() if count}, time)


def _as_told(told: Familiar, _: Familiar) -> Familiar:
    return told


def _admin(email: str) -> UserState:
    return UserState(str(uuid.uuid4()), email, True, "You", (ADMIN,), False, 1, 1)


def _row(one: Opened, life: float) -> dict[str, object]:
    return {
        "id": one.id,
        "user_id": one.user,
        "started_at": as_datetime(one.started),
        "expires_at": as_datetime(one.started + life),
        "ended_at": None if one.ended is None else as_datetime(one.ended),
        "end_reason": one.reason,
        "address": str(one.sighting.address),
        "country": one.sighting.country,
        "city": one.sighting.city,
        "user_agent": one.user_agent,
        "amr": list(one.amr),
    }
