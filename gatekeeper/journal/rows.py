"""Login attempts as flat rows that JSON can hold, one key a column. For the store, the spool and the archive."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

from gatekeeper.clock import as_datetime
from gatekeeper.journal.attempts import Attempt, Result
from policies.model import Reason

COLUMNS: Final = tuple(field.name for field in dataclasses.fields(Attempt))
_GROUPS: Final = {
    "place": {name: name for name in ("region", "city", "latitude", "longitude", "accuracy_km")},
    "device": {
        "kind": "device_kind",
        **{name: name for name in ("browser", "browser_version", "os", "os_version")},
        "id": "device_id",
        "user_agent": "user_agent",
    },
}
_SHOWN: Final = (
    *("id", "time", "email", "user_id", "result", "reason", "method", "factor", "address", "country", "place"),
    *("asn", "as_org", "device", "fingerprint", "session", "signals", "evidence", "risk", "action"),
    *("request_id", "latency_ms"),
)
_LONGEST: Final = {"email": 254, "user_agent": 512}  # characters
_LONGEST_OTHER: Final = 200


def as_row(attempt: Attempt) -> dict[str, Any]:
    """All columns; ``time`` as RFC 3339 in UTC with microseconds, text as PostgreSQL takes it, and bounded."""
    row: dict[str, Any] = {name: getattr(attempt, name) for name in COLUMNS}
    for name, value in row.items():
        if isinstance(value, str):
            row[name] = _text(value, _LONGEST.get(name, _LONGEST_OTHER))
    row["id"] = str(attempt.id)
    row["time"] = as_datetime(attempt.time).isoformat(timespec="microseconds")
    row["address"] = str(attempt.address)
    row["signals"] = [_text(signal, _LONGEST_OTHER) for signal in attempt.signals]
    row["evidence"] = clean(attempt.evidence) if attempt.evidence is not None else None
    return row


def from_row(row: Mapping[str, Any]) -> Attempt:
    """An attempt out of a row of ``as_row``, or out of one as the database gives it (time and id as objects)."""
    found = {name: row[name] for name in COLUMNS}
    moment = row["time"] if isinstance(row["time"], datetime) else datetime.fromisoformat(row["time"])
    return Attempt(
        **{
            **found,
            "id": uuid.UUID(str(row["id"])),
            "time": moment.timestamp(),
            "user_id": str(row["user_id"]) if row["user_id"] else None,
            "result": Result(row["result"]),
            "reason": Reason(row["reason"]) if row["reason"] else None,
            "address": ip_address(row["address"]),
            "signals": tuple(row["signals"]),
        }
    )


def public(attempt: Attempt) -> dict[str, Any]:
    """An attempt as programs get it: exports, archives, the API (docs/login-log.md)."""
    row = as_row(attempt)
    shown: dict[str, Any] = {}
    for name in _SHOWN:
        group = _GROUPS.get(name)
        shown[name] = {key: row[column] for key, column in group.items()} if group else row[name]
    return {**shown, "time": row["time"].replace("+00:00", "Z")}


def flat(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The row, as ``as_row`` makes it, of one that ``public`` made. Raises KeyError, TypeError."""
    row = {name: shown[name] for name in _SHOWN if name not in _GROUPS}
    for name, group in _GROUPS.items():
        row |= {column: shown[name][key] for key, column in group.items()}
    return row


def _text(value: str, longest: int) -> str:
    """No NUL, no lone surrogates, bounded."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:longest]


def clean(value: Any) -> Any:
    """Evidence, or the parts of a change, with its texts made fit for PostgreSQL and JSON."""
    match value:
        case str():
            return _text(value, _LONGEST_OTHER)
        case Mapping():
            return {_text(str(key), _LONGEST_OTHER): clean(one) for key, one in value.items()}
        case list() | tuple():
            return [clean(one) for one in value]
        case _:
            return value
