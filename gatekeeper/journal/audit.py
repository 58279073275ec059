"""Changes by people: who did what to whom, before and after. Written by the service that makes the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policies.model import Address


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the audit log; ``actor`` is a user id, or ``cli:<operating system user>``.

    ``key`` is the id of the API key by which the actor came; the entry has it in ``after``.
    """

    time: float
    actor: str
    action: str
    subject: str
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    address: Address | None = None
    request_id: str | None = None
    key: str | None = None

    @property
    def said_after(self) -> dict[str, object] | None:
        """``after`` as it is written down."""
        return self.after if self.key is None else {**(self.after or {}), "api_key": self.key}


class AuditLog(Protocol):
    """The audit log. Raises StoreUnavailable."""

    async def record_change(self, change: Change) -> None: ...
