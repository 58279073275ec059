"""The mail queue as admins deal with it: looked at, tried again, discarded, each change with its audit entry.

Called by the panel. What a message says is never shown: codes and links are in it. It is kept, sealed, for another try
as long as it would be of use.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import Refused
from gatekeeper.journal.audit import AuditLog, Change

ALL: Final = "all"  # the subject of an act on more than one message


class QueueState(StrEnum):
    """Where a message stands; what is being sent counts as waiting."""

    WAITING = "waiting"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message without what it says; times in Unix seconds.

    ``recipient`` is never a whole address, ``host`` is that of a webhook or empty. ``claimed``: it is being sent right
    now. ``kept``: there is still something to send. After ``until`` it would be of no use.
    """

    id: uuid.UUID
    channel: str
    kind: str
    recipient: str
    host: str
    created_at: float
    due_at: float
    until: float
    tries: int
    fault: str | None
    given_up_at: float | None
    claimed: bool
    kept: bool

    @property
    def retriable(self) -> bool:
        """Whether it can be tried again."""
        return self.kept and not self.claimed


class MailQueue(Protocol):
    """The queue at rest; decoys are no messages. Everything raises StoreUnavailable; times in Unix seconds."""

    async def listed(
        self, state: QueueState, now: float, *, kind: str | None, count: int, after: tuple[float, uuid.UUID] | None
    ) -> Sequence[QueuedMessage]:
        """The newest first; ``after`` is when the last one of the page before was made, and its id."""

    async def counts(self) -> Mapping[QueueState, int]:
        """How many there are of each."""

    async def find(self, message: uuid.UUID, now: float) -> QueuedMessage | None: ...

    async def retry(self, which: uuid.UUID | QueueState, now: float) -> Sequence[QueuedMessage]:
        """Make one, or all of a state, due now with as many tries as a new one: those that are of use still and that
        nobody is sending. Answers which.
        """

    async def discard(self, which: uuid.UUID | QueueState, now: float) -> Sequence[QueuedMessage]:
        """Forget one, or all of a state, but what somebody is sending. Answers which."""


class MailDesk:
    """The service; ``wake`` has this node look at once. Acts raise Refused, nothing changed, and StoreUnavailable."""

    def __init__(self, queue: MailQueue, audit: AuditLog, *, wake: Callable[[], None]) -> None:
        self.queue = queue
        self._audit = audit
        self._wake = wake

    async def retry(self, which: uuid.UUID | QueueState, by: Actor, now: float, *, why: str) -> int:
        """Have one, or all of a state, sent within seconds; how many there were."""
        found = await self.queue.retry(which, now)
        if not found and isinstance(which, uuid.UUID):
            message = await self._known(which, now)
            raise Refused(
                "somebody is sending this message right now"
                if message.claimed
                else "this message is of no use any more, so what it said is not kept"
            )
        await self._note("mail.retry", which, found, by, now, why)
        self._wake()
        return len(found)

    async def discard(self, which: uuid.UUID | QueueState, by: Actor, now: float, *, why: str) -> int:
        """Never send one, or all of a state; how many there were."""
        found = await self.queue.discard(which, now)
        if not found and isinstance(which, uuid.UUID):
            await self._known(which, now)
            raise Refused("somebody is sending this message right now")
        await self._note("mail.discard", which, found, by, now, why)
        return len(found)

    async def _known(self, which: uuid.UUID, now: float) -> QueuedMessage:
        message = await self.queue.find(which, now)
        if message is None:
            raise Refused("there is no such message any more; it may have been sent")
        return message

    async def _note(
        self,
        action: str,
        which: uuid.UUID | QueueState,
        found: Sequence[QueuedMessage],
        by: Actor,
        now: float,
        why: str,
    ) -> None:
        if not found:
            return
        if isinstance(which, uuid.UUID):
            subject, before = str(which), _facts(found[0])
        else:
            subject, before = ALL, {"state": str(which), "messages": len(found)}
        change = Change(now, by.name, action, subject, before, {"why": why}, by.address, by.request_id, by.key)
        await self._audit.record_change(change)


def _facts(message: QueuedMessage) -> dict[str, object]:
    return {"kind": message.kind, "channel": message.channel, "to": message.recipient or message.host}
