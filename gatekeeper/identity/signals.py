"""What is odd about an attempt to sign in, and what follows: the signals of ``policies.anomalies`` over real facts.

``SignalDesk.judge`` is asked before an attempt is written, so that its row carries what was found; the caller carries
out the action that the ``Verdict`` names. A store that is away makes no login fail that could have gone on: then the
signals that need it say nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gatekeeper.config.signals import Action
from gatekeeper.errors import StoreUnavailable
from policies.anomalies import (
    Finding,
    Lately,
    Login,
    Settings,
    Signal,
    evidence_of,
    of_failure,
    of_login,
    of_use,
    risk,
)
from policies.familiar import Familiar, Sighting

_log = logging.getLogger("gatekeeper.identity")


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt as it is counted: ``account`` an id or an HMAC, ``client`` a fingerprint, ``place`` an address."""

    id: str
    now: float
    place: str
    account: str
    client: str | None
    code: bool = False


class Profiles(Protocol):
    """Keeps what is usual for users. Raises StoreUnavailable."""

    async def read(self, user: str) -> Familiar: ...

    async def learn(self, user: str, change: Callable[[Familiar], Familiar]) -> None:
        """``change`` may be asked more than once."""


class Failures(Protocol):
    """Counts what failed lately. Raises StoreUnavailable."""

    async def failed(self, failure: Failure) -> Lately:
        """With this one among it."""

    async def succeeded(self, failure: Failure) -> Lately:
        """Without this account's failures from here."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, and the strictest action that follows (None: nothing was found)."""

    findings: tuple[Finding, ...] = ()
    actions: Mapping[Signal, Action] = field(default_factory=dict)
    report_only: bool = False

    @property
    def signals(self) -> tuple[str, ...]:
        return tuple(str(one.signal) for one in self.findings)

    @property
    def action(self) -> Action | None:
        """The strictest; ``log`` where nothing but reports is wanted."""
        found = [self.actions[one.signal] for one in self.findings]
        if not found:
            return None
        return Action.LOG if self.report_only else max(found, key=list(Action).index)

    @property
    def risk(self) -> int:
        """From 0 to 100."""
        return risk(one.signal for one in self.findings)

    @property
    def evidence(self) -> dict[str, Any] | None:
        """For the row: by signal, with its part of the risk and what follows from it."""
        if not self.findings:
            return None
        shown = evidence_of(self.findings)
        return {name: {**facts, "action": str(self.actions[Signal(name)])} for name, facts in shown.items()}

    def asks(self, action: Action) -> bool:
        """Whether one of the signals wants this, and more than a report is wanted."""
        return not self.report_only and any(self.actions[one.signal] is action for one in self.findings)

    def columns(self) -> dict[str, Any]:
        """What an ``Attempt`` has of it."""
        return {
            "signals": self.signals,
            "evidence": self.evidence,
            "risk": self.risk if self.findings else None,
            "action": None if self.action is None else str(self.action),
        }


NOTHING = Verdict()


class SignalDesk:
    """The service. ``on_signal`` hears of each signal by name."""

    def __init__(
        self,
        profiles: Profiles,
        failures: Failures,
        settings: Settings,
        actions: Mapping[Signal, Action],
        *,
        report_only: bool = False,
        on_signal: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._profiles = profiles
        self._failures = failures
        self._settings = settings
        self._actions = dict(actions)
        self._report_only = report_only
        self._on_signal = on_signal

    async def judge(self, user: str, seen: Sighting) -> Verdict:
        """A first proof that was right."""
        familiar = await self._familiar(user)
        failure = Failure("", seen.time, seen.place, user, seen.fingerprint)
        return self._verdict(
            of_login(Login(seen, familiar, await self._lately(self._failures.succeeded(failure)), self._settings))
        )

    async def judge_failure(self, failure: Failure, seen: Sighting) -> Verdict:
        """One that was wrong or came to nothing; it is counted."""
        lately = await self._lately(self._failures.failed(failure))
        return self._verdict(of_failure(Login(seen, Familiar(), lately, self._settings)))

    async def judge_use(self, user: str, before: Sighting, now: Sighting) -> Verdict:
        """A session that is used somewhere else, or on something else, than before."""
        familiar = await self._familiar(user)
        return self._verdict(of_use(before, Login(now, familiar, Lately(), self._settings)))

    def judge_reuse(self, evidence: Mapping[str, Any]) -> Verdict:
        """A refresh token that came a second time."""
        return self._verdict([Finding(Signal.REFRESH_REUSE, evidence)])

    async def learn(self, user: str, seen: Sighting) -> None:
        """A login was good: what it came from is usual from now on."""
        await self._learn(user, lambda familiar: familiar.with_login(seen))

    async def learn_use(self, user: str, seen: Sighting) -> None:
        """A session was used there."""
        await self._learn(user, lambda familiar: familiar.with_use(seen))

    def _verdict(self, findings: Sequence[Finding]) -> Verdict:
        for one in findings:
            self._on_signal(str(one.signal))
        return Verdict(tuple(findings), self._actions, self._report_only) if findings else NOTHING

    async def _familiar(self, user: str) -> Familiar:
        try:
            return await self._profiles.read(user)
        except StoreUnavailable as fault:
            _log.warning("what is usual cannot be read: %s", fault, extra={"user": user})
            return Familiar()

    @staticmethod
    async def _lately(counted: Awaitable[Lately]) -> Lately:
        try:
            return await counted
        except StoreUnavailable:
            return Lately()

    async def _learn(self, user: str, change: Callable[[Familiar], Familiar]) -> None:
        try:
            await self._profiles.learn(user, change)
        except StoreUnavailable as fault:
            _log.warning("what is usual cannot be written: %s", fault, extra={"user": user})
