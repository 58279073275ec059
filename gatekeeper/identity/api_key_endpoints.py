"""``P/auth/api-keys``: one's own keys for programs. Handlers parse, call one service and render.

Making and rotating one wants a fresh login or step-up; revoking does not, as ending a session does not. A key itself
may do none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network

from aiohttp import web

from gatekeeper.answers import json_answer
from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.clock import as_datetime
from gatekeeper.identity.api_key_bodies import (
    ApiKeyAnswer,
    ApiKeysAnswer,
    NewApiKeyAnswer,
    NewApiKeyBody,
    RotateApiKeyBody,
)
from gatekeeper.identity.api_keys import ApiKey, ApiKeys, Author, BadScope, Wanted
from gatekeeper.identity.bodies import invalid, read_body
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.notices import Notices
from gatekeeper.identity.step_up import StepUps
from gatekeeper.inbound import InboundRequest
from policies.criteria import Network
from policies.model import Principal
from policies.scopes import ADMIN_SCOPES


class ApiKeyEndpoints:
    """The handlers; ``json_limit`` in bytes. ``make`` and ``renew`` are the account page's too."""

    def __init__(
        self, identity: Identity, keys: ApiKeys, step_ups: StepUps, notices: Notices, *, json_limit: int
    ) -> None:
        self._identity = identity
        self.keys = keys
        self._step_ups = step_ups
        self._notices = notices
        self._json_limit = json_limit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes under ``prefix``."""
        keys = f"{prefix}/auth/api-keys"
        return [
            web.get(keys, self.listing),
            web.post(keys, self.add),
            web.post(f"{keys}/{{id}}/rotate", self.rotate),
            web.delete(f"{keys}/{{id}}", self.revoke),
        ]

    async def listing(self, request: web.Request) -> web.Response:
        """GET ``api-keys``: mine, newest first."""
        inbound = request[INBOUND]
        who = await self._identity.authenticated(inbound)
        keys = await self.keys.of_user(who.principal.subject, inbound.received)
        body = ApiKeysAnswer(api_keys=[_answer(key, inbound.received) for key in keys])
        return self._identity.with_renewal(json_answer(body.model_dump()), who, inbound.received)

    async def add(self, request: web.Request) -> web.Response:
        """POST ``api-keys``: a new key, shown this once."""
        body = await read_body(request, NewApiKeyBody, self._json_limit)
        inbound = request[INBOUND]
        who = await self._identity.authenticated(inbound)
        wanted = Wanted(body.name, body.scopes, _networks(body.networks), _moment(body.expires_at))
        made, text = await self.make(who, wanted, inbound)
        return self._shown(made, text, who, inbound)

    async def rotate(self, request: web.Request) -> web.Response:
        """POST ``api-keys/{id}/rotate``: another key like it; the old one goes on for a while."""
        body = await read_body(request, RotateApiKeyBody, self._json_limit, empty=True)
        inbound = request[INBOUND]
        who = await self._identity.authenticated(inbound)
        overlap = None if body.overlap is None else float(body.overlap)
        made, text = await self.renew(who, request.match_info["id"], inbound, overlap=overlap)
        return self._shown(made, text, who, inbound)

    async def revoke(self, request: web.Request) -> web.Response:
        """DELETE ``api-keys/{id}``: in force on the next request."""
        inbound = request[INBOUND]
        who = await self._identity.authenticated(inbound)
        await self.end(who, request.match_info["id"], inbound)
        answer = web.Response(status=204, headers={"Cache-Control": "no-store"})
        return self._identity.with_renewal(answer, who, inbound.received)

    async def make(self, who: Authenticated, wanted: Wanted, inbound: InboundRequest) -> tuple[ApiKey, str]:
        """A key of the caller's, and its text. Raises Problem (401 step-up-required, 409, 422), StoreUnavailable."""
        principal, now = who.principal, inbound.received
        self._check_scopes(wanted.scopes, who)
        try:
            expires_at = self.keys.end_of(wanted.expires_at, now)
        except ValueError as fault:
            raise invalid("/expires_at", str(fault)) from None
        await self._require_there(wanted.scopes, principal, now)
        asked = Wanted(wanted.name, wanted.scopes, wanted.networks, expires_at)
        made, text = await self.keys.add(principal.subject, asked, author(who, inbound), now)
        await self._tell(who, made, inbound)
        return made, text

    async def renew(
        self, who: Authenticated, key: str, inbound: InboundRequest, *, overlap: float | None = None
    ) -> tuple[ApiKey, str]:
        """A key in place of one of the caller's. Raises Problem (401 step-up-required, 404, 422), StoreUnavailable."""
        principal, now = who.principal, inbound.received
        old = await self.keys.own(principal.subject, key, now)
        await self._require_there(old.scopes, principal, now)
        if old.created_by == principal.subject:  # what an operator gave is the owner's as long as it is good
            self._check_scopes(old.scopes, who)
        _, made, text = await self.keys.rotate(old, author(who, inbound), now, overlap=overlap)
        await self._tell(who, made, inbound)
        return made, text

    async def end(self, who: Authenticated, key: str, inbound: InboundRequest) -> None:
        """Revoke a key of the caller's. Raises Problem (404), StoreUnavailable."""
        subject = who.principal.subject
        await self.keys.revoke(key, author(who, inbound), inbound.received, owner=subject)

    async def _require_there(self, scopes: Sequence[str], who: Principal, now: float) -> None:
        """A key outlives the step-up that it is made by; one for the panel's calls wants all that the panel does."""
        if not ADMIN_SCOPES.isdisjoint(scopes):
            self._step_ups.require_factors(who)
        await self._step_ups.require_fresh(who, now)

    def _check_scopes(self, scopes: Sequence[str], who: Authenticated) -> None:
        try:
            self.keys.check_scopes(scopes, who.principal.roles)
        except BadScope as fault:
            raise invalid(f"/scopes/{fault.place}" if scopes else "/scopes", str(fault)) from None

    async def _tell(self, who: Authenticated, made: ApiKey, inbound: InboundRequest) -> None:
        caller, owner = self._identity.caller(inbound), who.principal
        await self._notices.api_key_added(owner.subject, owner.email, made.start, caller, inbound.received)

    def _shown(self, made: ApiKey, text: str, who: Authenticated, inbound: InboundRequest) -> web.Response:
        body = NewApiKeyAnswer(key=text, **_answer(made, inbound.received).model_dump())
        return self._identity.with_renewal(json_answer(body.model_dump(), status=201), who, inbound.received)


