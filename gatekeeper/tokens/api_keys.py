"""API keys as requests bring them: their form, their live record, and whom they stand for.

``KeyReader`` is asked by ``gatekeeper.gate`` about every request that shows a key. Record and owner are read in the
request's one round trip; only a worker that meets a key for the first time, or a Redis that has lost it, costs more:
then PostgreSQL is asked. ``identity.api_keys`` makes and revokes keys.
"""

from __future__ import annotations

import asyncio
import secrets
import zlib
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final, Protocol

from gatekeeper.errors import StoreUnavailable
from gatekeeper.inbound import InboundRequest
from gatekeeper.tokens.sessions import UserState
from policies.criteria import Network
from policies.facts import fact
from policies.model import Address, KeyGrant, Principal, Reason
from policies.rates import key_session
from policies.scopes import Scopes

PREFIX: Final = "gk_live_"
SHOWN: Final = len(PREFIX) + 4  # characters by which people tell their keys apart

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM: Final = 30  # characters: 178 bits
_CHECK: Final = 6  # characters of CRC-32 in base 62
_LENGTH: Final = len(PREFIX) + _RANDOM + _CHECK
_MOST_REMEMBERED: Final = 10_000
_MOST_LOADS: Final = 64  # look-ups of a worker in PostgreSQL at once


def new_key() -> str:
    """A key: prefix, random characters, and a checksum by which scanners and the gate tell it from anything else."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return body + _checksum(body)


def digest_of(text: str) -> str | None:
    """SHA-256 of a key, in hex, under which stores know it; None for what is no key by its form and checksum."""
    if len(text) != _LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return None
    if _checksum(text[:-_CHECK]) != text[-_CHECK:]:
        return None
    return sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        rest, digit = divmod(rest, 62)
        digits = _ALPHABET[digit] + digits
    return digits


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What requests read of a key; times in Unix seconds. ``version`` orders copies; no ``networks``: from anywhere."""

    digest: str = field(repr=False)
    id: str
    user_id: str
    scopes: Scopes
    networks: tuple[Network, ...]
    created_at: float
    expires_at: float | None
    revoked: bool
    version: int


@fact
class KeyClaim:
    """A text that is an API key by its form. ``user`` and ``key`` are "" until this worker has met it."""

    digest: str = field(repr=False)
    user: str = ""
    key: str = ""

    @property
    def session(self) -> str:
        """What stands in for a session's id."""
        return key_session(self.key)


@fact
class KeyFacts:
    """What the stores say of a key now; None for what they do not have."""

    record: KeyRecord | None
    user: UserState | None

    @property
    def whole(self) -> bool:
        """Whether both are there."""
        return self.record is not None and self.user is not None


class LiveKeys(Protocol):
    """Keys and their owners in Redis. All methods raise StoreUnavailable."""

    async def read_key(self, digest: str) -> KeyRecord | None: ...

    async def find_user(self, user: str) -> UserState | None: ...

    async def put_key(self, record: KeyRecord) -> None:
        """Unless as new a version is in force."""

    async def put_user(self, user: UserState) -> None: ...


class KeyRecords(Protocol):
    """Keys where they rest."""

    async def load(self, digest: str) -> tuple[KeyRecord, UserState] | None:
        """A key with its owner, whatever has become of it. Raises StoreUnavailable."""


