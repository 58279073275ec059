"""Passwords: what one must be, and hashing in a bounded pool (NIST SP 800-63B-4, OWASP Password Storage).

Argon2id (RFC 9106) with OWASP's parameters runs in its own threads (it releases the GIL); what would
wait too long is refused with 503 instead of piling up.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from gatekeeper.errors import Problem, StartupError
from policies.model import Reason

_SCORED: Final = 100  # characters; what is this long is judged by its beginning
LONGEST = 1024  # characters; capped before anything is hashed (security 16)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """Argon2id parameters; ``memory`` in KiB."""

    time: int = 2
    memory: int = 19 * 1024
    lanes: int = 1


OWASP = Argon2Cost()


@cache
def _common() -> frozenset[str]:
    data = resources.files("gatekeeper.identity") / "data" / "common-passwords.txt.gz"
    return frozenset(gzip.decompress(data.read_bytes()).decode().split("\n"))


def normalize(password: str) -> str:
    """Unicode NFC, so that the same password typed on another keyboard is the same (NIST SP 800-63B-4 3.1.1.2)."""
    return unicodedata.normalize("NFC", password)


class LeakedPasswords(Protocol):
    """Knows passwords that have leaked."""

    async def fault(self, password: str) -> str | None:
        """What is wrong with a password, None where it is unknown there (or nobody can say, and may not)."""


class PasswordRules:
    """Length, a blocklist, and how soon it would be guessed (``min_score``, zxcvbn); no composition rules.

    Raises StartupError where a score is asked for and the extra is not installed.
    """

    def __init__(self, *, min_length: int, block_common: bool, min_score: int = 0) -> None:
        self.min_length = min_length
        self._block_common = block_common
        self._min_score = min_score
        self._score = _scorer() if min_score else None

    def fault(self, password: str) -> str | None:
        """What is wrong with a new password, in words fit for its owner, or None."""
        if len(normalize(password)) < self.min_length:
            return f"must have at least {self.min_length} characters"
        if len(password) > LONGEST:
            return f"must have at most {LONGEST} characters"
        if self._block_common and normalize(password).casefold() in _common():
            return "is one of the most common passwords"
        if self._score is not None and self._score(normalize(password)[:_SCORED]) < self._min_score:
            return "is too easy to guess; take something longer or less usual"
        return None


def _scorer() -> Callable[[str], int]:
    try:
        from zxcvbn_rs_py import zxcvbn
    except ImportError:
        raise StartupError(
            "passwords.min_score: needs the extra `passwords`: pip install 'gatekeeper[passwords]'"
        ) from None
    return lambda password: int(zxcvbn(password).score)


class Passwords:
    """Hashes and verifies. ``queue`` is how many may wait or run at once."""

    def __init__(
        self,
        rules: PasswordRules,
        *,
        cost: Argon2Cost = OWASP,
        threads: int = 0,
        queue: int = 64,
        leaked: LeakedPasswords | None = None,
    ) -> None:
        self.rules = rules
        self._leaked = leaked
        self._hasher = PasswordHasher(cost.time, cost.memory, cost.lanes, type=Type.ID)
        self._dummy = self._hasher.hash("the account that nobody has")
        self._threads = threads or max(1, (os.cpu_count() or 2) - 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="argon2")
        self._most = queue
        self.queued = 0

    async def fault(self, password: str) -> str | None:
        """What is wrong with a new password, in words fit for its owner, or None; asks the leak check last."""
        fault = self.rules.fault(password)
        if fault is None and self._leaked is not None:
            fault = await self._leaked.fault(normalize(password))
        return fault

    async def hash(self, password: str) -> str:
        """The PHC string of a new password. Raises Problem (503 busy) when the queue is full."""
        return await self._run(lambda: self._hasher.hash(normalize(password)))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is right; takes as long for None (no such account). Raises Problem (503 busy)."""
        if len(password) > LONGEST:
            hashed, password = None, password[:LONGEST]
        right = await self._run(lambda: self._matches(hashed or self._dummy, normalize(password)))
        return right and hashed is not None

    def outdated(self, hashed: str) -> bool:
        """Whether parameters have risen since this hash was made."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self.queued >= self._most:
            raise Problem(503, Reason.BUSY, "Too many logins at once; try again shortly.", retry_after=1)
        self.queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self.queued -= 1