def author(who: Authenticated, inbound: InboundRequest) -> Author:
    """The caller, for the audit log."""
    return Author(who.principal.subject, inbound.client, inbound.request_id)


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    found: list[Network] = []
    for place, text in enumerate(texts):
        try:
            found.append(parse_network(text))
        except ValueError as fault:
            raise invalid(f"/networks/{place}", str(fault)) from None
    return tuple(found)


def parse_network(text: str) -> Network:
    """An address or a network. Raises ValueError."""
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError("is no address or network such as 192.0.2.0/24") from None
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise ValueError("is one of IPv4: write it as such")
    return network


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise invalid("/expires_at", "is no time with its zone such as 2030-01-01T00:00:00Z")
    return when.timestamp()


def _answer(key: ApiKey, now: float) -> ApiKeyAnswer:
    return ApiKeyAnswer(
        id=key.id,
        name=key.name,
        start=key.start,
        scopes=list(key.scopes),
        networks=[str(network) for network in key.networks],
        created_at=_rfc3339(key.created_at),
        expires_at=_when(key.expires_at),
        expired=not key.good(now),
        last_used_at=_when(key.last_used_at),
        last_used_from=None if key.last_used_from is None else str(key.last_used_from),
        successor=key.successor,
    )


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else _rfc3339(seconds)


def _rfc3339(seconds: float) -> str:
    return as_datetime(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")