class KeyReader:
    """Reads keys; ``uses`` is told of each use."""

    def __init__(self, live: LiveKeys, records: KeyRecords, uses: KeyUses) -> None:
        self._live = live
        self._records = records
        self.uses = uses
        self._claims: dict[str, KeyClaim] = {}
        self._principals: dict[str, tuple[KeyRecord, UserState, Principal, Principal]] = {}
        self._loads: dict[str, asyncio.Task[KeyFacts]] = {}

    def claim(self, text: str) -> KeyClaim | None:
        """What a presented text says by itself; None where it is no key. Asks no store."""
        known = self._claims.get(text)
        if known is not None:
            return known
        digest = digest_of(text)
        return None if digest is None else KeyClaim(digest)

    async def find(self, text: str, claim: KeyClaim) -> KeyFacts:
        """The key and its owner, from Redis or else from PostgreSQL. Raises StoreUnavailable."""
        record = await self._live.read_key(claim.digest)
        user = None if record is None else await self._live.find_user(record.user_id)
        found = KeyFacts(record, user) if user is not None else await self._load(claim.digest)
        if found.record is not None and text not in self._claims:
            if len(self._claims) >= _MOST_REMEMBERED:
                self._claims.clear()
            self._claims[text] = KeyClaim(claim.digest, found.record.user_id, found.record.id)
        return found

    async def again(self, principal: Principal, now: float) -> Principal | Reason:
        """Whom a key stands for by now, for a connection that it has opened. Raises StoreUnavailable."""
        grant = principal.key
        if grant is None:
            return Reason.TOKEN_INVALID
        record = await self._live.read_key(grant.digest)
        user = None if record is None else await self._live.find_user(record.user_id)
        found = KeyFacts(record, user) if user is not None else await self._load(grant.digest)
        live = _alive(found, now)
        return live if isinstance(live, Reason) else _principal(*live, as_owner=grant.as_owner)

    def admit(self, found: KeyFacts, request: InboundRequest) -> Principal | Reason:
        """Whom the key stands for in this request, or why it is not good (here)."""
        live = _alive(found, request.received)
        if isinstance(live, Reason):
            return live
        record, user = live
        if record.networks and not any(request.client in network for network in record.networks):
            return Reason.BINDING_MISMATCH
        self.uses.note(record.id, request.client, request.received)
        owner, scoped = self._both(record, user)
        return owner if record.scopes.as_owner(request.method, request.target.path) else scoped

    def _both(self, record: KeyRecord, user: UserState) -> tuple[Principal, Principal]:
        """The very objects of the last time while key and owner are those of the last time."""
        known = self._principals.get(record.id)
        if known is not None and known[0] is record and known[1] is user:
            return known[2], known[3]
        if len(self._principals) >= _MOST_REMEMBERED:
            self._principals.clear()
        owner, scoped = _principal(record, user, as_owner=True), _principal(record, user, as_owner=False)
        self._principals[record.id] = (record, user, owner, scoped)
        return owner, scoped

    async def _load(self, digest: str) -> KeyFacts:
        """From PostgreSQL into Redis; once for all who ask at a time, and for few keys at once."""
        task = self._loads.get(digest)
        if task is None:
            if len(self._loads) >= _MOST_LOADS:
                raise StoreUnavailable("postgres", "too many API keys are being looked up")
            task = self._loads[digest] = asyncio.create_task(self._loaded(digest))
            task.add_done_callback(partial(self._settled, digest))
        return await asyncio.shield(task)  # whoever leaves does not take the others' answer along

    async def _loaded(self, digest: str) -> KeyFacts:
        found = await self._records.load(digest)
        if found is None:
            return KeyFacts(None, None)
        record, user = found
        await self._live.put_user(user)
        await self._live.put_key(record)
        # What is in force may be newer than what was loaded.
        return KeyFacts(await self._live.read_key(digest), await self._live.find_user(user.id))

    def _settled(self, digest: str, task: asyncio.Task[KeyFacts]) -> None:
        del self._loads[digest]
        if not task.cancelled():
            task.exception()  # asked for, also where every caller has left


def _alive(found: KeyFacts, now: float) -> tuple[KeyRecord, UserState] | Reason:
    record, user = found.record, found.user
    if record is None or record.revoked or user is None or user.locked or user.id != record.user_id:
        return Reason.TOKEN_INVALID
    if record.expires_at is not None and now >= record.expires_at:
        return Reason.TOKEN_EXPIRED
    return record, user


def _principal(record: KeyRecord, user: UserState, *, as_owner: bool) -> Principal:
    name = key_session(record.id)
    return Principal(
        subject=user.id,
        email=user.email,
        roles=frozenset(user.roles),
        session=name,
        jti=name,
        email_verified=user.email_verified,
        name=user.name,
        key=KeyGrant(record.id, record.scopes.names, as_owner, record.digest),
    )


@dataclass(frozen=True, slots=True)
class KeyUse:
    """The last use of a key that is not written yet; ``time`` in Unix seconds."""

    time: float
    address: Address


class KeyUses:
    """Last uses of keys, collected on the request path and written now and then (``app.api_keys``)."""

    def __init__(self) -> None:
        self._waiting: dict[str, KeyUse] = {}

    def note(self, key: str, address: Address, now: float) -> None:
        """A key was used. Bounded: beyond that many keys at once, uses are not noted."""
        if key in self._waiting or len(self._waiting) < _MOST_REMEMBERED:
            self._waiting[key] = KeyUse(now, address)

    def take(self) -> dict[str, KeyUse]:
        """What is to be written, by key; it does not wait any more."""
        taken, self._waiting = self._waiting, {}
        return taken

    def give_back(self, uses: dict[str, KeyUse]) -> None:
        """They could not be written; newer ones stay."""
        self._waiting = {**uses, **self._waiting}
