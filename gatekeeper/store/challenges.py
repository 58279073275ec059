"""Challenges in Redis. Implements ``identity.challenges.ChallengeStore``.

Keys: ``gate:{c:<tag>}:<id>`` a challenge, ``gate:{c:<tag>}`` the last one of this purpose and person. The tag is the
first half of the id, so both lie on one node (Redis Cluster).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gatekeeper.identity.challenges import Answer, Challenge, Opened, Purpose
from gatekeeper.store.redis import Redis, Script

_OPEN: Final = Script("challenge_open")
_CODE: Final = Script("challenge_code")
_ANSWER: Final = Script("challenge_answer")
_SPEND: Final = Script("challenge_spend")
_REMEMBER: Final = Script("challenge_remember")
_SLACK_MS: Final = 600_000  # the record stays a while, so that "too late" can be told from "never was"
_FACT: Final = "f:"


def _keys(challenge: str) -> list[str]:
    tag, _, own = challenge.partition(".")
    return [f"gate:{{c:{tag}}}:{own}", f"gate:{{c:{tag}}}"]


class RedisChallenges:
    """One hash a challenge; expiry is decided by the gate's clock."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def open(self, challenge: Challenge, code: bytes | None, *, now: float, again_after: float) -> Opened:
        pairs: list[Any] = [
            *("purpose", challenge.purpose, "user", challenge.user or "", "methods", " ".join(challenge.methods)),
            *("amr", " ".join(challenge.amr), "expires", repr(challenge.expires_at), "tries", challenge.tries),
        ]
        for name, value in challenge.facts.items():
            pairs += [_FACT + name, value]
        if code is not None:
            pairs += ["code", code, "sent", repr(now)]
        life = int((challenge.expires_at - now) * 1000) + _SLACK_MS
        arguments = [repr(now), repr(again_after), life, challenge.id, *pairs]
        fresh, meant, age = await self._redis.run(_OPEN, _keys(challenge.id), arguments)
        return Opened(meant.decode(), bool(fresh), max(again_after - float(age), 0.0))

    async def find(self, challenge: str) -> Challenge | None:
        flat = await self._redis.call("HGETALL", _keys(challenge)[0])
        fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        return _challenge(challenge, fields) if "purpose" in fields else None

    async def put_code(self, challenge: str, code: bytes, *, now: float, again_after: float) -> Opened | None:
        arguments = [repr(now), repr(again_after), challenge, code]
        answer = await self._redis.run(_CODE, _keys(challenge), arguments)
        if answer is None:
            return None
        fresh, age = answer
        return Opened(challenge, bool(fresh), max(again_after - float(age), 0.0))

    async def answer(self, challenge: str, purposes: Sequence[Purpose], code: bytes | None, *, now: float) -> Answer:
        arguments: list[Any] = [repr(now), challenge, f" {' '.join(purposes)} "]
        if code is not None:
            arguments.append(code)
        answer = await self._redis.run(_ANSWER, _keys(challenge), arguments)
        return Answer(answer.decode())

    async def spend(self, challenge: str) -> bool:
        return bool(await self._redis.run(_SPEND, _keys(challenge), [challenge]))

    async def remember(self, challenge: str, name: str, value: str) -> bool:
        return bool(await self._redis.run(_REMEMBER, _keys(challenge)[:1], [_FACT + name, value]))


def _challenge(name: str, fields: dict[str, bytes]) -> Challenge:
    return Challenge(
        id=name,
        purpose=Purpose(fields["purpose"].decode()),
        user=fields["user"].decode() or None,
        methods=tuple(fields["methods"].decode().split()),
        amr=tuple(fields["amr"].decode().split()),
        expires_at=float(fields["expires"]),
        tries=int(fields["tries"]),
        facts={key[len(_FACT) :]: value.decode() for key, value in fields.items() if key.startswith(_FACT)},
    )
