"""Accounts as the panel's JSON has them, and what calls and forms say of them. Used by ``admin.views``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from admin.user_lists import UserRow
from admin.wording import rfc3339
from gatekeeper.identity.accounts import Account
from gatekeeper.identity.api_keys import ApiKey
from gatekeeper.identity.device_desk import Device
from gatekeeper.identity.factors.records import Factors
from gatekeeper.tokens.durable import SessionRecord


def roles_of(fields: Mapping[str, str]) -> list[str]:
    """The roles of a form or call: with blanks or commas between."""
    return fields.get("roles", "").replace(",", " ").split()


def user_json(row: UserRow) -> dict[str, object]:
    """A user of a list."""
    return {
        "id": row.id,
        "email": row.email,
        "email_verified": row.email_verified,
        "name": row.name,
        "roles": list(row.roles),
        "locked": row.locked,
        "created_at": rfc3339(row.created_at),
        "last_login": _time(row.last_login),
        "open_sessions": row.open_sessions,
        "second_factors": row.second_factors,
        "app": row.app,
        "passkeys": row.passkeys,
    }


def account_json(
    account: Account,
    sessions: Sequence[tuple[SessionRecord, float]],
    factors: Factors,
    keys: Sequence[ApiKey],
    devices: Sequence[Device],
) -> dict[str, object]:
    """One user with what they have; no secret is among it."""
    user = account.state
    return {
        "id": user.id,
        "email": user.email,
        "email_verified": user.email_verified,
        "name": user.name,
        "roles": list(user.roles),
        "locked": user.locked,
        "created_at": rfc3339(account.created_at),
        "password": {"set": account.password_hash is not None, "must_change": account.must_change},
        "factors": {
            "totp": _time(factors.totp_since),
            "passkeys": [
                {"id": one.id, "name": one.name, "used_at": _time(one.last_used_at)} for one in factors.passkeys
            ],
            "recovery_codes": factors.recovery_codes_left,
            "remembered_devices": factors.remembered_devices,
        },
        "devices": [_device(device) for device in devices],
        "sessions": [_session(record, seen_at) for record, seen_at in sessions],
        "api_keys": [_key(key) for key in keys],
    }


def _device(device: Device) -> dict[str, object]:
    last = device.last
    return {
        "id": last.fingerprint,
        "standing": str(device.standing),
        "user_agent": last.user_agent,
        "address": str(last.address),
        "country": last.country,
        "seen_at": rfc3339(last.seen_at),
        "logins": last.logins,
    }


def _session(record: SessionRecord, seen_at: float) -> dict[str, object]:
    return {
        "id": record.id,
        "started_at": rfc3339(record.started_at),
        "seen_at": rfc3339(seen_at),
        "address": str(record.origin.address),
        "country": record.origin.country,
        "user_agent": record.origin.user_agent,
    }


def _key(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "start": key.start,
        "scopes": list(key.scopes),
        "networks": [str(network) for network in key.networks],
        "created_at": rfc3339(key.created_at),
        "created_by": key.created_by,
        "expires_at": _time(key.expires_at),
        "used_at": _time(key.last_used_at),
        "used_from": None if key.last_used_from is None else str(key.last_used_from),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
