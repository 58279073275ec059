"""Callers that wait for a connection, first come first served. Used by ``upstream.pool``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gatekeeper.upstream.target import Target

PlaceT = TypeVar("PlaceT")


@dataclass(frozen=True, slots=True, eq=False)
class Ticket(Generic[PlaceT]):
    """One caller's turn; ``target`` is None where any will do."""

    turn: asyncio.Future[PlaceT]
    target: Target | None


class Queue(Generic[PlaceT]):
    """Whoever waits for one target lets those behind have the others'."""

    __slots__ = ("_tickets",)

    def __init__(self) -> None:
        self._tickets: deque[Ticket[PlaceT]] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    def join(self, target: Target | None) -> Ticket[PlaceT]:
        """Stand at the end."""
        ticket: Ticket[PlaceT] = Ticket(asyncio.get_running_loop().create_future(), target)
        self._tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket[PlaceT]) -> None:
        """Wait no more."""
        if ticket in self._tickets:
            self._tickets.remove(ticket)

    def pass_on(self, target: Target, place: PlaceT) -> bool:
        """Give a place at ``target`` to whoever has waited longest for it; False when nobody does."""
        for ticket in self._tickets:
            if (ticket.target is None or ticket.target is target) and not ticket.turn.done():
                self._tickets.remove(ticket)
                ticket.turn.set_result(place)
                return True
        return False

    def refuse_all(self, refusal: Callable[[], Exception]) -> None:
        """Nobody's turn will come."""
        while self._tickets:
            ticket = self._tickets.popleft()
            if not ticket.turn.done():
                ticket.turn.set_exception(refusal())
