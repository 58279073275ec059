"""The one round trip that a request makes to Redis, shared with the other requests of its loop tick. Used by
``store.live``; ``read_many.lua`` is the other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from gatekeeper.errors import StoreUnavailable
from gatekeeper.store.api_key_records import KEY_FIELDS, api_key_key, api_key_of
from gatekeeper.store.batch import CommandRefused
from gatekeeper.store.live_records import (
    SESSION_FIELDS,
    USER_FIELDS,
    blacklist_key,
    fields_of,
    limit_key,
    session_key,
    session_of,
    user_key,
    user_of,
)
from gatekeeper.store.redis import Redis, Script
from gatekeeper.tokens.api_keys import KeyFacts, KeyRecord
from gatekeeper.tokens.sessions import Facts, LiveRecord, Question, Session, UserState
from policies.rates import Counted, Standing

READ_MANY: Final = Script("read_many")
_MOST_A_READ: Final = 16  # requests a script call: while Redis answers one, the gate goes on with the one before
_MOST_REMEMBERED: Final = 10_000
_BLACKLISTED: Final = 1

_Record = TypeVar("_Record")
_Asked = tuple[Question, asyncio.Future[Facts]]


class RoundTrip:
    """Collects questions and asks them together."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._users: dict[str, tuple[bytes, UserState | None]] = {}
        self._sessions: dict[str, tuple[bytes, Session | None]] = {}
        self._records: dict[str, LiveRecord] = {}
        self._keys: dict[str, tuple[bytes, KeyRecord | None]] = {}

    def ask(self, question: Question) -> asyncio.Future[Facts]:
        """The answer to come, or StoreUnavailable; the future may be cancelled at any time."""
        # Kept, because asking for the running loop is a system call in CPython 3.11.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Facts] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((question, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST_A_READ):
            asked = waiting[start : start + _MOST_A_READ]
            keys, arguments = _written([question for question, _ in asked])
            try:
                reply = self._redis.submit(READ_MANY, keys, arguments)
            except StoreUnavailable as fault:
                _fail(asked, fault)
            else:
                reply.add_done_callback(partial(self._answered, asked, keys, arguments))

    def _answered(
        self, asked: list[_Asked], keys: Sequence[str], arguments: Sequence[object], reply: asyncio.Future[Any]
    ) -> None:
        fault = reply.exception()
        if fault is None:
            self._hand_out(asked, reply.result())
        elif isinstance(fault, CommandRefused) and fault.code == "NOSCRIPT":
            task = asyncio.ensure_future(self._teach(asked, keys, arguments))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        else:
            _fail(asked, fault)

    async def _teach(self, asked: list[_Asked], keys: Sequence[str], arguments: Sequence[object]) -> None:
        """The server does not know the script yet, or any more."""
        try:
            self._hand_out(asked, await self._redis.run(READ_MANY, keys, arguments))
        except (StoreUnavailable, CommandRefused) as fault:
            _fail(asked, fault)

    def _hand_out(self, asked: list[_Asked], answer: Sequence[Any]) -> None:
        answers = iter(answer)
        for question, future in asked:
            facts = self._facts(question, answers)
            if not future.done():  # a caller that left has cancelled its own future, and only that
                future.set_result(facts)

    def _facts(self, question: Question, answers: Iterator[Any]) -> Facts:
        live = address = rule = key = None
        if question.session:
            live = self._live(question, next(answers), next(answers))
        elif question.key:
            record = _remembered(self._keys, question.key, next(answers), _key_of)
            key = KeyFacts(record, _remembered(self._users, question.user, next(answers), _user_of))
        if question.address_limit is not None:
            address = _standing(question.address_limit, next(answers), question.now)
        if question.rule_limit is not None:
            rule = _standing(question.rule_limit, next(answers), question.now)
        return Facts(live, address, rule, key)

    def _live(self, question: Question, session: bytes | int | None, user: bytes | None) -> LiveRecord:
        """What was read, as the very object of the last time where nothing has changed since."""
        state = _remembered(self._users, question.user, user, _user_of)
        if session == _BLACKLISTED:
            return LiveRecord(None, blacklisted=True, user=state)
        found = _remembered(self._sessions, question.session, session, _session_of)  # type: ignore[arg-type]  # no int
        record = self._records.get(question.session)
        if record is None or record.session is not found or record.user is not state:
            if len(self._records) >= _MOST_REMEMBERED:
                self._records.clear()
            record = self._records[question.session] = LiveRecord(found, blacklisted=False, user=state)
        return record


def _written(questions: Sequence[Question]) -> tuple[list[str], list[str | int]]:
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
        elif question.key:
            asks = "k"
            keys += (api_key_key(question.key), user_key(question.user))
        for letter, use in (("a", question.address_limit), ("r", question.rule_limit)):
            if use is not None:
                keys.append(limit_key(use))
                more = use.limit.more
                asks += letter.upper() if more else letter
                if more:
                    uses.append(1 + len(more))
                uses += (use.limit.amount, use.limit.window)
                for amount, window in more:
                    uses += (amount, window)
        arguments.append(asks)
        arguments += uses
    return keys, arguments


def _session_of(session: str, text: bytes) -> Session | None:
    return session_of(session, fields_of(text, len(SESSION_FIELDS)))


def _key_of(digest: str, text: bytes) -> KeyRecord | None:
    return api_key_of(digest, fields_of(text, len(KEY_FIELDS)))


def _user_of(user: str, text: bytes) -> UserState | None:
    return user_of(user, fields_of(text, len(USER_FIELDS)))


def _remembered(
    memory: dict[str, tuple[bytes, _Record | None]],
    name: str,
    text: bytes | None,
    parse: Callable[[str, bytes], _Record | None],
) -> _Record | None:
    """What this very text was parsed to the last time; parsing costs more than comparing."""
    if text is None:
        return None
    known = memory.get(name)
    if known is not None and known[0] == text:
        return known[1]
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    record = parse(name, text)
    memory[name] = (text, record)
    return record


def _standing(use: Counted, taken: Sequence[int], now: float) -> Standing:
    counted, current, previous, *more = taken
    return Standing(use.limit, bool(counted), current, previous, now, more)


def _fail(asked: Sequence[_Asked], fault: BaseException) -> None:
    for _, future in asked:
        if not future.done():
            one = StoreUnavailable(fault.store, fault.detail) if isinstance(fault, StoreUnavailable) else fault
            future.set_exception(one)
