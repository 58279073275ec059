"""What a token is worth right now, and its end before its time. Called by ``token_endpoints``.

All kinds that the gate takes are known here: its own access and refresh tokens, and other issuers' access tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gatekeeper.authenticator import Authenticated, Authenticator
from gatekeeper.errors import StoreUnavailable
from gatekeeper.tokens.codec import AccessClaims, AccessTokens
from gatekeeper.tokens.foreign import ENTRY, ForeignClaims, ForeignEndings, ForeignTokens
from gatekeeper.tokens.refresh import RefreshClaim, RefreshTokens
from gatekeeper.tokens.sessions import Sessions, SessionStore
from policies.ban_list import BanList
from policies.model import Principal, Reason

Known = AccessClaims | RefreshClaim | ForeignClaims


@dataclass(frozen=True, slots=True)
class Ended:
    """What was revoked, for the audit log: a ``token`` or a whole ``session``, and whose."""

    kind: str
    subject: str
    facts: dict[str, object]


class TokenDesk:
    """Reads, describes and ends tokens; ``issuer`` and ``audience`` are those of the gate's own."""

    def __init__(
        self,
        access: AccessTokens,
        refresh: RefreshTokens,
        foreign: ForeignTokens | None,
        store: SessionStore,
        sessions: Sessions,
        authenticator: Authenticator,
        endings: ForeignEndings,
        bans: BanList,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        self._access = access
        self._refresh = refresh
        self._foreign = foreign
        self._store = store
        self._sessions = sessions
        self._authenticator = authenticator
        self._endings = endings
        self._bans = bans
        self._issuer = issuer
        self._audience = audience

    async def describe(self, token: str, now: float) -> dict[str, Any] | None:
        """The members of RFC 7662 2.2 for a token that is good now; None for every other. Raises StoreUnavailable."""
        known = await self._read(token, now)
        if isinstance(known, AccessClaims):
            return await self._own(known, now)
        if isinstance(known, ForeignClaims):
            return await self._foreign_one(known)
        return None if known is None else await self._refreshing(known, now)

    async def end(self, token: str, *, by: str, now: float) -> Ended | None:
        """Revoke it (RFC 7009 2.1): an access token alone, with a refresh token its whole session.

        None where there is nothing to end. Raises StoreUnavailable.
        """
        known = await self._read(token, now)
        if isinstance(known, AccessClaims):
            await self._sessions.end_token(known.session, known.jti, until=known.expires_at, now=now)
            return Ended("token", known.subject, {"session": known.session, "jti": known.jti})
        if isinstance(known, ForeignClaims):
            await self._endings.end(known, by=by, now=now)
            facts: dict[str, object] = {"issuer": known.issuer, "jti": known.jti}
            return Ended("token", known.principal.subject, facts)
        session = None if known is None else await self._store.find(known.session)
        if session is None:
            return None
        await self._sessions.end([session.id], "revoked", now)
        return Ended("session", session.user_id, {"session": session.id})

    async def _read(self, token: str, now: float) -> Known | None:
        own = self._access.read(token, now)
        if isinstance(own, AccessClaims):
            return own
        refresh = self._refresh.read(token)
        if refresh is not None or own is not Reason.TOKEN_INVALID or self._foreign is None:
            return refresh
        found = await self._foreign.read(token, now)
        if found is Reason.STORE_UNAVAILABLE:
            raise StoreUnavailable("issuer", "its keys have never been had")
        return found if isinstance(found, ForeignClaims) else None

    async def _own(self, claims: AccessClaims, now: float) -> dict[str, Any] | None:
        live = await self._store.read(claims.session, claims.jti, claims.subject)
        found = self._authenticator.admit(claims, live, now, by_cookie=False)
        if not isinstance(found, Authenticated) or self._bans.of_user(claims.subject, now) is not None:
            return None
        return {
            "token_type": "Bearer",
            "iss": self._issuer,
            "aud": self._audience,
            "iat": claims.issued_at,
            "nbf": claims.not_before,
            "exp": claims.expires_at,
            "jti": claims.jti,
            **_person(found.principal),
        }

    async def _foreign_one(self, claims: ForeignClaims) -> dict[str, Any] | None:
        live = await self._store.read(claims.session, ENTRY, "")
        if live.blacklisted:
            return None
        return {
            "token_type": "Bearer",
            "iss": claims.issuer,
            "aud": list(claims.audiences),
            "iat": int(claims.issued_at),
            "nbf": int(claims.not_before),
            "exp": int(claims.expires_at),
            "jti": claims.jti,
            **_person(claims.principal),
        }

    async def _refreshing(self, claim: RefreshClaim, now: float) -> dict[str, Any] | None:
        found = await self._sessions.living(claim.session, now)
        if isinstance(found, Reason):
            return None
        session, user = found
        if claim.generation != session.generation or self._bans.of_user(user.id, now) is not None:
            return None
        ends = min(session.expires_at, session.seen_at + self._sessions.idle_ttl)
        facts = {"iss": self._issuer, "sub": user.id, "username": user.email, "sid": session.id, "exp": int(ends)}
        return {"token_type": "refresh_token", **facts}


def _person(who: Principal) -> dict[str, Any]:
    mail = {"username": who.email, "email": who.email, "email_verified": who.email_verified}
    return {
        "sub": who.subject,
        **(mail if who.email else {}),
        "sid": who.session,
        "roles": sorted(who.roles),
        "acr": who.acr,
        "amr": list(who.amr),
        "auth_time": int(who.auth_time),
    }
