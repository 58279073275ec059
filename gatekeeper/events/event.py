"""Events: what happened at the gate, in one form for every receiver. Made from login attempts and changes.

The form is documented in ``docs/events.md`` and has a version, ``SCHEMA``: new types and new members of ``data`` may
come, none that exists goes or changes its meaning without another version.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gatekeeper.journal.attempts import Attempt
from gatekeeper.journal.audit import Change
from gatekeeper.journal.rows import as_row, clean
from gatekeeper.notify.envelope import envelope

SCHEMA: Final = 1
_SPACE: Final = uuid.UUID("6f6b8f5b-9f0e-5a55-8b5e-2c6ef3b9d1a4")  # of the ids that are made from an attempt's


@dataclass(frozen=True, slots=True)
class Event:
    """``type`` such as login.failure, ``id`` the same for every receiver, ``time`` in Unix seconds."""

    type: str
    id: str
    time: float
    data: Mapping[str, Any] = field(repr=False)

    def dump(self) -> bytes:
        """As JSON, ``{"type", "id", "time", "data"}``; the time as RFC 3339 in UTC."""
        return envelope(self.type, self.id, self.time, self.data)


def of_attempt(attempt: Attempt) -> list[Event]:
    """``login.success``, ``login.failure`` or ``login.blocked``, and ``signal.NAME`` for all that was odd about it."""
    row = as_row(attempt)
    first = Event(f"login.{attempt.result}", str(attempt.id), attempt.time, row)
    evidence = row["evidence"] or {}
    return [first, *(_of_signal(attempt, row, name, evidence.get(name)) for name in row["signals"])]


def _of_signal(attempt: Attempt, row: Mapping[str, Any], name: str, evidence: object) -> Event:
    data = {
        "signal": name,
        "evidence": evidence,
        "action": row["action"],
        "risk": row["risk"],
        "attempt": row["id"],
        "user_id": row["user_id"],
        "email": row["email"],
        "session": row["session"],
        "address": row["address"],
        "country": row["country"],
        "request_id": row["request_id"],
    }
    return Event(f"signal.{name}", str(uuid.uuid5(_SPACE, f"{attempt.id} {name}")), attempt.time, data)


def of_change(change: Change) -> Event:
    """A change, under the name that the audit log has for it, such as ``user.lock``."""
    data = {
        "actor": change.actor,
        "subject": clean(change.subject),
        "before": clean(change.before),
        "after": clean(change.after),
        "address": str(change.address) if change.address else None,
        "request_id": change.request_id,
    }
    return Event(change.action, str(uuid.uuid4()), change.time, data)
