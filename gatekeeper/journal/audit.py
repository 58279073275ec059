"""Changes by people: who did what to whom, before and after. Written by the service that makes the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policies.model import Address


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the audit log; ``actor`` is a user id, or ``cli:<operating system user>``."""

    time: float
    actor: str
    action: str
    subject: str
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    address: Address | None = None
    request_id: str | None = None


class AuditLog(Protocol):
    """The audit log. Raises StoreUnavailable."""

    async def record_change(self, change: Change) -> None: ...
