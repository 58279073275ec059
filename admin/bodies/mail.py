"""The mail queue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.common import Body, Done, Next, Paged, Time, Uuid, Why
from gatekeeper.mail_desk import QueueState

State = Literal["waiting", "given-up"]


class QueueQuery(Paged):
    """Those that wait where no ``state`` is said; of one kind only where it is."""

    state: State | None = None
    kind: Annotated[str | None, Field(max_length=254, examples=["password-reset"])] = None


class QueuedMessage(TypedDict):
    """A message without what it says. ``to`` is never a whole address; of a webhook it is the host."""

    id: Uuid
    kind: str
    channel: str
    to: str | None
    made_at: Time
    of_use_until: Time
    tries: int
    state: QueueState
    sending: bool
    next_try: Time | None
    given_up_at: Time | None
    fault: str | None
    retriable: bool


class Queue(TypedDict):
    """A page of messages, and how many there are."""

    messages: list[QueuedMessage]
    waiting: int
    given_up: int
    next: Next


class ChooseMessages(Body):
    """Either one message, or all of a state."""

    message: Uuid | None = None
    all: State | None = None
    why: Why


class MessagesDone(Done):
    """To how many it was done."""

    messages: int
