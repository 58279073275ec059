"""How sessions, users and counts look in Redis: key names, field names, and how they are read. Used by ``store.live``,
``store.round_trip`` and ``store.replay``.

Keys: ``gate:{sid}`` the session, ``gate:{sid}:x:<jti>`` a blacklisted access token, ``gate:{u:uid}`` the user.
Keys of one session share a hash tag (Redis Cluster).
"""

from __future__ import annotations

from collections.abc import Sequence

from gatekeeper.tokens.sessions import Session, UserState
from policies.rates import Counted

SESSION_FIELDS = ("uid", "epoch", "gen", "rotated", "seen", "expires", "auth", "acr", "amr", "mfa", "bound")
USER_FIELDS = ("version", "epoch", "locked", "roles", "email", "verified", "name")
ENROL = b"enrol"


def session_key(session: str) -> str:
    """The hash of one session."""
    return f"gate:{{{session}}}"


def blacklist_key(session: str, jti: str) -> str:
    """The entry of one blacklisted access token."""
    return f"gate:{{{session}}}:x:{jti}"


def limit_key(use: Counted) -> str:
    """The windows of one limit for one address, user, session, ..."""
    return f"gate:l:{use.limit.name}:{{{use.who}}}"


def user_key(user: str) -> str:
    """The hash of one user."""
    return f"gate:{{u:{user}}}"


def session_of(session: str, fields: Sequence[bytes | None]) -> Session | None:
    """The session of these ``SESSION_FIELDS``; None where it is not there or not whole."""
    if len(fields) != len(SESSION_FIELDS):
        return None
    uid, epoch, generation, rotated, seen, expires, auth, acr, amr, mfa, bound = fields
    if uid is None or epoch is None or generation is None or rotated is None or seen is None:
        return None
    if expires is None or auth is None or acr is None or amr is None:
        return None
    return Session(
        id=session,
        user_id=uid.decode(),
        epoch=int(epoch),
        generation=int(generation),
        rotated_at=float(rotated),
        seen_at=float(seen),
        expires_at=float(expires),
        auth_time=float(auth),
        acr=acr.decode(),
        amr=tuple(amr.decode().split()),
        mfa_time=mfa_time_of(mfa),
        must_enrol=mfa == ENROL,
        bound=bound.decode() if bound else "",
    )


def mfa_time_of(value: bytes | None) -> float:
    """When a second factor was used last, in Unix seconds; 0.0 for never."""
    return 0.0 if value is None or value == ENROL else float(value)


def user_of(user: str, fields: Sequence[bytes | None]) -> UserState | None:
    """The user of these ``USER_FIELDS``; None where it is not there or not whole."""
    if len(fields) != len(USER_FIELDS):
        return None
    version, epoch, locked, roles, email, verified, name = fields
    if version is None or epoch is None or locked is None or roles is None or email is None:
        return None
    return UserState(
        id=user,
        email=email.decode(),
        email_verified=verified == b"1",
        name=name.decode() if name else None,
        roles=tuple(roles.decode().split()),
        locked=locked != b"0",
        epoch=int(epoch),
        version=int(version),
    )


def fields_of(text: bytes, count: int) -> list[bytes | None]:
    """The ``count`` fields of a record as ``read_many.lua`` writes it; the last may hold anything."""
    return [None if one == b"\1" else one for one in text.split(b"\0", count - 1)]
