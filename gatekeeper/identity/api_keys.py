"""API keys as people have them: made for one purpose, shown once, rotated with an overlap, revoked at once.

The service behind ``P/auth/api-keys``, the account page's section and ``gatekeeper api-key``. What a request makes of a
key is ``tokens.api_keys``.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gatekeeper.errors import Problem
from gatekeeper.identity.setup import ROLE
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens.api_keys import SHOWN, KeyRecord, digest_of, new_key
from policies.criteria import Network
from policies.model import Address, Reason
from policies.scopes import MOST, parse_scope, parse_scopes

MOST_NETWORKS: Final = 32
LONGEST_NAME: Final = 60
EXPIRED_FOR: Final = 30 * 86_400.0  # seconds for which an expired key is still listed
AUTHENTICATED: Final = "authenticated"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it rests; times in Unix seconds. ``start`` is its beginning, by which its owner knows it."""

    id: str
    digest: str = field(repr=False)
    user_id: str
    name: str
    start: str
    scopes: tuple[str, ...]
    networks: tuple[Network, ...]
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None = None
    successor: str | None = None
    last_used_at: float | None = None
    last_used_from: Address | None = None
    version: int = 1

    @property
    def record(self) -> KeyRecord:
        """What requests read of it."""
        return KeyRecord(
            digest=self.digest,
            id=self.id,
            user_id=self.user_id,
            scopes=parse_scopes(self.scopes),
            networks=self.networks,
            created_at=self.created_at,
            expires_at=self.expires_at,
            revoked=self.revoked_at is not None,
            version=self.version,
        )

    def good(self, now: float) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that somebody asks for; ``expires_at`` in Unix seconds, None for never."""

    name: str
    scopes: Sequence[str]
    networks: Sequence[Network] = ()
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, for the audit log; ``name`` is a user's id or ``cli:<operating system user>``, ``key``
    the id of the API key by which they came.
    """

    name: str
    address: Address | None = None
    request_id: str | None = None
    key: str | None = None


class KeyStore(Protocol):
    """Where keys rest. Each method is one step; all raise StoreUnavailable."""

    async def add(self, key: ApiKey, most: int) -> bool:
        """False where the owner has ``most`` keys that are good."""

    async def rotate(self, key: str, successor: ApiKey, until: float, now: float) -> ApiKey | None:
        """Put ``successor`` beside a key of the same owner, which ends at ``until``; None where it is not good."""

    async def revoke(self, key: str, by: str, now: float, *, owner: str | None = None) -> ApiKey | None:
        """The key, revoked by now; None where ``owner`` has none of this id. Once more is no fault."""

    async def revoke_all(self, owner: str, by: str, now: float) -> list[ApiKey]: ...

    async def of_user(self, user: str, since: float) -> list[ApiKey]:
        """Those that are not revoked, and not expired since before ``since``; newest first."""


class LiveKeys(Protocol):
    """Keys in Redis. Raises StoreUnavailable."""

    async def put_key(self, record: KeyRecord) -> None: ...


