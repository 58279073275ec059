"""How API keys look in Redis. Used by ``store.live``, ``store.round_trip`` and ``store.replay``.

``gate:{k:<digest>}`` is a copy of what PostgreSQL holds of a key. It goes after ``KEY_LIFE``, and is read anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Final

from gatekeeper.store.redis import Script
from gatekeeper.tokens.api_keys import KeyRecord
from policies.rates import key_session
from policies.scopes import parse_scopes

PUT_KEY: Final = Script("put_key")
KEY_FIELDS: Final = ("version", "id", "uid", "revoked", "created", "expires", "networks", "scopes")
KEY_LIFE: Final = 86_400.0  # seconds that keys go on working without PostgreSQL


def api_key_key(digest: str) -> str:
    """The hash of one API key."""
    return f"gate:{{k:{digest}}}"


def put_key_arguments(record: KeyRecord, life: float) -> list[str | int]:
    """The arguments of ``put_key.lua``; ``life`` in seconds."""
    values = (
        record.id,
        record.user_id,
        str(int(record.revoked)),
        repr(record.created_at),
        "" if record.expires_at is None else repr(record.expires_at),
        " ".join(map(str, record.networks)),
        "\n".join(record.scopes.texts),
    )
    pairs = [part for pair in zip(KEY_FIELDS[1:], values, strict=True) for part in pair]
    return [record.version, int(life * 1000), f"gate:{{{key_session(record.id)}}}", *pairs]


def api_key_of(digest: str, fields: Sequence[bytes | None]) -> KeyRecord | None:
    """The key of these ``KEY_FIELDS``; None where it is not there or not whole."""
    found = [field.decode() for field in fields if field is not None]
    if len(found) != len(KEY_FIELDS):
        return None
    version, key, user, revoked, created, expires, networks, scopes = found
    return KeyRecord(
        digest=digest,
        id=key,
        user_id=user,
        scopes=parse_scopes(scopes.split("\n") if scopes else ()),
        networks=tuple(ip_network(network) for network in networks.split()),
        created_at=float(created),
        expires_at=float(expires) if expires else None,
        revoked=revoked != "0",
        version=int(version),
    )
