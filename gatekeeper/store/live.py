"""Live sessions and users in Redis. Implements ``tokens.sessions.SessionStore``.

Keys: ``gate:{sid}`` the session, ``gate:{sid}:x:<jti>`` a blacklisted access token, ``gate:{u:uid}`` the user.
Keys of one session share a hash tag (Redis Cluster); no script touches two tags but ``read_many``, which a
cluster-aware client would split by node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from gatekeeper.errors import StoreUnavailable
from gatekeeper.live import Changed
from gatekeeper.store.redis import Redis, Script
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import Facts, LiveRecord, Presented, Question, Session, UserState
from policies.rates import Counted, Standing, standing

_Record = TypeVar("_Record")
PRESENT = Script("present")
PUT_USER = Script("put_user")
ADOPT_EPOCH = Script("adopt_epoch")
END = Script("end")
BLACKLIST = Script("blacklist")
STEP_UP = Script("step_up")
READ_MANY = Script("read_many")

EVENTS = "gate:events"  # the scripts publish the key of what changed
_SESSION_FIELDS = ("uid", "epoch", "gen", "rotated", "seen", "expires", "auth", "acr", "amr", "mfa")
_USER_FIELDS = ("version", "epoch", "locked", "roles", "email", "verified", "name")
_MOST_A_READ = 200  # requests a script call; keeps one tick from holding Redis for long
_MOST_REMEMBERED = 10_000
_ENROL = b"enrol"
_SLACK_MS = 60_000  # keys outlive their records a little: expiry is decided by the gate's clock


def session_key(session: str) -> str:
    """The hash of one session."""
    return f"gate:{{{session}}}"


def blacklist_key(session: str, jti: str) -> str:
    """The entry of one blacklisted access token."""
    return f"gate:{{{session}}}:x:{jti}"


def limit_key(use: Counted) -> str:
    """The windows of one limit for one address, user or session."""
    return f"gate:l:{use.limit.name}:{{{use.who}}}"


def user_key(user: str) -> str:
    """The hash of one user."""
    return f"gate:{{u:{user}}}"


class RedisSessions:
    """Sessions and users in Redis; ``user_life`` (seconds) must outlast any session."""

    def __init__(self, redis: Redis, *, user_life: float) -> None:
        self._redis = redis
        self._user_life = user_life
        self._waiting: list[tuple[Question, asyncio.Future[Facts]]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parsed_users: dict[str, tuple[Sequence[bytes | None], UserState | None]] = {}
        self._parsed_sessions: dict[str, tuple[Sequence[bytes | None], Session | None]] = {}

    async def read(self, session: str, jti: str, user: str) -> LiveRecord:
        """Session, blacklist entry and user, in the round trip of this tick."""
        facts = await self.ask(Question(0.0, session, jti, user))
        return facts.live or LiveRecord(None, blacklisted=False, user=None)

    async def ask(self, question: Question) -> Facts:
        """All that one request needs, in one round trip shared with the other requests of this tick."""
        # Kept, because asking for the running loop is a system call in CPython 3.11.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Facts] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((question, future))
        return await future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST_A_READ):
            task = asyncio.ensure_future(self._read_many(waiting[start : start + _MOST_A_READ]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _read_many(self, waiting: Sequence[tuple[Question, asyncio.Future[Facts]]]) -> None:
        keys, arguments = _asked([question for question, _ in waiting])
        try:
            answers = iter(await self._redis.run(READ_MANY, keys, arguments))
        except StoreUnavailable as fault:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(StoreUnavailable("redis", fault.detail))
            return
        for question, future in waiting:
            facts = self._facts(question, answers)
            if not future.done():  # a caller that left has cancelled its own future, and only that
                future.set_result(facts)

    def _facts(self, question: Question, answers: Iterator[Any]) -> Facts:
        live = address = rule = None
        if question.session:
            session, listed, user = next(answers), next(answers), next(answers)
            live = LiveRecord(
                _remembered(self._parsed_sessions, question.session, session, _session),
                bool(listed),
                _remembered(self._parsed_users, question.user, user, _user),
            )
        if question.address_limit is not None:
            address = _standing(question.address_limit, next(answers), question.now)
        if question.rule_limit is not None:
            rule = _standing(question.rule_limit, next(answers), question.now)
        return Facts(live, address, rule)

    async def find(self, session: str) -> Session | None:
        """One session."""
        return _session(session, await self._redis.call("HMGET", session_key(session), *_SESSION_FIELDS))

    async def find_user(self, user: str) -> UserState | None:
        """One user; asking keeps the record for as long as a new session may need it."""
        key = user_key(user)
        fields, _ = await asyncio.gather(
            self._redis.call("HMGET", key, *_USER_FIELDS),
            self._redis.call("PEXPIRE", key, int(self._user_life * 1000)),
        )
        return _user(user, fields)

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
        life = max(int((until - now) * 1000), 0) + _SLACK_MS
        await self._redis.run(BLACKLIST, [blacklist_key(session, jti), session_key(session)], [life])

    async def adopt_epoch(self, session: str, epoch: int) -> None:
        """Let one living session follow its user into a new epoch."""
        await self._redis.run(ADOPT_EPOCH, [session_key(session)], [epoch])

    async def step_up(self, session: Session, *, amr: Sequence[str], two_factors: bool, now: float) -> Session | None:
        """Note that the owner of a session has proved to be there, atomically; None where it has ended."""
        answer = await self._redis.run(STEP_UP, [session_key(session.id)], [repr(now), int(two_factors), *amr])
        if answer is None:
            return None
        auth, acr, methods, mfa = answer
        return replace(
            session,
            auth_time=float(auth),
            acr=acr.decode(),
            amr=tuple(methods.decode().split()),
            mfa_time=_mfa_time(mfa),
            must_enrol=mfa == _ENROL,
        )

    async def put_user(self, user: UserState) -> None:
        """Put a user's state in force unless a newer version is; a change is published."""
        await self._redis.run(PUT_USER, [user_key(user.id)], put_user_arguments(user, self._user_life))

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


