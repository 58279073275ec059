"""X-Gate-Assertion: a short signed statement to one upstream about who asks (RFC 7519, own asymmetric key).

Cached by session, audience, roles and e-mail until a tenth of its life is left, so that signing is off the
request path.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

from gatekeeper.tokens.codec import sign
from gatekeeper.tokens.keyring import KeyRing
from policies.model import Principal

LIFE = 300  # seconds
_MOST = 10_000

_Key = tuple[str, str, frozenset[str], str, float]


class Assertions:
    """Makes assertions of one issuer."""

    def __init__(self, keys: KeyRing, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._made: OrderedDict[_Key, tuple[str, float]] = OrderedDict()

    def for_upstream(self, principal: Principal, audience: str, now: float) -> str:
        """The assertion about ``principal`` for ``audience`` (an upstream's name, or the asked host)."""
        key = (principal.session, audience, principal.told_roles, principal.email, principal.auth_time)
        entry = self._made.get(key)
        if entry is not None and now < entry[1]:
            return entry[0]
        token = self._sign(principal, audience, now)
        self._made[key] = (token, now + LIFE * 0.9)
        self._made.move_to_end(key)
        if len(self._made) > _MOST:
            self._made.popitem(last=False)
        return token

    def _sign(self, principal: Principal, audience: str, now: float) -> str:
        issued = int(now)
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": audience,
            "sub": principal.subject,
            "sid": principal.session,
            "jti": secrets.token_urlsafe(12),
            "iat": issued,
            "nbf": issued,
            "exp": issued + LIFE,
            "email": principal.email,
            "email_verified": principal.email_verified,
            "roles": sorted(principal.told_roles),
            "acr": principal.acr,
            "amr": list(principal.amr),
        }
        if principal.key is None:
            claims["auth_time"] = int(principal.auth_time)
        else:
            claims["scope"] = " ".join(sorted(principal.key.scopes))  # RFC 8693 4.2
        return sign(self._keys.signer("assertion", now), "gate-assertion+jwt", claims)
