"""Live sessions and users in Redis. Implements ``tokens.sessions.SessionStore``.

No script touches two hash tags but ``read_many``, which a cluster-aware client would split by node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from gatekeeper.live import Changed
from gatekeeper.store.api_key_records import (
    KEY_FIELDS,
    KEY_LIFE,
    PUT_KEY,
    api_key_key,
    api_key_of,
    put_key_arguments,
)
from gatekeeper.store.live_records import (
    ENROL,
    SESSION_FIELDS,
    USER_FIELDS,
    blacklist_key,
    mfa_time_of,
    session_key,
    session_of,
    user_key,
    user_of,
)
from gatekeeper.store.redis import Redis, Script
from gatekeeper.store.round_trip import RoundTrip
from gatekeeper.tokens.api_keys import KeyRecord
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import Facts, LiveRecord, Presented, Question, Session, UserState

PRESENT = Script("present")
PUT_USER = Script("put_user")
ADOPT_EPOCH = Script("adopt_epoch")
END = Script("end")
BLACKLIST = Script("blacklist")
STEP_UP = Script("step_up")

EVENTS = "gate:events"  # the scripts publish the key of what changed
_SLACK_MS = 60_000  # keys outlive their records a little: expiry is decided by the gate's clock


class RedisSessions:
    """Sessions and users in Redis; ``user_life`` (seconds) must outlast any session."""

    def __init__(self, redis: Redis, *, user_life: float) -> None:
        self._redis = redis
        self._user_life = user_life
        self._round_trip = RoundTrip(redis)

    async def read(self, session: str, jti: str, user: str) -> LiveRecord:
        """Session, blacklist entry and user, in the round trip of this tick."""
        facts = await self.ask(Question(0.0, session, jti, user))
        return facts.live or LiveRecord(None, blacklisted=False, user=None)

    async def ask(self, question: Question) -> Facts:
        """All that one request needs, in one round trip shared with the other requests of this tick."""
        return await self._round_trip.ask(question)

    async def find(self, session: str) -> Session | None:
        """One session."""
        return session_of(session, await self._redis.call("HMGET", session_key(session), *SESSION_FIELDS))

    async def find_user(self, user: str) -> UserState | None:
        """One user; asking keeps the record for as long as a new session may need it."""
        key = user_key(user)
        fields, _ = await asyncio.gather(
            self._redis.call("HMGET", key, *USER_FIELDS),
            self._redis.call("PEXPIRE", key, int(self._user_life * 1000)),
        )
        return user_of(user, fields)

    async def open(self, session: Session, user: UserState, *, idle: float) -> None:
        """Write the user, then the session."""
        await self.put_user(user)
        key = session_key(session.id)
        life = int(1000 * min(session.expires_at - session.seen_at, idle)) + _SLACK_MS
        await asyncio.gather(
            self._redis.call("HSET", key, *_session_pairs(session)), self._redis.call("PEXPIRE", key, life)
        )

    async def rotate(self, claim: RefreshClaim, *, now: float, window: float, idle: float) -> Presented:
        """Spend a refresh token, atomically."""
        return await self._present(claim, now, window, idle, rotate=True)

    async def renew(self, claim: RefreshClaim, *, now: float, window: float, idle: float) -> Presented:
        """Check a refresh token and mark the session as seen, atomically."""
        return await self._present(claim, now, window, idle, rotate=False)

    async def _present(self, claim: RefreshClaim, now: float, window: float, idle: float, *, rotate: bool) -> Presented:
        args = (claim.generation, repr(now), repr(window), repr(idle), int(rotate))
        answer = await self._redis.run(PRESENT, [session_key(claim.session)], args)
        return Presented(answer.decode())

    async def end(self, sessions: Sequence[str]) -> None:
        """Delete the sessions, and say so; with its session every token dies."""
        await asyncio.gather(*(self._redis.run(END, [session_key(session)], ()) for session in sessions))

    async def blacklist(self, session: str, jti: str, *, until: float, now: float) -> None:
        """Refuse one access token for the rest of its life, and say so."""
        await self._redis.run(BLACKLIST, *blacklist_call(session, jti, until - now))

    async def adopt_epoch(self, session: str, epoch: int) -> None:
        """Let one living session follow its user into a new epoch."""
        await self._redis.run(ADOPT_EPOCH, [session_key(session)], [epoch])

    async def step_up(
        self, session: Session, *, amr: Sequence[str], two_factors: bool, now: float, bound: str = ""
    ) -> Session | None:
        """Note that the owner of a session has proved to be there, atomically; None where it has ended."""
        arguments = [repr(now), int(two_factors), bound, *amr]
        answer = await self._redis.run(STEP_UP, [session_key(session.id)], arguments)
        if answer is None:
            return None
        auth, acr, methods, mfa, held = answer
        return replace(
            session,
            auth_time=float(auth),
            acr=acr.decode(),
            amr=tuple(methods.decode().split()),
            mfa_time=mfa_time_of(mfa),
            must_enrol=mfa == ENROL,
            bound=held.decode(),
        )

    async def put_user(self, user: UserState) -> None:
        """Put a user's state in force unless a newer version is; a change is published."""
        await self._redis.run(PUT_USER, [user_key(user.id)], put_user_arguments(user, self._user_life))

    async def read_key(self, digest: str) -> KeyRecord | None:
        """One API key. Implements ``tokens.api_keys.LiveKeys`` with the next one, and the same of users."""
        return api_key_of(digest, await self._redis.call("HMGET", api_key_key(digest), *KEY_FIELDS))

    async def put_key(self, record: KeyRecord) -> None:
        """Put a key in force for ``KEY_LIFE`` unless as new a version is; a change is published."""
        await self._redis.run(PUT_KEY, [api_key_key(record.digest)], put_key_arguments(record, KEY_LIFE))

    async def changes(self) -> AsyncGenerator[Changed, None]:
        """Sessions that end and users that change, on any gate, for ever; ``Changed()`` where some may be missed.

        Within ``contextlib.aclosing``. A server whose ACL hides the channel yields nothing: hints only.
        """
        async with contextlib.aclosing(self._redis.subscribe(EVENTS)) as events:
            async for event in events:
                yield Changed() if event.data is None else _changed(event.data.decode("ascii", "replace"))