class BadScope(ValueError):
    """A scope that cannot be had: the ``place`` in the list, and why in words for whoever asked."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place = place


class ApiKeys:
    """The service. ``grants``: which scope names users may take themselves, by a role or as ``authenticated``."""

    def __init__(
        self,
        store: KeyStore,
        live: LiveKeys,
        audit: AuditLog,
        *,
        grants: Mapping[str, Collection[str]],
        per_user: int,
        max_ttl: float | None,
        overlap: float,
    ) -> None:
        self._store = store
        self._live = live
        self._audit = audit
        self._grants = grants
        self._per_user = per_user
        self.max_ttl = max_ttl
        self.overlap = overlap

    def check_scopes(self, scopes: Sequence[str], roles: Collection[str] | None) -> None:
        """Whether whoever has these ``roles`` may take the scopes; None: an operator, who may give all.

        Raises BadScope.
        """
        if not scopes:
            raise BadScope(0, "name at least one; /** is everything that you may do")
        if len(scopes) > MOST:
            raise BadScope(len(scopes), f"a key has at most {MOST} scopes")
        for place, text in enumerate(scopes):
            try:
                scope = parse_scope(text)
            except ValueError as fault:
                raise BadScope(place, str(fault)) from None
            if isinstance(scope, str) and roles is not None and not self._may_take(scope, roles):
                raise BadScope(place, "only an admin may give this scope; a path such as /reports/** needs none")
            if text in scopes[:place]:
                raise BadScope(place, "stands here twice")

    def _may_take(self, scope: str, roles: Collection[str]) -> bool:
        granted = self._grants.get(scope, ())
        return ROLE in roles or AUTHENTICATED in granted or not frozenset(granted).isdisjoint(roles)

    def takes(self, roles: Collection[str]) -> list[str]:
        """The scope names that whoever has these roles may take, of those that the configuration lists."""
        return [scope for scope in self._grants if self._may_take(scope, roles)]

    def end_of(self, expires_at: float | None, now: float) -> float | None:
        """When a key ends that should end then. Raises ValueError, in words for whoever asked."""
        latest = None if self.max_ttl is None else now + self.max_ttl
        if expires_at is None:
            return latest
        if expires_at <= now:
            raise ValueError("is not in the future")
        if latest is not None and expires_at > latest:
            raise ValueError(f"a key lives {int((latest - now) // 86_400)} days at most here")
        return expires_at

    async def add(self, user: str, wanted: Wanted, author: Author, now: float) -> tuple[ApiKey, str]:
        """The key's record and, this once, the key. The parts of ``wanted`` are checked.

        Raises Problem (409), StoreUnavailable.
        """
        made, text = _made(user, wanted, author.name, now)
        if not await self._store.add(made, self._per_user):
            raise Problem(409, Reason.VALIDATION, f"There are {self._per_user} API keys already; revoke one first.")
        await self._note("api-key.add", made, author, now, after=_facts(made))
        return made, text

    async def rotate(
        self, key: ApiKey, author: Author, now: float, *, overlap: float | None = None
    ) -> tuple[ApiKey, ApiKey, str]:
        """Another key like it, and the old one goes on for ``overlap`` seconds: the old, the new, and its text.

        The new one lives as long as the old one was to live; but what an operator gave until some day its owner does
        not prolong. Raises Problem (404), StoreUnavailable.
        """
        expires = key.expires_at
        if expires is not None and (key.created_by == key.user_id or author.name != key.user_id):
            expires = now + (expires - key.created_at)
        if self.max_ttl is not None:
            expires = min(now + self.max_ttl, expires or now + self.max_ttl)
        wanted = Wanted(key.name, key.scopes, key.networks, expires)
        made, text = _made(key.user_id, wanted, key.created_by, now)
        until = now + (self.overlap if overlap is None else overlap)
        old = await self._store.rotate(key.id, made, until, now)
        if old is None:
            raise _no_such_key()
        await self._live.put_key(old.record)
        await self._note("api-key.rotate", old, author, now, before=_facts(key), after=_facts(made))
        return old, made, text

    async def revoke(
        self, key: str, author: Author, now: float, *, owner: str | None = None, why: str | None = None
    ) -> ApiKey:
        """In force on the next request, everywhere. Raises Problem (404), StoreUnavailable."""
        revoked = await self._store.revoke(key, author.name, now, owner=owner)
        if revoked is None:
            raise _no_such_key()
        await self._live.put_key(revoked.record)
        after: dict[str, object] | None = None if why is None else {"why": why}
        await self._note("api-key.revoke", revoked, author, now, before=_facts(revoked), after=after)
        return revoked

    async def revoke_all(self, owner: str, author: Author, now: float) -> int:
        """Every key of an account; how many there were. Raises StoreUnavailable."""
        revoked = await self._store.revoke_all(owner, author.name, now)
        for key in revoked:
            await self._live.put_key(key.record)
            await self._note("api-key.revoke", key, author, now, before=_facts(key))
        return len(revoked)

    async def of_user(self, user: str, now: float) -> list[ApiKey]:
        """An account's keys, newest first, without the revoked and the long expired. Raises StoreUnavailable."""
        return await self._store.of_user(user, now - EXPIRED_FOR)

    async def own(self, user: str, key: str, now: float) -> ApiKey:
        """One of them. Raises Problem (404), StoreUnavailable."""
        for mine in await self.of_user(user, now):
            if mine.id == key:
                return mine
        raise _no_such_key()

    async def _note(
        self,
        action: str,
        key: ApiKey,
        author: Author,
        now: float,
        *,
        before: dict[str, object] | None = None,
        after: dict[str, object] | None = None,
    ) -> None:
        change = Change(now, author.name, action, key.id, before, after, author.address, author.request_id, author.key)
        await self._audit.record_change(change)


def _made(user: str, wanted: Wanted, by: str, now: float) -> tuple[ApiKey, str]:
    text = new_key()
    made = ApiKey(
        id=secrets.token_hex(8),
        digest=digest_of(text) or "",
        user_id=user,
        name=wanted.name,
        start=text[:SHOWN],
        scopes=tuple(wanted.scopes),
        networks=tuple(wanted.networks),
        created_at=now,
        created_by=by,
        expires_at=wanted.expires_at,
    )
    return made, text


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "user": key.user_id,
        "name": key.name,
        "start": key.start,
        "scopes": list(key.scopes),
        "networks": [str(network) for network in key.networks],
        "expires_at": key.expires_at,
    }


def _no_such_key() -> Problem:
    return Problem(404, Reason.NOT_FOUND, "You have no such API key.")
