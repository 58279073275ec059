"""The mail queue: messages that wait or were given up, trying them again and discarding them. Never what they say."""

from __future__ import annotations

import uuid
from typing import Any, Final

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies import mail as bodies
from admin.calls import acts, reads
from admin.guard import Visit
from admin.paging import SHOWN, chips, filled, place_by_uuid, query_of, said_place
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem, Refused
from gatekeeper.identity.user_desk import checked_why, invalid
from gatekeeper.mail_desk import MailDesk, QueuedMessage, QueueState
from policies.model import Reason

_STATE: Final = {"state": "State"}
_KIND: Final = {"kind": "Kind"}
_WAYS: Final = {"smtp": "mail", "webhook": "webhook", "event": "webhook event"}


class MailViews:
    """``P/admin/mail`` and ``P/admin/api/mail``. ``server`` is the mail server's name, None where there is none;
    ``tries`` after how many a message is given up.
    """

    def __init__(self, desk: MailDesk, renderer: Renderer, *, server: str | None, tries: int) -> None:
        self._desk = desk
        self._renderer = renderer
        self._server = server
        self._tries = tries

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """Those that wait, or those that were given up."""
        state, kind, rows, following = await self._asked(request, visit)
        counts = await self._desk.queue.counts()
        filters = {"kind": kind} if kind else {}
        context = {
            "state": state,
            "states": list(QueueState),
            "counts": counts,
            "messages": rows,
            "chips": chips(filters, _KIND),
            "query": query_of({"state": str(state), **filters}),
            "following": following,
            "first": "after" not in request.query,
            "ways": _WAYS,
            "server": self._server,
            "tries": self._tries,
        }
        return self._renderer.page(request, visit, "mail.html", context, here="overview")

    @reads("mail", "Messages that wait, or were given up, newest first", bodies.Queue, query=bodies.QueueQuery)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"messages": [...], "waiting", "given_up", "next"}``, newest first."""
        _, _, rows, following = await self._asked(request, visit)
        counts = await self._desk.queue.counts()
        return json_answer(
            {
                "messages": [_row(message) for message in rows],
                "waiting": counts[QueueState.WAITING],
                "given_up": counts[QueueState.GIVEN_UP],
                "next": following,
            }
        )

    @acts(
        "mail/retry",
        "Send a message, or all of a state, again",
        bodies.ChooseMessages,
        bodies.MessagesDone,
        refusals=(409,),
    )
    async def retry(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """One ``message``, or ``all`` of a state. Raises Problem (409) where it cannot be sent again."""
        which, why = _which(fields), checked_why(fields.get("why", ""))
        try:
            count = await self._desk.retry(which, visit.by, visit.now, why=why)
        except Refused as refusal:
            raise _conflict(refusal) from None
        return Done("mail-retried" if count else "mail-none", "mail", {"messages": count})

    @acts(
        "mail/discard",
        "Never send a message, or all of a state",
        bodies.ChooseMessages,
        bodies.MessagesDone,
        refusals=(409,),
    )
    async def discard(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """One ``message``, or ``all`` of a state. Raises Problem (409) while it is being sent."""
        which, why = _which(fields), checked_why(fields.get("why", ""))
        try:
            count = await self._desk.discard(which, visit.by, visit.now, why=why)
        except Refused as refusal:
            raise _conflict(refusal) from None
        page = f"mail?state={which}" if isinstance(which, QueueState) else _back(fields)
        return Done("mail-discarded" if count else "mail-none", page, {"messages": count})

    async def _asked(
        self, request: web.Request, visit: Visit
    ) -> tuple[QueueState, str | None, list[QueuedMessage], str | None]:
        state = _state(filled(request.query, _STATE).get("state", str(QueueState.WAITING)), "state")
        kind = filled(request.query, _KIND).get("kind")
        place = place_by_uuid(request.query.get("after"))
        after = None if place is None else (place.at, uuid.UUID(place.id))
        found = await self._desk.queue.listed(state, visit.now, kind=kind, count=SHOWN + 1, after=after)
        rows = list(found[:SHOWN])
        more = len(found) > SHOWN
        return state, kind, rows, said_place(rows[-1].created_at, str(rows[-1].id)) if more else None


def _which(fields: Fields) -> uuid.UUID | QueueState:
    one, every = fields.get("message", "").strip(), fields.get("all", "").strip()
    if bool(one) == bool(every):
        raise invalid("message", "Say either which message, or all of which state.")
    if every:
        return _state(every, "all")
    try:
        return uuid.UUID(one)
    except ValueError:
        raise invalid("message", "A message is named by its id.") from None


def _state(text: str, field: str) -> QueueState:
    try:
        return QueueState(text)
    except ValueError:
        raise invalid(field, f"One of {', '.join(QueueState)}.") from None


def _back(fields: Fields) -> str:
    given_up = fields.get("back") == QueueState.GIVEN_UP
    return f"mail?state={QueueState.GIVEN_UP}" if given_up else "mail"


def _conflict(refusal: Refused) -> Problem:
    said = str(refusal)
    return Problem(409, Reason.VALIDATION, f"{said[0].upper()}{said[1:]}.")


def _row(message: QueuedMessage) -> dict[str, Any]:
    given_up = message.given_up_at
    return {
        "id": str(message.id),
        "kind": message.kind,
        "channel": message.channel,
        "to": message.recipient or message.host or None,
        "made_at": rfc3339(message.created_at),
        "of_use_until": rfc3339(message.until),
        "tries": message.tries,
        "state": str(QueueState.WAITING if given_up is None else QueueState.GIVEN_UP),
        "sending": message.claimed,
        "next_try": rfc3339(message.due_at) if given_up is None and not message.claimed else None,
        "given_up_at": None if given_up is None else rfc3339(given_up),
        "fault": message.fault,
        "retriable": message.retriable,
    }
