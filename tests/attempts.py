"""Login attempts as tests want them."""

from __future__ import annotations

import uuid
from ipaddress import ip_address
from typing import Any

from factories import NOW

from gatekeeper.journal.attempts import Attempt, Result
from policies.model import Reason


def attempt(**changes: Any) -> Attempt:
    """A failed login of which little is known."""
    fields: dict[str, Any] = {
        "time": NOW,
        "email": "ada@example.com",
        "user_id": None,
        "result": Result.FAILURE,
        "reason": Reason.INVALID_CREDENTIALS,
        "method": "password",
        "address": ip_address("192.0.2.1"),
        "country": None,
        "user_agent": "curl/8",
        "session": None,
        "request_id": "r1",
    }
    return Attempt(**{**fields, **changes})


def full_attempt(**changes: Any) -> Attempt:
    """One of which everything is known."""
    fields: dict[str, Any] = {
        "user_id": str(uuid.UUID(int=7)),
        "address": ip_address("2001:db8::7"),
        "country": "DE",
        "session": "sid",
        "factor": "totp",
        "region": "Hamburg",
        "city": "Hamburg",
        "latitude": 53.55,
        "longitude": 9.99,
        "accuracy_km": 20.0,
        "asn": 4_200_000_000,
        "as_org": "Example Net",
        "browser": "Chrome",
        "browser_version": "131.0",
        "os": "Windows",
        "os_version": "11",
        "device_kind": "desktop",
        "device_id": "d1",
        "fingerprint": "f" * 64,
        "signals": ("new_device", "new_country"),
        "evidence": {"new_country": {"from": "FR", "to": "DE"}},
        "risk": 55,
        "action": "step-up",
        "latency_ms": 31.5,
        "id": uuid.UUID(int=8),
    }
    return attempt(**{**fields, **changes})