def _asked(questions: Sequence[Question]) -> tuple[list[str], list[str | int]]:
    """Keys and arguments of ``read_many.lua``."""
    keys: list[str] = []
    # One clock a tick: the requests of a tick came within a millisecond or so.
    arguments: list[str | int] = [repr(questions[-1].now)]
    for question in questions:
        asks = ""
        uses: list[int] = []
        if question.session:
            asks = "s"
            keys += (
                session_key(question.session),
                blacklist_key(question.session, question.jti),
                user_key(question.user),
            )
        for letter, use in (("a", question.address_limit), ("r", question.rule_limit)):
            if use is not None:
                asks += letter
                keys.append(limit_key(use))
                uses += (use.limit.amount, use.limit.window)
        arguments.append(asks)
        arguments += uses
    return keys, arguments


def _remembered(
    memory: dict[str, tuple[Sequence[bytes | None], _Record | None]],
    name: str,
    fields: Sequence[bytes | None],
    parse: Callable[[str, Sequence[bytes | None]], _Record | None],
) -> _Record | None:
    """What these very fields were parsed to the last time; parsing costs more than comparing them."""
    known = memory.get(name)
    if known is not None and known[0] == fields:
        return known[1]
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    record = parse(name, fields)
    memory[name] = (fields, record)
    return record


def _standing(use: Counted, taken: Sequence[int], now: float) -> Standing:
    counted, current, previous = taken
    return standing(use.limit, current, previous, now, counted=bool(counted))


def mfa_field(mfa_time: float, *, must_enrol: bool) -> str | bytes:
    """The field that says when a second factor was used last, or that one must be added first."""
    return _ENROL if must_enrol else repr(mfa_time)


def _mfa_time(value: bytes | None) -> float:
    return 0.0 if value is None or value == _ENROL else float(value)


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
    )
    return [part for pair in zip(_SESSION_FIELDS, values, strict=True) for part in pair]


def _session(session: str, fields: Sequence[bytes | None]) -> Session | None:
    uid, epoch, generation, rotated, seen, expires, auth, acr, amr, mfa = fields
    if uid is None or epoch is None or generation is None or rotated is None or seen is None:
        return None
    if expires is None or auth is None or acr is None or amr is None:
        return None
    return Session(
        id=session,
        user_id=uid.decode(),
        epoch=int(epoch),
        generation=int(generation),
        rotated_at=float(rotated),
        seen_at=float(seen),
        expires_at=float(expires),
        auth_time=float(auth),
        acr=acr.decode(),
        amr=tuple(amr.decode().split()),
        mfa_time=_mfa_time(mfa),
        must_enrol=mfa == _ENROL,
    )


def _user(user: str, fields: Sequence[bytes | None]) -> UserState | None:
    version, epoch, locked, roles, email, verified, name = fields
    if version is None or epoch is None or locked is None or roles is None or email is None:
        return None
    return UserState(
        id=user,
        email=email.decode(),
        email_verified=verified == b"1",
        name=name.decode() if name else None,
        roles=tuple(roles.decode().split()),
        locked=locked != b"0",
        epoch=int(epoch),
        version=int(version),
    )
