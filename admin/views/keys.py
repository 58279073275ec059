"""The gate's signing keys: their ages and what each is good for; rotating and retiring them."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies import settings as bodies
from admin.calls import acts, reads
from admin.guard import Visit
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.errors import Problem, Refused
from gatekeeper.identity.user_desk import checked_why, invalid
from gatekeeper.key_desk import LEAD, PURPOSES, KeyDesk, KeyState, ShownKey
from policies.model import Reason

_ENDED_SHOWN: Final = 20
_SIGNED: Final = {"access": "access tokens", "assertion": "assertions to upstreams"}


class KeyViews:
    """``P/admin/keys`` and ``P/admin/api/keys``."""

    def __init__(self, desk: KeyDesk, renderer: Renderer) -> None:
        self._desk = desk
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """Those in use, and those that have ended lately."""
        keys = await self._desk.all(visit.now)
        ended = [key for key in keys if key.state is KeyState.RETIRED]
        context = {
            "keys": [key for key in keys if key.state is not KeyState.RETIRED],
            "ended": sorted(ended, key=lambda key: -(key.retired_at or 0))[:_ENDED_SHOWN],
            "signed": _SIGNED,
            "lead": LEAD,
        }
        return self._renderer.page(request, visit, "keys.html", context, here="keys")

    @reads("keys", "Signing keys", bodies.SigningKeys)
    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"keys": [...]}``, the one that signs latest first; never a private half."""
        return json_answer({"keys": [_row(key) for key in await self._desk.all(visit.now)]})

    @acts("keys/rotate", "Publish a new signing key", bodies.RotateKey, bodies.Rotated, refusals=(409,))
    async def rotate(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Publish a new key for a ``purpose``. Raises Problem (409) while one that was published does not sign yet."""
        why, purpose = checked_why(fields.get("why", "")), fields.get("purpose", "access")
        if purpose not in PURPOSES:
            raise invalid("purpose", f"One of {', '.join(PURPOSES)}.")
        try:
            made = await self._desk.rotate(purpose, visit.by, visit.now, why=why)
        except Refused as refusal:
            raise _conflict(refusal) from None
        until = {"signs_from": rfc3339(made.signs_from), "others_until": rfc3339(made.others_until)}
        return Done("key-rotated", "keys", {"kid": made.kid, "purpose": made.purpose, **until})

    @acts("keys/retire", "Retire a signing key", bodies.RetireKey, bodies.Retired, refusals=(409,))
    async def retire(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """End the key ``kid`` at once. Raises Problem (409) where it is not in use."""
        why = checked_why(fields.get("why", ""))
        try:
            ended = await self._desk.retire(fields.get("kid", ""), visit.by, visit.now, why=why)
        except Refused as refusal:
            raise _conflict(refusal) from None
        return Done("key-retired", "keys", {"kid": ended.kid, "successor": ended.successor})


def _conflict(refusal: Refused) -> Problem:
    said = str(refusal)
    return Problem(409, Reason.VALIDATION, f"{said[0].upper()}{said[1:]}.")


def _row(key: ShownKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "purpose": key.purpose,
        "algorithm": key.algorithm,
        "state": key.state,
        "created_at": rfc3339(key.created_at),
        "signs_from": rfc3339(key.signs_from),
        "retired_at": None if key.retired_at is None else rfc3339(key.retired_at),
    }
