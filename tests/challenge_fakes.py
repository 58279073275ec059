"""Challenges in memory. tests/contracts/test_challenge_store.py holds them to what Redis does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.challenges import Answer, Challenge, Opened, Purpose


@dataclass
class _Kept:
    challenge: Challenge
    code: bytes | None
    sent: float | None
    spent: bool = False


class MemoryChallenges:
    """``identity.challenges.ChallengeStore`` in a dict; ``down`` makes every call fail."""

    def __init__(self) -> None:
        self.kept: dict[str, _Kept] = {}
        self.last: dict[str, tuple[str, float]] = {}
        self.down = False

    async def open(self, challenge: Challenge, code: bytes | None, *, now: float, again_after: float) -> Opened:
        self._up()
        tag = challenge.id.partition(".")[0]
        if tag in self.last:
            meant, sent = self.last[tag]
            if now - sent < again_after:
                return Opened(meant, fresh=False, wait=again_after - (now - sent))
        self.kept[challenge.id] = _Kept(challenge, code, now if code is not None else None)
        self.last[tag] = (challenge.id, now)
        return Opened(challenge.id, fresh=True, wait=again_after)

    async def find(self, challenge: str) -> Challenge | None:
        self._up()
        kept = self.kept.get(challenge)
        return kept.challenge if kept else None

    async def put_code(self, challenge: str, code: bytes, *, now: float, again_after: float) -> Opened | None:
        self._up()
        kept = self.kept.get(challenge)
        if kept is None or kept.spent or now >= kept.challenge.expires_at:
            return None
        if kept.sent is not None and now - kept.sent < again_after:
            return Opened(challenge, fresh=False, wait=again_after - (now - kept.sent))
        kept.code, kept.sent = code, now
        tag = challenge.partition(".")[0]
        if self.last.get(tag, ("", 0.0))[0] == challenge:
            self.last[tag] = (challenge, now)
        return Opened(challenge, fresh=True, wait=again_after)

    async def answer(self, challenge: str, purposes: Sequence[Purpose], code: bytes | None, *, now: float) -> Answer:
        self._up()
        kept = self.kept.get(challenge)
        if kept is None or now >= kept.challenge.expires_at:
            return Answer.LATE
        if kept.spent or kept.challenge.purpose not in purposes or not kept.challenge.tries:
            return Answer.WRONG
        kept.challenge = replace(kept.challenge, tries=kept.challenge.tries - 1)
        if code is None:
            return Answer.RIGHT
        if kept.code != code:
            return Answer.WRONG
        await self.spend(challenge)
        return Answer.RIGHT

    async def spend(self, challenge: str) -> bool:
        self._up()
        kept = self.kept.get(challenge)
        if kept is None or kept.spent:
            return False
        kept.spent, kept.code = True, None
        tag = challenge.partition(".")[0]
        if self.last.get(tag, ("", 0.0))[0] == challenge:
            del self.last[tag]
        return True

    async def remember(self, challenge: str, name: str, value: str) -> bool:
        self._up()
        kept = self.kept.get(challenge)
        if kept is None:
            return False
        kept.challenge = replace(kept.challenge, facts={**kept.challenge.facts, name: value})
        return True

    def _up(self) -> None:
        if self.down:
            raise StoreUnavailable("redis", "is down for a test")
