"""Access tokens of other issuers (``tokens.accept``): read on requests whose bearer token is not the gate's own.

Nothing in a token decides how it is checked: its ``iss`` only chooses among the issuers of the configuration, its
``kid`` only among that issuer's keys, and each key has one algorithm (RFC 8725). Signatures are remembered by token
text; times are compared on every read, and what a key verified goes when the key does. A token is one session here,
which ends with the token or by the blacklist, by issuer and ``jti`` (or the claim that the configuration names).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from typing import Any, Final, Protocol

from gatekeeper.tokens import jws
from gatekeeper.tokens.codec import CLOCK_SKEW
from gatekeeper.tokens.issuer_keys import IssuerKey, IssuerKeys
from policies.facts import fact
from policies.model import Principal, Reason

#: The blacklist's entry of a foreign token, of which there is one a session.
ENTRY: Final = "token"
_REMEMBERED: Final = 10_000
_LONGEST: Final = 255  # characters of a subject, a jti, an e-mail
_MOST_ROLES: Final = 100
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 9068 2.1, and what most issuers write
_HARMLESS: Final = frozenset({"x5t", "x5t#S256"})  # thumbprints, which choose nothing here


@fact
class ForeignClaims:
    """What another issuer's token says; times in Unix seconds. ``principal`` is whom it stands for here."""

    issuer: str
    jti: str
    issued_at: float
    not_before: float
    expires_at: float
    audiences: tuple[str, ...]
    principal: Principal

    @property
    def session(self) -> str:
        """The name of the session that this token is."""
        return self.principal.session


class ForeignRevocations(Protocol):
    """The durable blacklist. Raises StoreUnavailable."""

    async def revoked(self, claims: ForeignClaims, *, by: str, now: float) -> None:
        """Keep it until the token would have ended. Idempotent."""


class Blacklist(Protocol):
    """The live blacklist (``sessions.SessionStore``). Raises StoreUnavailable."""

    async def blacklist(self, session: str, jti: str, *, until: float, now: float) -> None: ...


class ForeignEndings:
    """Ends other issuers' tokens before their time."""

    def __init__(self, live: Blacklist, records: ForeignRevocations) -> None:
        self._live = live
        self._records = records

    async def end(self, claims: ForeignClaims, *, by: str, now: float) -> None:
        """Refuse this token from the next request on, everywhere; connections that it opened are closed.

        Durable first: a Redis that comes back empty must not revive what was answered for. Raises StoreUnavailable.
        """
        await self._records.revoked(claims, by=by, now=now)
        await self._live.blacklist(claims.session, ENTRY, until=claims.expires_at, now=now)


@dataclass(frozen=True, slots=True)
class Issuer:
    """An accepted issuer: what its tokens must say, and which claims say who somebody is."""

    name: str
    audiences: frozenset[str]
    keys: IssuerKeys
    subject_claim: str = "sub"
    id_claim: str = "jti"
    roles_claim: str | None = None
    email_claim: str | None = None


@dataclass(frozen=True, slots=True)
class _Verified:
    claims: ForeignClaims
    issuer: Issuer
    key: IssuerKey = field(repr=False)


class ForeignTokens:
    """Reads the tokens of these issuers."""

    def __init__(self, issuers: Sequence[Issuer], *, remembered: int = _REMEMBERED) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._remembered = remembered
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    @property
    def issuers(self) -> Sequence[Issuer]:
        """All of them."""
        return list(self._issuers.values())

    async def read(self, token: str, now: float) -> ForeignClaims | Reason:
        """The claims of a good token; TOKEN_INVALID, TOKEN_EXPIRED, or STORE_UNAVAILABLE where its issuer's keys have
        never been had. Waits for keys (with their source's deadline) where the token names one that is new.
        """
        known = self._verified.get(token)
        if known is not None and known.issuer.keys.holds(known.key):
            return self._timely(token, known.claims, now)
        self._verified.pop(token, None)
        found = await self._verify(token, now)
        if isinstance(found, Reason):
            return found
        self._verified[token] = found
        if len(self._verified) > self._remembered:
            self._verified.popitem(last=False)
        return self._timely(token, found.claims, now)

    def _timely(self, token: str, claims: ForeignClaims, now: float) -> ForeignClaims | Reason:
        if now >= claims.expires_at:
            self._verified.pop(token, None)
            return Reason.TOKEN_EXPIRED
        if max(claims.issued_at, claims.not_before) > now + CLOCK_SKEW:
            return Reason.TOKEN_INVALID
        return claims

    async def _verify(self, token: str, now: float) -> _Verified | Reason:
        header = jws.read_header(token, harmless=_HARMLESS)
        if header is None or header.get("typ", "").lower() not in _TYPES:
            return Reason.TOKEN_INVALID
        issuer = self._issuers.get(_issuer_of(token) or "")
        if issuer is None:
            return Reason.TOKEN_INVALID
        key = await issuer.keys.find(header.get("kid"), now)
        if key is None:
            return Reason.TOKEN_INVALID if issuer.keys.known else Reason.STORE_UNAVAILABLE
        payload = jws.verify(token, header, key.verification)
        claims = None if payload is None else _claims(payload, issuer)
        return Reason.TOKEN_INVALID if claims is None else _Verified(claims, issuer, key)


