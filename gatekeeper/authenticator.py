"""Who asks? Credentials read off a request, and believed or not. Shared by ``gatekeeper.gate`` and the gate's own
endpoints, pages and panel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from math import inf

from multidict import CIMultiDictProxy

from gatekeeper.inbound import Head, InboundRequest
from gatekeeper.inbound.head import MOST_REMEMBERED
from gatekeeper.tokens.api_keys import PREFIX, KeyClaim, KeyFacts, KeyReader
from gatekeeper.tokens.codec import AccessClaims, AccessTokens
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.principal import principal_of
from gatekeeper.tokens.refresh import RefreshClaim, RefreshTokens
from gatekeeper.tokens.sessions import LiveRecord, Session, Sessions, SessionStore, TokenPair, UserState
from policies.ban_list import BanList
from policies.facts import fact
from policies.model import Principal, Reason

_MOST_PRINCIPALS = 10_000
RenewalNews = Callable[[RefreshClaim, TokenPair | Reason, InboundRequest], None]


def _nobody_hears(claim: RefreshClaim, outcome: TokenPair | Reason, request: InboundRequest) -> None:
    """Until somebody is there to be told of renewals in passing."""


@fact
class Presented:
    """The credentials of a request, read but not yet believed."""

    bearer: str | None = field(default=None, repr=False)
    access_cookie: str | None = field(default=None, repr=False)
    refresh_cookie: str | None = field(default=None, repr=False)
    bad: bool = False
    api_key: str | None = field(default=None, repr=False)

    @property
    def by_cookie(self) -> bool:
        """Whether a browser sent them by itself (so CSRF matters)."""
        return self.bearer is None and self.api_key is None and not self.bad

    @property
    def none(self) -> bool:
        """Whether there are none."""
        return self.by_cookie and self.access_cookie is None and self.refresh_cookie is None


@fact
class Authenticated:
    """A believed principal; ``renewed`` where it was renewed in passing, ``bound`` as in ``Session``.

    ``counts_as`` is the user that a rule's limit still has to count, where it could not be in the one round trip.
    """

    principal: Principal
    expires_at: float
    by_cookie: bool
    renewed: TokenPair | None = None
    counts_as: str | None = None
    bound: str = ""


class Authenticator:
    """Who asks? Shared by the gate and by the gate's own endpoints."""

    def __init__(
        self,
        access: AccessTokens,
        refresh: RefreshTokens,
        store: SessionStore,
        sessions: Sessions,
        cookies: Cookies,
        bans: BanList,
        keys: KeyReader,
    ) -> None:
        self._keys = keys
        self._access = access
        self._refresh = refresh
        self._store = store
        self._sessions = sessions
        self._cookies = cookies
        self._presented: dict[Head, Presented] = {}
        self._principals: dict[str, tuple[AccessClaims, LiveRecord, Principal]] = {}
        self._bans = bans
        self.on_renewal: RenewalNews = _nobody_hears

    def present(self, request: InboundRequest) -> Presented:
        """Read the credentials: a bearer token or API key beats cookies, and a bad one never falls back to them."""
        head = request.head
        if head is None:
            return self._present(request.headers)
        known = self._presented.get(head)
        if known is None:
            if len(self._presented) >= MOST_REMEMBERED:
                self._presented.clear()
            known = self._presented[head] = self._present(request.headers)
        return known

    def _present(self, headers: CIMultiDictProxy[str]) -> Presented:
        if "X-Api-Key" in headers:
            return Presented(api_key=headers["X-Api-Key"].strip())
        authorization = headers.get("Authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "bearer":
                token = token.strip()
                if token.startswith(PREFIX):
                    return Presented(api_key=token)
                return Presented(bearer=token) if token else Presented(bad=True)
        if "Cookie" not in headers:
            return Presented()
        cookies = self._cookies.read(headers.getall("Cookie"))
        if cookies.doubled:
            return Presented(bad=True)
        return Presented(access_cookie=cookies.access, refresh_cookie=cookies.refresh)

    def claim(self, presented: Presented, now: float) -> AccessClaims | RefreshClaim | KeyClaim | Reason | None:
        """What the credentials say by their own signature; None where there are none. Asks no store."""
        if presented.bad:
            return Reason.TOKEN_INVALID
        if presented.api_key is not None:
            return self._keys.claim(presented.api_key) or Reason.TOKEN_INVALID
        if presented.bearer is not None:
            return self._access.read(presented.bearer, now)
        if presented.access_cookie is not None:
            found = self._access.read(presented.access_cookie, now)
            if found is not Reason.TOKEN_EXPIRED or presented.refresh_cookie is None:
                return found
        if presented.refresh_cookie is not None:
            return self._refresh.read(presented.refresh_cookie) or Reason.TOKEN_INVALID
        return None

    def admit(self, claims: AccessClaims, live: LiveRecord, now: float, *, by_cookie: bool) -> Authenticated | Reason:
        """The principal of a token whose session lives, or why there is none."""
        reason = self._sessions.admits(live, claims.subject, now)
        if reason is not None or live.user is None or live.session is None:
            return reason or Reason.SESSION_ENDED
        principal = self._principal(claims, live, live.session, live.user)
        return Authenticated(principal, claims.expires_at, by_cookie, bound=live.session.bound)

    def _principal(self, claims: AccessClaims, live: LiveRecord, session: Session, user: UserState) -> Principal:
        """The very object of the last time while token and live record are those of the last time."""
        known = self._principals.get(claims.jti)
        if known is not None and known[0] is claims and known[1] is live:
            return known[2]
        if len(self._principals) >= _MOST_PRINCIPALS:
            self._principals.clear()
        principal = principal_of(claims, session, user)
        self._principals[claims.jti] = (claims, live, principal)
        return principal

    async def renew(self, claim: RefreshClaim, request: InboundRequest) -> Authenticated | Reason:
        """A principal by renewal in passing. Raises StoreUnavailable."""
        now = request.received
        pair = await self._sessions.renew(claim, now)
        self.on_renewal(claim, pair, request)
        if isinstance(pair, Reason):
            return pair
        claims = self._access.read(pair.access, now)
        if isinstance(claims, Reason):
            return claims
        principal = principal_of(claims, pair.session, pair.user)
        return Authenticated(
            principal,
            claims.expires_at,
            by_cookie=True,
            renewed=pair,
            counts_as=principal.subject,
            bound=pair.session.bound,
        )

    @property
    def confirms(self) -> bool:
        """Whether a session that is used from elsewhere is confirmed by a step-up (else it has ended)."""
        return self._sessions.bindings.on_mismatch == "step-up"

    def mismatch(self, who: Authenticated, request: InboundRequest) -> tuple[str, ...]:
        """In what a cookie came from elsewhere than its session is bound to; empty where in nothing."""
        agent = request.headers.get("User-Agent", "")
        return self._sessions.bindings.mismatch(who.bound, agent, request.client)

    async def moved(self, who: Authenticated, mismatch: tuple[str, ...], request: InboundRequest) -> Reason | None:
        """Why such a cookie is refused; None where it is not. Raises StoreUnavailable."""
        return await self._sessions.moved(who.principal.session, mismatch, request.client, request.received)

    async def by_key(
        self, presented: Presented, claim: KeyClaim, read: KeyFacts | None, request: InboundRequest
    ) -> Authenticated | Reason:
        """Whom an API key stands for; ``read`` is what the round trip has read of it. Raises StoreUnavailable."""
        found = read
        if found is None or not found.whole:
            found = await self._keys.find(presented.api_key or "", claim)
        principal = self._keys.admit(found, request)
        if isinstance(principal, Reason):
            return principal
        counts_as = principal.subject if found is not read else None
        return Authenticated(principal, inf, by_cookie=False, counts_as=counts_as)

    async def authenticate_key(self, request: InboundRequest) -> Authenticated | Reason:
        """Whoever calls by an API key, or why nobody does: for the gate's own endpoints that take keys.

        Raises StoreUnavailable.
        """
        presented = self.present(request)
        claim = self.claim(presented, request.received)
        if not isinstance(claim, KeyClaim):
            return Reason.CREDENTIALS_MISSING if claim is None else Reason.TOKEN_INVALID
        found = await self.by_key(presented, claim, None, request)
        if isinstance(found, Authenticated) and self._bans.of_user(found.principal.subject, request.received):
            return Reason.BANNED
        return found

    async def authenticate(self, request: InboundRequest, *, from_anywhere: bool = False) -> Authenticated | Reason:
        """A principal with a session, or why there is none: for the gate's own endpoints. Raises StoreUnavailable.

        An API key has no session, and is refused whether it is good or not. ``from_anywhere``: also where the session
        is not bound to, for what binds it anew or ends it.
        """
        presented, now = self.present(request), request.received
        claim = self.claim(presented, now)
        if claim is None:
            return Reason.CREDENTIALS_MISSING
        if isinstance(claim, KeyClaim):
            return Reason.RULE_DENIED
        if isinstance(claim, Reason):
            return claim
        if isinstance(claim, RefreshClaim):
            found = await self.renew(claim, request)
        else:
            live = await self._store.read(claim.session, claim.jti, claim.subject)
            found = self.admit(claim, live, now, by_cookie=presented.by_cookie)
        if isinstance(found, Reason):
            return found
        if self._bans.of_user(found.principal.subject, now) is not None:
            return Reason.BANNED
        if found.by_cookie and not from_anywhere and (mismatch := self.mismatch(found, request)):
            return await self.moved(found, mismatch, request) or found
        return found
