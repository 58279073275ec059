"""Which target is next: strategies of ``upstream.pool``. Candidates are up and have room; there is at least one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

from gatekeeper.upstream.target import Target

_HASH_SPAN = float(1 << 64)


class Balance(Protocol):
    """Chooses one of several targets."""

    def choose(self, candidates: Sequence[Target]) -> Target:
        """The target of the next request."""


class RoundRobin:
    """In turn, by weight, as evenly spread as the weights allow: 5:1:1 is a a b a c a a, not a a a a a b c.

    Each candidate earns its weight, the richest is chosen and pays what all earned (nginx's smooth weighted round
    robin).
    """

    __slots__ = ()

    def choose(self, candidates: Sequence[Target]) -> Target:
        best = candidates[0]
        if len(candidates) == 1:
            return best
        total = 0
        for target in candidates:
            target.credit += target.weight
            total += target.weight
            if target.credit > best.credit:
                best = target
        best.credit -= total
        return best


class LeastConnections:
    """Where the fewest exchanges are under way for its weight; among equals in turn."""

    __slots__ = ("_turns",)

    def __init__(self) -> None:
        self._turns = RoundRobin()

    def choose(self, candidates: Sequence[Target]) -> Target:
        least = min(target.busy / target.weight for target in candidates)
        return self._turns.choose([target for target in candidates if target.busy / target.weight == least])


def by_hash(key: bytes, candidates: Sequence[Target]) -> Target:
    """The same candidate for the same key; when one is lost, only its own keys move, to all others by weight.

    Rendezvous hashing (Thaler and Ravishankar 1998) with logarithmic weights; all workers and nodes agree.
    """
    return max(candidates, key=lambda target: _score(key, target))


def _score(key: bytes, target: Target) -> float:
    digest = blake2b(target.name.encode(), digest_size=8, key=blake2b(key, digest_size=32).digest()).digest()
    return target.weight / -math.log((int.from_bytes(digest, "big") + 0.5) / _HASH_SPAN)