def _changed(key: str) -> Changed:
    if key.startswith("gate:{u:"):
        return Changed(user=key[8:-1])
    return Changed(session=key[6:-1]) if key.startswith("gate:{") else Changed()


def blacklist_call(session: str, jti: str, life: float) -> tuple[list[str], list[int]]:
    """Keys and arguments of ``blacklist.lua`` for a token with ``life`` seconds to go."""
    return [blacklist_key(session, jti), session_key(session)], [max(int(life * 1000), 0) + _SLACK_MS]


def put_user_arguments(user: UserState, life: float, *, only_known: bool = False) -> list[str | int]:
    """The arguments of ``put_user.lua``; ``life`` in seconds."""
    fields: dict[str, str | int] = {
        "locked": int(user.locked),
        "roles": " ".join(user.roles),
        "email": user.email,
        "verified": int(user.email_verified),
        "name": user.name or "",
    }
    pairs: list[str | int] = [part for pair in fields.items() for part in pair]
    return [user.version, user.epoch, int(life * 1000), int(only_known), *pairs]


def mfa_field(mfa_time: float, *, must_enrol: bool) -> str | bytes:
    """The field that says when a second factor was used last, or that one must be added first."""
    return ENROL if must_enrol else repr(mfa_time)


def _session_pairs(session: Session) -> list[Any]:
    values = (
        session.user_id,
        session.epoch,
        session.generation,
        repr(session.rotated_at),
        repr(session.seen_at),
        repr(session.expires_at),
        repr(session.auth_time),
        session.acr,
        " ".join(session.amr),
        mfa_field(session.mfa_time, must_enrol=session.must_enrol),
        session.bound,
    )
    return [part for pair in zip(SESSION_FIELDS, values, strict=True) for part in pair]
