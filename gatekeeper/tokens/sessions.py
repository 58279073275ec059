"""Sessions: token families. Opened at login, rotated by refresh, ended by logout; asked about on every request.

The live record is in Redis and decides; the durable record in PostgreSQL is for people and for replay
after a Redis failover. Endings write both before they are answered.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from gatekeeper.errors import StoreUnavailable
from gatekeeper.tokens.binding import Bindings
from gatekeeper.tokens.codec import AccessClaims, AccessTokens
from gatekeeper.tokens.durable import SessionOrigin, SessionRecord, SessionRecords, TheftNews, nobody_hears
from gatekeeper.tokens.refresh import RefreshClaim, RefreshTokens
from policies.facts import fact
from policies.model import Address, Reason
from policies.rates import Counted, Standing

if TYPE_CHECKING:
    from gatekeeper.tokens.api_keys import KeyFacts


@dataclass(frozen=True, slots=True)
class UserState:
    """The part of a user that every request reads. ``version`` orders copies; ``epoch`` dates sessions."""

    id: str
    email: str
    email_verified: bool
    name: str | None
    roles: tuple[str, ...]
    locked: bool
    epoch: int
    version: int


@dataclass(frozen=True, slots=True)
class Session:
    """A token family as Redis keeps it; times in Unix seconds.

    ``auth_time`` is the login or the last step-up, ``mfa_time`` the last use of a second factor (0: none). A session
    that ``must_enrol`` reaches nothing but the adding of a second factor; ``bound`` is what its cookies are held to
    (``tokens.binding``).
    """

    id: str
    user_id: str
    epoch: int
    generation: int
    rotated_at: float
    seen_at: float
    expires_at: float
    auth_time: float
    acr: str
    amr: tuple[str, ...]
    mfa_time: float = 0.0
    must_enrol: bool = False
    bound: str = ""

    def alive(self, now: float, idle_ttl: float) -> bool:
        """Neither past its absolute end nor idle for too long."""
        return now < self.expires_at and now < self.seen_at + idle_ttl


@fact
class LiveRecord:
    """What a request with a token reads of its session."""

    session: Session | None
    blacklisted: bool
    user: UserState | None


@fact
class Question:
    """What one request wants to know and to count, all in one round trip. ``now`` in Unix seconds; ``user`` is the
    owner of the session, or of the API key whose digest ``key`` is.
    """

    now: float
    session: str = ""
    jti: str = ""
    user: str = ""
    address_limit: Counted | None = None
    rule_limit: Counted | None = None
    key: str = field(default="", repr=False)


@fact
class Facts:
    """The answer to a Question: None for what was not asked."""

    live: LiveRecord | None = None
    address: Standing | None = None
    rule: Standing | None = None
    key: KeyFacts | None = None


class Presented(StrEnum):
    """What became of a presented refresh token."""

    ROTATED = "rotated"  # it was current; the generation moved on
    CURRENT = "current"  # it is current (renewal, which does not rotate)
    REPEATED = "repeated"  # it is the just-used parent; the same successor again
    REUSED = "reused"  # it was used before; the family has ended
    ENDED = "ended"  # there is no such family, or the token is not one of its generations


class SessionStore(Protocol):
    """The live records. Every method is one atomic step; all raise StoreUnavailable."""

    async def ask(self, question: Question) -> Facts:
        """One round trip, shared with the other requests of the tick. A rule's limit is counted only where the
        address is within its own limit and the session, or the key with its owner, is there.
        """

    async def read(self, session: str, jti: str, user: str) -> LiveRecord: ...

    async def find(self, session: str) -> Session | None: ...

    async def find_user(self, user: str) -> UserState | None: ...

    async def open(self, session: Session, user: UserState, *, idle: float) -> None: ...

    async def rotate(self, claim: RefreshClaim, *, now: float, window: float, idle: float) -> Presented: ...

    async def renew(self, claim: RefreshClaim, *, now: float, window: float, idle: float) -> Presented: ...

    async def end(self, sessions: Sequence[str]) -> None: ...

    async def blacklist(self, session: str, jti: str, *, until: float, now: float) -> None: ...

    async def adopt_epoch(self, session: str, epoch: int) -> None: ...

    async def step_up(
        self, session: Session, *, amr: Sequence[str], two_factors: bool, now: float, bound: str = ""
    ) -> Session | None:
        """None where the session has ended. ``bound``: what it is bound to from now on; empty: as before."""

    async def put_user(self, user: UserState) -> None:
        """Unless a newer version is in force."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What login, refresh and renewal hand out; lives in seconds."""

    access: str
    access_expires_in: int
    session: Session
    user: UserState
    refresh: str | None = None
    refresh_expires_in: int = 0


