"""Challenges: questions that were asked and not yet answered, by a mailed code or by another factor.

A challenge stands between two requests: a login that has a right password and lacks a factor, a code that was sent
and not yet typed, a step-up under way. It is bound to a purpose and to a user (or to nobody: an unknown e-mail gets a
challenge that looks and behaves like any other and that no answer fits). Called by ``factors.otp`` and by whatever
checks another factor:

    challenge = await challenges.take_try(id, Purpose.MFA, now=now)     # counts before anything is compared
    if isinstance(challenge, Reason): ...                               # otp-invalid or otp-expired
    if <the factor fits> and await challenges.spend(challenge):         # of any number at once, one gets True
        ...

Tries are counted over all methods, parallel guesses and resends of one challenge together, in the same atomic step
that judges a code (security 19). A dead, spent or foreign challenge answers like a wrong code.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final, Protocol

from policies.model import Reason

#: Who is meant, for those that are asked for twice (24 characters), then what nobody can guess (144 bits).
_ID: Final = re.compile(r"[A-Za-z0-9_-]{24}\.[A-Za-z0-9_-]{24}")


class Purpose(StrEnum):
    """What an answer is for; one that was asked for one purpose is no answer for another."""

    LOGIN = "login"
    MFA = "mfa"
    VERIFY_EMAIL = "verify-email"
    STEP_UP = "step-up"
    CHANGE_EMAIL = "change-email"
    ENROL = "enrol"


@dataclass(frozen=True, slots=True)
class Challenge:
    """An open question; times in Unix seconds.

    ``user`` is an id, or None where no account is meant (an unknown e-mail, a passkey that will tell). ``methods``
    are those that may answer. ``amr`` is what the login has shown already (``("pwd",)``). ``facts`` is what whoever
    opened it wants to find again: short texts by name, such as a session's id or what WebAuthn remembers.
    """

    id: str
    purpose: Purpose
    user: str | None
    methods: tuple[str, ...]
    amr: tuple[str, ...]
    expires_at: float
    tries: int
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """The challenge's id; ``fresh`` is False where one that was asked for a moment ago is meant and nothing was done.

    ``wait`` is in seconds until it may be sent (again).
    """

    id: str
    fresh: bool
    wait: float


class Answer(StrEnum):
    """What became of a try."""

    RIGHT = "right"  # the code was right and the challenge is spent; or a try was taken
    WRONG = "wrong"  # the code was wrong, or there are no tries left, or it was answered before, or for another purpose
    LATE = "late"  # it has expired, or never was


class ChallengeStore(Protocol):
    """Challenges in Redis. Every method is one atomic step; all raise StoreUnavailable."""

    async def open(self, challenge: Challenge, code: bytes | None, *, now: float, again_after: float) -> Opened:
        """Keep a new one; but where one with the same first half of the id was opened, or sent, less than
        ``again_after`` seconds ago and is not spent, that one is meant.
        """

    async def find(self, challenge: str) -> Challenge | None: ...

    async def put_code(self, challenge: str, code: bytes, *, now: float, again_after: float) -> Opened | None:
        """Another code in the place of the last; tries stay counted. Not fresh within ``again_after`` of the last
        one; None where the challenge is spent, late, or never was.
        """

    async def answer(self, challenge: str, purposes: Sequence[Purpose], code: bytes | None, *, now: float) -> Answer:
        """Count a try and judge the code; a right one spends the challenge. Without a code: only count."""

    async def spend(self, challenge: str) -> bool:
        """Whether this call is the one that spends it."""

    async def remember(self, challenge: str, name: str, value: str) -> bool:
        """Keep a fact; False where the challenge is not there."""


class Challenges:
    """The service. ``attempts`` is how many tries a challenge has; ``secret`` keys the codes' HMAC."""

    def __init__(self, store: ChallengeStore, *, secret: bytes, attempts: int) -> None:
        self._store = store
        self._secret = secret
        self._attempts = attempts

    async def open(
        self,
        purpose: Purpose,
        *,
        user: str | None,
        methods: tuple[str, ...],
        life: float,
        now: float,
        amr: tuple[str, ...] = (),
        facts: Mapping[str, str] | None = None,
    ) -> Challenge:
        """A new challenge without a code (yet), good for ``life`` seconds. Raises StoreUnavailable."""
        challenge = self._new(purpose, user, methods, life, now, secrets.token_bytes(18))
        challenge = replace(challenge, amr=amr, facts=dict(facts or {}))
        await self._store.open(challenge, None, now=now, again_after=0.0)
        return challenge

    async def open_with_code(
        self,
        purpose: Purpose,
        code: str,
        *,
        whom: str,
        user: str | None,
        methods: tuple[str, ...],
        life: float,
        again_after: float,
        now: float,
        facts: Mapping[str, str] | None = None,
    ) -> Opened:
        """A challenge for ``whom`` (an e-mail, known or not), unless one was opened within ``again_after`` seconds.

        Raises StoreUnavailable.
        """
        challenge = replace(self._new(purpose, user, methods, life, now, self._tag(purpose, whom)), facts=facts or {})
        return await self._store.open(challenge, self._mac(challenge.id, code), now=now, again_after=again_after)

    async def find(self, challenge: str) -> Challenge | None:
        """What is known of it, late and spent ones included; None for what is none. Raises StoreUnavailable."""
        return await self._store.find(challenge) if _ID.fullmatch(challenge) else None

    async def put_code(self, challenge: Challenge, code: str, *, again_after: float, now: float) -> Opened | None:
        """A (further) code for an open challenge; the id and the count stay. Raises StoreUnavailable.

        Not fresh within ``again_after`` seconds of the last code; None where it is spent or late.
        """
        mac = self._mac(challenge.id, code)
        return await self._store.put_code(challenge.id, mac, now=now, again_after=again_after)

    async def answer_code(self, challenge: str, code: str, *purposes: Purpose, now: float) -> Challenge | Reason:
        """Judge a code. Of any number of right ones at once, one gets the challenge. Raises StoreUnavailable."""
        return await self._answer(challenge, purposes, code, now)

    async def take_try(self, challenge: str, *purposes: Purpose, now: float) -> Challenge | Reason:
        """Count a try before another factor is compared; ``spend`` is to follow. Raises StoreUnavailable."""
        return await self._answer(challenge, purposes, None, now)

    async def spend(self, challenge: Challenge) -> bool:
        """It was answered by another factor; whether this call is the one. Raises StoreUnavailable."""
        return await self._store.spend(challenge.id)

    async def remember(self, challenge: Challenge, name: str, value: str) -> bool:
        """Keep a fact with it. Raises StoreUnavailable."""
        return await self._store.remember(challenge.id, name, value)

    async def _answer(
        self, challenge: str, purposes: Sequence[Purpose], code: str | None, now: float
    ) -> Challenge | Reason:
        if not _ID.fullmatch(challenge):
            return Reason.OTP_INVALID
        found = await self._store.find(challenge)
        if found is None:
            return Reason.OTP_EXPIRED
        mac = None if code is None else self._mac(challenge, code)
        match await self._store.answer(challenge, purposes, mac, now=now):
            case Answer.RIGHT:
                return found
            case Answer.LATE:
                return Reason.OTP_EXPIRED
            case _:
                return Reason.OTP_INVALID

    def _new(
        self, purpose: Purpose, user: str | None, methods: tuple[str, ...], life: float, now: float, tag: bytes
    ) -> Challenge:
        name = f"{urlsafe_b64encode(tag).decode()}.{secrets.token_urlsafe(18)}"
        return Challenge(name, purpose, user, methods, (), now + life, self._attempts)

    def _tag(self, purpose: Purpose, whom: str) -> bytes:
        return hmac.new(self._secret, f"whom\0{purpose}\0{whom}".encode(), sha256).digest()[:18]

    def _mac(self, challenge: str, code: str) -> bytes:
        """Bound to the challenge, and with it to purpose and user; the key is not in Redis."""
        return hmac.new(self._secret, f"code\0{challenge}\0{code}".encode(), sha256).digest()
