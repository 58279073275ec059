"""Who a verified token and its live session stand for. Called by ``gatekeeper.gate``."""

from __future__ import annotations

from gatekeeper.tokens.codec import AccessClaims
from gatekeeper.tokens.sessions import Session, UserState
from policies.model import Principal


def principal_of(claims: AccessClaims, session: Session, user: UserState) -> Principal:
    """The token's facts with the live user's roles and e-mail.

    Of token and live session the weaker authentication counts: a token from before a step-up is not worth more
    because of it (it may be a stolen one; the owner has a new token, RFC 9470 4), and a session that was set back is
    not worth what its tokens say.
    """
    return Principal(
        subject=claims.subject,
        email=user.email,
        roles=frozenset(user.roles),
        session=claims.session,
        jti=claims.jti,
        email_verified=user.email_verified,
        name=user.name,
        acr=claims.acr if claims.acr == session.acr else "1fa",
        amr=claims.amr,
        auth_time=min(claims.auth_time, session.auth_time),
        mfa_time=min(claims.auth_time, session.mfa_time),
        must_enrol=session.must_enrol,
    )
