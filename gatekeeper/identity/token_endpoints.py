"""``P/auth/introspect`` (RFC 7662) and ``P/auth/revoke`` (RFC 7009): for services that call with an API key.

The only two calls that take a form, as the RFCs have it. Refusals are the API's own, with the ``error`` of RFC 6749 5.2
beside what everybody gets.
"""

from __future__ import annotations

from typing import Final, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.errors import Problem
from gatekeeper.identity.bodies import read_whole
from gatekeeper.identity.token_desk import TokenDesk
from gatekeeper.inbound import InboundRequest
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens.jws import MAX_TOKEN
from policies.model import Principal, Reason

FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 20
_INVALID_CLIENT: Final = {"error": "invalid_client"}


class Callers(Protocol):
    """Knows who calls by an API key."""

    async def authenticate_key(self, request: InboundRequest) -> Authenticated | Reason:
        """Raises StoreUnavailable."""


class TokenEndpoints:
    """The handlers; ``limit`` is that of a body, in bytes."""

    def __init__(self, callers: Callers, desk: TokenDesk, audit: AuditLog, *, limit: int) -> None:
        self._callers = callers
        self._desk = desk
        self._audit = audit
        self._limit = limit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        return [
            web.post(f"{prefix}/auth/introspect", self.introspect),
            web.post(f"{prefix}/auth/revoke", self.revoke),
        ]

    async def introspect(self, request: web.Request) -> web.Response:
        """What a token is worth: ``{"active": false}`` and no more for one that is worth nothing."""
        inbound: InboundRequest = request[INBOUND]
        await self._caller(inbound, "introspect")
        token = await self._token(request)
        found = await self._desk.describe(token, inbound.received)
        return json_answer({"active": False} if found is None else {"active": True, **found})

    async def revoke(self, request: web.Request) -> web.Response:
        """200 for every token, also one that is none: then it is worth nothing already (RFC 7009 2.2)."""
        inbound: InboundRequest = request[INBOUND]
        caller = await self._caller(inbound, "revoke")
        token = await self._token(request)
        ended = await self._desk.end(token, by=caller.session, now=inbound.received)
        if ended is not None:
            await self._audit.record_change(
                Change(
                    inbound.received,
                    caller.subject,
                    f"{ended.kind}.revoke",
                    ended.subject,
                    None,
                    {**ended.facts, "key": caller.session},
                    inbound.client,
                    inbound.request_id,
                )
            )
        return web.Response(headers={"Cache-Control": "no-store"})

    async def _caller(self, inbound: InboundRequest, scope: str) -> Principal:
        found = await self._callers.authenticate_key(inbound)
        if isinstance(found, Reason):
            status = 403 if found in {Reason.BANNED, Reason.RULE_DENIED} else 401
            raise Problem(status, found, "This needs an API key.", **_INVALID_CLIENT)
        key = found.principal.key
        if key is None or scope not in key.scopes:
            raise Problem(403, Reason.RULE_DENIED, f"This needs an API key with the scope {scope}.", **_INVALID_CLIENT)
        return found.principal

    async def _token(self, request: web.Request) -> str:
        """The form's ``token``; other fields, the hint among them, decide nothing."""
        raw = await read_whole(request, self._limit)
        if request.content_type != FORM:
            raise Problem(415, Reason.UNSUPPORTED_MEDIA_TYPE, f"The body must be {FORM}.", error="invalid_request")
        try:
            pairs = parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=_MOST_FIELDS
            )
        except ValueError:
            raise Problem(400, Reason.VALIDATION, "The body is not a form.", error="invalid_request") from None
        tokens = [value for name, value in pairs if name == "token"]
        if len(tokens) != 1 or not tokens[0] or len(tokens[0]) > MAX_TOKEN:
            fault = {"pointer": "/token", "detail": "is required, once, and at most 8192 characters long"}
            raise Problem(422, Reason.VALIDATION, "The body has errors.", errors=[fault], error="invalid_request")
        return tokens[0]
