"""What the gate would have made of the company's thirty days: rows, sessions, bans, changes. ``tell`` is called by
``app.demo``; the signals, their actions and the limits are those of the configuration.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from gatekeeper.bans.desk import facts
from gatekeeper.bans.strikes import REASONS
from gatekeeper.config.model import Config
from gatekeeper.config.signals import Action
from gatekeeper.demo.lately import ToldFailures, ToldProfiles
from gatekeeper.demo.people import Happening
from gatekeeper.identity.recording import BAN_SOURCE
from gatekeeper.identity.signals import NOTHING, Failure, SignalDesk, Verdict
from gatekeeper.journal.attempts import Attempt, Result
from gatekeeper.journal.audit import Change
from geo.device import find_device
from policies.bans import Ban, Source, of_offender
from policies.familiar import Familiar, Sighting
from policies.listed import Listed
from policies.model import Reason

_GUESSES: Final = 10  # of an account within the window; more are refused unseen
_AMR: Final = {"password": "pwd", "passkey": "hwk", "otp": "otp"}
_MILLISECONDS: Final = {"password": (38.0, 90.0), "passkey": (6.0, 18.0), "otp": (4.0, 12.0)}
_HOUR: Final = 3600.0

Fingerprint = Callable[[Mapping[str, str]], str | None]


@dataclass(slots=True)
class Opened:
    """A session of the story; times in Unix seconds. It is alive where it has not ended."""

    id: str
    user: str
    started: float
    seen_at: float
    sighting: Sighting
    user_agent: str
    amr: tuple[str, ...]
    ended: float | None = None
    reason: str | None = None


@dataclass(slots=True)
class Told:
    """All of it, in the order of time."""

    attempts: list[Attempt] = field(default_factory=list)
    sessions: list[Opened] = field(default_factory=list)
    bans: list[Ban] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    familiar: Mapping[str, Familiar] = field(default_factory=dict)


class Story:
    """Tells one. ``now`` is its end, in Unix seconds."""

    def __init__(self, config: Config, random: Random, now: float, fingerprint: Fingerprint, listed: Listed) -> None:
        anomalies = config.anomalies
        self._random = random
        self._now = now
        self._fingerprint = fingerprint
        self._config = config
        self._profiles, self._failures = ToldProfiles(), ToldFailures(anomalies.window)
        self._desk = SignalDesk(
            self._profiles,
            self._failures,
            anomalies.settings(listed),
            anomalies.actions(),
            report_only=anomalies.report_only,
        )
        self._out: dict[str, float] = {}  # until when an address is banned
        self._told = Told()

    async def tell(self, happenings: Iterable[Happening]) -> Told:
        """In any order; what is after the end is left out."""
        for one in sorted(happenings, key=lambda happening: happening.time):
            if one.time < self._now and self._out.get(one.seen.place, 0.0) <= one.time:
                await self._happen(one)
        self._told.familiar = self._profiles.known
        return self._told

    async def _happen(self, one: Happening) -> None:
        seen = replace(one.seen, device=one.browser.cookie, fingerprint=self._fingerprint(one.browser.headers))
        account = one.user or f"nobody:{one.email}"
        if one.reason is not None:
            await self._fail(one, seen, account)
            return
        verdict = await self._desk.judge(account, seen)
        if verdict.asks(Action.DENY):
            self._write(one, seen, Result.BLOCKED, Reason.RULE_DENIED, verdict)
        elif verdict.asks(Action.STEP_UP) and one.planted:
            self._write(one, seen, Result.FAILURE, Reason.MFA_REQUIRED, verdict)
        else:
            await self._welcome(one, seen, account, verdict)

    async def _fail(self, one: Happening, seen: Sighting, account: str) -> None:
        code = one.reason is Reason.MFA_INVALID
        failure = Failure(secrets.token_hex(8), one.time, seen.place, account, seen.fingerprint, code)
        if self._failures.of_account(account, one.time) >= _GUESSES:
            self._write(one, seen, Result.BLOCKED, Reason.RATE_LIMITED)
            return
        verdict = await self._desk.judge_failure(failure, seen)
        self._write(one, seen, Result.FAILURE, one.reason, verdict)
        self._ban(verdict, seen, one.time)

    async def _welcome(self, one: Happening, seen: Sighting, account: str, verdict: Verdict) -> None:
        factor = one.factor or ("otp" if verdict.asks(Action.STEP_UP) and one.method == "password" else None)
        amr = (_AMR[one.method], *(("otp", "mfa") if factor and one.method == "password" else ()))
        session = Opened(secrets.token_urlsafe(18), account, one.time, one.time, seen, one.browser.user_agent, amr)
        self._write(replace(one, factor=factor), seen, Result.SUCCESS, None, verdict, session=session.id)
        await self._desk.learn(account, seen)
        one.browser.cookie = one.browser.cookie or secrets.token_urlsafe(16)
        self._told.sessions.append(session)
        self._live(session, left=one.planted)

    def _live(self, session: Opened, *, left: bool) -> None:
        """How long it is used, and how it ends; ``left``: whoever opened it goes on."""
        idle = self._config.tokens.idle_ttl
        used = self._random.choice((0.3, 2, 6, 9, 30, 80, 160)) * _HOUR
        session.seen_at = min(session.started + used, self._now - self._random.uniform(5, 900))
        session.seen_at = max(session.seen_at, session.started)
        if left:
            return
        if session.started + used < self._now and self._random.random() < 0.75:
            session.ended, session.reason = session.seen_at, "logout"
        elif session.seen_at + idle < self._now:
            session.ended, session.reason = session.seen_at + idle, "expired"

    def _write(
        self,
        one: Happening,
        seen: Sighting,
        result: Result,
        reason: Reason | None,
        verdict: Verdict = NOTHING,
        *,
        session: str | None = None,
    ) -> None:
        device = find_device(one.browser.user_agent)
        quick, slow = _MILLISECONDS[one.method]
        attempt = Attempt(
            time=one.time,
            email=one.email,
            user_id=one.user,
            result=result,
            reason=reason,
            method=one.method,
            factor=one.factor,
            address=seen.address,
            country=seen.country,
            city=seen.city,
            latitude=seen.latitude,
            longitude=seen.longitude,
            accuracy_km=seen.accuracy_km,
            asn=seen.asn,
            as_org=seen.as_org,
            user_agent=one.browser.user_agent,
            browser=device.browser,
            browser_version=device.browser_version,
            os=device.os,
            os_version=device.os_version,
            device_kind=device.kind,
            device_id=seen.device,
            fingerprint=seen.fingerprint,
            session=session,
            request_id=f"{self._random.getrandbits(64):016x}",
            latency_ms=round(self._random.uniform(quick, slow), 1),
        )
        self._told.attempts.append(replace(attempt, **verdict.columns()))

    def _ban(self, verdict: Verdict, seen: Sighting, now: float) -> None:
        section = self._config.bans
        wanted = [one.signal for one in verdict.findings if verdict.actions[one.signal] is Action.BAN]
        if wanted and not verdict.report_only:
            source = BAN_SOURCE.get(wanted[0], Source.FAILURES)
        elif section.after is not None and self._failures.of_address(seen.place, now, section.within) >= section.after:
            source = Source.FAILURES
        else:
            return
        before = sum(ban.subject == of_offender(seen.address) for ban in self._told.bans)
        until = now + min(section.length * section.growth**before, section.max)
        ban = Ban(of_offender(seen.address), source, now, until, REASONS[source])
        self._out[seen.place] = until
        self._told.bans.append(ban)
        self._told.changes.append(Change(now, ban.actor, "ban.add", ban.subject.text, None, facts(ban)))
