"""Acts on all accounts that a filter finds: the page that says how many, and the act."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies import users as bodies
from admin.calls import acts, reads
from admin.guard import Visit
from admin.lists import Place
from admin.paging import chips, query_of
from admin.render import Renderer
from admin.user_filters import FILTERS, said_values, users_asked
from admin.user_lists import UserFilter, UserReader
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem
from gatekeeper.identity.bulk_desk import BulkAct, BulkDesk
from gatekeeper.identity.user_desk import checked_why, invalid
from policies.model import Reason

_PORTION: Final = 250  # accounts in one transaction


@dataclass(frozen=True, slots=True)
class _Said:
    """An act in words: what a button says before the number, and what it leads to."""

    verb: str
    leads_to: str
    danger: bool = True


_SAID: Final[Mapping[BulkAct, _Said]] = {
    BulkAct.LOCK: _Said("Lock", "Nobody logs in to them, and every session of theirs ends."),
    BulkAct.UNLOCK: _Said("Unlock", "They may log in again; ended sessions stay ended.", danger=False),
    BulkAct.LOGOUT: _Said("Log out", "Every session of theirs ends; passwords and API keys stay."),
    BulkAct.EXPIRE_PASSWORD: _Said(
        "Force a new password on",
        "Every session of theirs ends, and whoever signs in by the password has to choose another first. Accounts"
        " without a password, and those that have to choose another already, stay as they are.",
    ),
}


class UserBulk:
    """``P/admin/users/bulk`` and the same under ``api``."""

    def __init__(self, users: UserReader, desk: BulkDesk, renderer: Renderer) -> None:
        self._users = users
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """How many accounts of a filter an act would meet."""
        act = _act(request.query.get("act", ""))
        filters, wanted = _asked(request.query, visit)
        context = {
            "act": act,
            "said": _SAID[act],
            "filters": filters,
            "chips": chips(filters, FILTERS, said_values(filters)),
            "query": query_of(filters),
            "found": await self._users.count_users(wanted),
        }
        return self._renderer.page(request, visit, "users_bulk.html", context, here="users")

    @reads("users/count", "How many accounts fit", bodies.UserCount, query=bodies.UsersQuery)
    async def count(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"users", "admins"}``, without one's own: as many as ``bulk`` would meet."""
        _, wanted = users_asked(request.query, visit.now)
        found = await self._users.count_users(replace(wanted, but=visit.by.name))
        return json_answer({"users": found.users, "admins": found.admins})

    @acts("users/bulk", "Act on every account of a filter", bodies.BulkBody, bodies.BulkDone, refusals=(409,))
    async def act(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """On all that fit but one's own; 409 where they are not as many as was agreed to."""
        act, why = _act(fields.get("act", "")), checked_why(fields.get("why", ""))
        filters, wanted = _asked(fields, visit)
        await self._agreed(wanted, fields.get("count"))
        described = ", ".join(f"{name} {value}" for name, value in filters.items())
        count = await self._desk.act(act, self._portions(wanted), described, visit.by, why, visit.now)
        return Done(f"users-{act}", f"users{query_of(filters)}", {"changed": count})

    async def _agreed(self, wanted: UserFilter, said: str | None) -> None:
        if said is None:
            return
        if not said.isascii() or not said.isdigit():
            raise invalid("count", "The count is a number of accounts.")
        found = (await self._users.count_users(wanted)).users
        if str(found) != said:
            raise Problem(
                409,
                Reason.VALIDATION,
                f"By now {found} accounts fit, and {said} were agreed to. Nothing was changed: look again.",
            )

    async def _portions(self, wanted: UserFilter) -> AsyncGenerator[list[str], None]:
        after: Place | None = None
        while places := await self._users.places(wanted, count=_PORTION, after=after):
            after = places[-1]
            yield [place.id for place in places]


def _act(name: str) -> BulkAct:
    try:
        return BulkAct(name)
    except ValueError:
        raise invalid("act", f"The act is one of {', '.join(BulkAct)}.") from None


def _asked(fields: Fields, visit: Visit) -> tuple[dict[str, str], UserFilter]:
    """What was asked for, without whoever asks."""
    filters, wanted = users_asked(fields, visit.now)
    if not filters:
        raise invalid("state", "Choose which accounts first, such as those that are active: not all at once.")
    return filters, replace(wanted, but=visit.by.name)