def _issuer_of(token: str) -> str | None:
    """What the token says of itself, before anything is believed; it only chooses who is to be asked."""
    payload = jws.read_payload(token)
    found = _object(payload) if payload is not None else None
    name = found.get("iss") if found is not None else None
    return name if isinstance(name, str) else None


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _claims(payload: bytes, issuer: Issuer) -> ForeignClaims | None:
    raw = _object(payload)
    if raw is None or raw.get("iss") != issuer.name:
        return None
    audiences = _texts(raw.get("aud"))
    issued, expires, not_before = _time(raw.get("iat")), _time(raw.get("exp")), _time(raw.get("nbf", raw.get("iat")))
    subject, jti = _text(_at(raw, issuer.subject_claim)), _text(_at(raw, issuer.id_claim))
    if audiences is None or issuer.audiences.isdisjoint(audiences) or _text(raw.get("sub")) is None:
        return None
    if issued is None or expires is None or not_before is None or subject is None or jti is None:
        return None
    email = None if issuer.email_claim is None else _text(_at(raw, issuer.email_claim))
    principal = Principal(
        subject=subject,
        email=email or "",
        roles=frozenset(() if issuer.roles_claim is None else _roles(_at(raw, issuer.roles_claim))),
        session=session_of(issuer.name, jti),
        jti=ENTRY,
        email_verified=email is not None and raw.get("email_verified") is True,
        amr=tuple(_texts(raw.get("amr")) or ()),
        auth_time=min(_time(raw.get("auth_time")) or 0.0, issued),
        issuer=issuer.name,
        until=expires,
    )
    return ForeignClaims(issuer.name, jti, issued, not_before, expires, tuple(audiences), principal)


def session_of(issuer: str, jti: str) -> str:
    """The name of the session that such a token is: no session of the gate's own has a dot in its name."""
    return f"f.{_digest(issuer, jti)}"


def account_of(claims: ForeignClaims) -> str:
    """What limits by user count for: no user of the gate's own, nor another issuer's, whatever the subject is."""
    return f"f.{_digest(claims.issuer, claims.principal.subject)}"


def _digest(*parts: str) -> str:
    digest = sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:18]
    return urlsafe_b64encode(digest).decode()


def _at(raw: dict[str, Any], name: str) -> Any:
    """The claim called ``name``; where there is none, what is found by its parts between dots."""
    if name in raw:
        return raw[name]
    found: Any = raw
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _text(value: object) -> str | None:
    """A text that may go into header fields and logs; else None."""
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable() else None


def _texts(value: object) -> list[str] | None:
    values: list[object] = value if isinstance(value, list) else [value]
    texts = [text for text in map(_text, values[:_MOST_ROLES]) if text is not None]
    return texts if len(texts) == len(values) else None


def _roles(value: object) -> list[str]:
    words = value.split() if isinstance(value, str) else _texts(value) if isinstance(value, list) else None
    return [word for word in (words or [])[:_MOST_ROLES] if _text(word) and "," not in word]


def _time(value: object) -> float | None:
    """A NumericDate (RFC 7519 2); a bool is an int, and not a time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if isfinite(seconds) and 0 <= seconds < 1e11 else None
