"""What owners may change of their account besides its secrets. Called by the account page."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from gatekeeper.identity.accounts import Accounts
from gatekeeper.identity.bodies import Name
from gatekeeper.inbound import InboundRequest
from gatekeeper.journal.audit import AuditLog, Change

_NAME: TypeAdapter[str] = TypeAdapter(Name)


class Profile:
    """The service; every change is in the audit log."""

    def __init__(self, accounts: Accounts, audit: AuditLog) -> None:
        self._accounts = accounts
        self._audit = audit

    async def rename(self, user: str, name: str | None, inbound: InboundRequest) -> str | None:
        """A new name, or none. Returns what is wrong with it, as half a sentence, or None. Raises StoreUnavailable."""
        if name is not None:
            try:
                name = _NAME.validate_python(name)
            except ValidationError as fault:
                error = fault.errors(include_url=False, include_input=False)[0]
                return "is too long" if error["type"] == "string_too_long" else error["msg"]
        before = await self._accounts.find(user)
        if before is None or before.state.name == name:
            return None
        await self._accounts.set_name(user, name, inbound.received)
        change = Change(
            time=inbound.received,
            actor=user,
            action="user.name",
            subject=user,
            before={"name": before.state.name},
            after={"name": name},
            address=inbound.client,
            request_id=inbound.request_id,
        )
        await self._audit.record_change(change)
        return None