def principal_claims(session: Session, user: UserState, *, now: float, ttl: float) -> AccessClaims:
    """The claims of a fresh access token of ``session``; it never outlives the session."""
    issued = int(now)
    return AccessClaims(
        subject=user.id,
        session=session.id,
        jti=secrets.token_urlsafe(12),
        issued_at=issued,
        not_before=issued,
        expires_at=min(issued + int(ttl), int(session.expires_at)),
        auth_time=int(session.auth_time),
        acr=session.acr,
        amr=session.amr,
        email=user.email,
        email_verified=user.email_verified,
        roles=user.roles,
    )


class Sessions:
    """The service over live and durable records; ``on_event`` hears what becomes of tokens."""

    def __init__(
        self,
        store: SessionStore,
        records: SessionRecords,
        access: AccessTokens,
        refresh: RefreshTokens,
        *,
        refresh_ttl: float,
        idle_ttl: float,
        reuse_window: float,
        bindings: Bindings | None = None,
        on_event: Callable[[str], None] = lambda _event: None,
    ) -> None:
        self._store = store
        self._records = records
        self._access = access
        self._refresh = refresh
        self.refresh_ttl = refresh_ttl
        self.idle_ttl = idle_ttl
        self._window = reuse_window
        self.bindings = bindings or Bindings()
        self._on_event = on_event
        self.on_theft: TheftNews = nobody_hears

    async def open(
        self,
        user: UserState,
        origin: SessionOrigin,
        *,
        amr: tuple[str, ...],
        acr: str,
        now: float,
        must_enrol: bool = False,
    ) -> TokenPair:
        """A new family, durable record first: what cannot be listed and ended must not live."""
        session = Session(
            id=secrets.token_urlsafe(18),
            user_id=user.id,
            epoch=user.epoch,
            generation=1,
            rotated_at=now,
            seen_at=now,
            expires_at=now + self.refresh_ttl,
            auth_time=now,
            acr=acr,
            amr=amr,
            mfa_time=now if acr == "2fa" else 0.0,
            must_enrol=must_enrol,
            bound=self.bindings.of(origin.user_agent, origin.address),
        )
        await self._records.started(session, origin, now)
        try:
            await self._store.open(session, user, idle=self.idle_ttl)
        except StoreUnavailable:
            await self._records.ended([session.id], "never-live", now)
            raise
        self._on_event("issued")
        return self._pair(session, user, now)

    async def refresh(
        self, claim: RefreshClaim, now: float, *, cookie_from: SessionOrigin | None = None
    ) -> TokenPair | Reason:
        """Spend a refresh token (RFC 9700 4.14.2): the successor, or why not. ``cookie_from``: it came as a cookie."""
        found = await self.living(claim.session, now)
        if isinstance(found, Reason):
            return found
        session, user = found
        if cookie_from is not None:
            agent, address = cookie_from.user_agent, cookie_from.address
            mismatch = self.bindings.mismatch(session.bound, agent, address)
            if mismatch and (reason := await self.moved(session.id, mismatch, address, now)) is not None:
                return reason
        outcome = await self._store.rotate(claim, now=now, window=self._window, idle=self.idle_ttl)
        self._on_event(outcome)
        match outcome:
            case Presented.ROTATED | Presented.REPEATED:
                moved = replace(session, generation=claim.generation + 1, seen_at=now)
                return self._pair(moved, user, now)
            case Presented.REUSED:
                return await self._stolen(claim.session, user, now)
            case _:
                return Reason.SESSION_ENDED

    async def renew(self, claim: RefreshClaim, now: float) -> TokenPair | Reason:
        """A fresh access token in passing; the refresh token stays as it is."""
        found = await self.living(claim.session, now)
        if isinstance(found, Reason):
            return found
        session, user = found
        outcome = await self._store.renew(claim, now=now, window=self._window, idle=self.idle_ttl)
        self._on_event("renewed" if outcome is Presented.CURRENT else outcome)
        match outcome:
            case Presented.CURRENT | Presented.REPEATED:
                return self._pair(replace(session, seen_at=now), user, now, with_refresh=False)
            case Presented.REUSED:
                return await self._stolen(claim.session, user, now)
            case _:
                return Reason.SESSION_ENDED

    async def _stolen(self, session: str, user: UserState, now: float) -> Reason:
        """The family has ended; its record says so, and its owner is told."""
        await self._records.ended([session], Reason.REFRESH_REUSED, now)
        record = await self._records.find(session)
        if record is not None:
            await self.on_theft(record, user, now)
        return Reason.REFRESH_REUSED

    async def moved(self, session: str, mismatch: tuple[str, ...], address: Address, now: float) -> Reason | None:
        """A cookie of ``session`` came from elsewhere than it is bound to: why it is refused; None where that is only
        logged. Raises StoreUnavailable.
        """
        if self.bindings.note(session, mismatch, address):
            self._on_event("moved")
        match self.bindings.on_mismatch:
            case "log":
                return None
            case "revoke":
                await self.end([session], Reason.BINDING_MISMATCH, now)
        return Reason.BINDING_MISMATCH

    async def step_up(
        self,
        session_id: str,
        *,
        amr: Sequence[str],
        two_factors: bool,
        now: float,
        origin: SessionOrigin | None = None,
    ) -> TokenPair | Reason:
        """A fresh access token with a new ``auth_time`` (RFC 9470), and the session confirmed; or SESSION_ENDED.

        With ``origin`` it is bound to where its owner has just proved to be. What the session has proved before stays:
        ``acr`` never falls, and the refresh token is as it was.
        """
        found = await self.living(session_id, now)
        if isinstance(found, Reason):
            return found
        session, user = found
        bound = "" if origin is None else self.bindings.of(origin.user_agent, origin.address)
        confirmed = await self._store.step_up(session, amr=amr, two_factors=two_factors, now=now, bound=bound)
        if confirmed is None:
            return Reason.SESSION_ENDED
        self._on_event("stepped-up")
        return self._pair(confirmed, user, now, with_refresh=False)

    async def end(self, sessions: Sequence[str], reason: str, now: float) -> None:
        """End families: in force on the next request everywhere, then durable."""
        if not sessions:
            return
        await self._store.end(sessions)
        self._on_event("revoked")
        await self._records.ended(sessions, reason, now)

    async def end_token(self, session: str, jti: str, *, until: float, now: float) -> None:
        """Blacklist one access token (by jti, never by text) for the rest of its life."""
        await self._store.blacklist(session, jti, until=until, now=now)

    async def open_of(self, user: str, now: float) -> list[SessionRecord]:
        """The user's sessions that are alive in Redis, newest first, from the durable records."""
        return [record for record, _ in await self.living_of(user, now)]

    async def living_of(self, user: str, now: float) -> list[tuple[SessionRecord, float]]:
        """The same, each with when it was last seen (Unix seconds)."""
        records = await self._records.open_of(user, now)
        state, found = await asyncio.gather(
            self._store.find_user(user), asyncio.gather(*(self._store.find(record.id) for record in records))
        )
        return [
            (record, session.seen_at)
            for record, session in zip(records, found, strict=True)
            if session and state and session.epoch >= state.epoch and session.alive(now, self.idle_ttl)
        ]

    def admits(self, live: LiveRecord, user: str, now: float) -> Reason | None:
        """Whether a token of this user and session is still good, by what Redis says now."""
        session, state = live.session, live.user
        if session is None or state is None or live.blacklisted or session.user_id != user:
            return Reason.SESSION_ENDED
        if state.locked or session.epoch < state.epoch or not session.alive(now, self.idle_ttl):
            return Reason.SESSION_ENDED
        return None

    async def living(self, session_id: str, now: float) -> tuple[Session, UserState] | Reason:
        """A session that lives and its user, by what Redis says now; else SESSION_ENDED."""
        session = await self._store.find(session_id)
        if session is None:
            return Reason.SESSION_ENDED
        user = await self._store.find_user(session.user_id)
        reason = self.admits(LiveRecord(session, blacklisted=False, user=user), session.user_id, now)
        if reason is not None or user is None:
            return reason or Reason.SESSION_ENDED
        return session, user

    def _pair(self, session: Session, user: UserState, now: float, *, with_refresh: bool = True) -> TokenPair:
        claims = principal_claims(session, user, now=now, ttl=self._access.ttl)
        life = int(min(session.expires_at, session.seen_at + self.idle_ttl) - now)
        return TokenPair(
            access=self._access.mint(claims, now),
            access_expires_in=claims.expires_at - claims.issued_at,
            session=session,
            user=user,
            refresh=self._refresh.make(session.id, session.generation) if with_refresh else None,
            refresh_expires_in=life,
        )
