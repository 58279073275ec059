"""API keys for people: the section of the account page, the form for a new one, and the page that shows it once.

Routed by ``views``. The form is shown to whoever has just signed in or confirmed to be there, as making a key wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from gatekeeper.appkeys import INBOUND
from gatekeeper.authenticator import Authenticated
from gatekeeper.errors import Problem
from gatekeeper.identity.api_key_bodies import KeyName
from gatekeeper.identity.api_key_endpoints import ApiKeyEndpoints, parse_network
from gatekeeper.identity.api_keys import LONGEST_NAME, MOST_NETWORKS, ApiKey, BadScope, Wanted
from gatekeeper.identity.step_up import StepUps
from gatekeeper.pages.forms import see_other
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.language import Language
from gatekeeper.pages.next import with_next
from policies.criteria import Network
from policies.model import Reason
from policies.scopes import parse_scope

DAYS: Final = (30, 90, 365)
_DAY: Final = 86_400.0
_LONGEST: Final = 2000  # characters of one field
_NAME: Final[TypeAdapter[str]] = TypeAdapter(KeyName)
_FIELDS: Final = ("name", "scopes", "networks", "days")


@dataclass(slots=True)
class _Asked:
    """What a form says, and what is wrong with it."""

    wanted: Wanted
    faults: dict[str, str] = field(default_factory=dict)


class ApiKeyPages:
    """The handlers of ``P/account/api-keys``."""

    def __init__(self, frame: Frame, calls: ApiKeyEndpoints, step_ups: StepUps) -> None:
        self._frame = frame
        self._calls = calls
        self._keys = calls.keys
        self._step_ups = step_ups
        self._account = frame.address("account")
        self._here = frame.address("account/api-keys")

    async def form(self, request: web.Request) -> web.Response:
        """GET: what the new key is for, and what it may do."""
        who = await self._frame.visits.signed_in(request)
        lacking = await self._step_ups.lacking(who.principal, request[INBOUND].received)
        if lacking is not None:
            return see_other(self._fresh_first(lacking, request.query))
        typed = {"days": str(self._choices()[:2][-1]), **_typed(request.query)}
        return self._page(request, who, typed, {})

    async def make(self, request: web.Request) -> web.Response:
        """POST: the key, shown this once."""
        fields = await self._frame.form(request)
        who = await self._frame.visits.signed_in(request, back=self._here)
        asked = self._read(fields, who, request)
        if asked.faults:
            return self._page(request, who, _typed(fields), asked.faults)
        try:
            made, text = await self._calls.make(who, asked.wanted, request[INBOUND])
        except Problem as refusal:
            if "acr_values" in refusal.extra:
                return see_other(self._fresh_first(refusal, fields))
            if refusal.status != 409:
                raise
            return self._page(request, who, _typed(fields), {}, refusal)
        return self._made(request, who, made, text)

    async def rotate(self, request: web.Request) -> web.Response:
        """POST ``rotate``: another like the one that ``key`` names, shown this once."""
        fields = await self._frame.form(request)
        who = await self._frame.visits.signed_in(request, back=self._account)
        try:
            made, text = await self._calls.renew(who, fields.get("key", ""), request[INBOUND])
        except Problem as refusal:
            if "acr_values" not in refusal.extra:
                raise
            step_up = with_next(self._frame.address("step-up"), self._account)
            return see_other(_stronger(step_up, refusal))
        old_until = request[INBOUND].received + self._keys.overlap
        return self._made(request, who, made, text, old_until=old_until)

    async def revoke(self, request: web.Request) -> web.Response:
        """POST ``revoke``: the one that ``key`` names."""
        fields = await self._frame.form(request)
        who = await self._frame.visits.signed_in(request, back=self._account)
        await self._calls.end(who, fields.get("key", ""), request[INBOUND])
        answer = see_other(f"{self._account}?done=api-key")
        return self._frame.visits.renewed(answer, who, request[INBOUND].received)

    async def back(self, _request: web.Request) -> web.Response:
        """GET of an address that forms are sent to."""
        return see_other(self._account)

    def _choices(self) -> list[int]:
        """How many days a key may live; 0 is for ever."""
        most = self._keys.max_ttl
        if most is None:
            return [*DAYS, 0]
        return [days for days in DAYS if days * _DAY < most] + [max(int(most // _DAY), 1)]

    def _read(self, fields: Mapping[str, str], who: Authenticated, request: web.Request) -> _Asked:
        language, faults = self._frame.theme.language_of(request), {}
        name = fields.get("name", "").strip()
        if not _good_name(name):
            faults["name"] = language.say("Give the key a name, of %(num)s characters at most.", num=LONGEST_NAME)
        scopes, networks = _listed(fields, "scopes"), _listed(fields, "networks")
        fault = self._scope_fault(scopes, who, language)
        if fault is not None:
            faults["scopes"] = fault
        found, bad = _networks(networks)
        if bad is not None:
            faults["networks"] = language.say("%(what)s is no address or network such as 192.0.2.0/24.", what=bad)
        days = fields.get("days", "")
        choices = {str(choice): choice for choice in self._choices()}
        if days not in choices:
            faults["days"] = language.say("Choose one of these.")
        lives = choices.get(days, 1) * _DAY
        now = request[INBOUND].received
        if lives and self._keys.max_ttl is not None:
            lives = min(lives, self._keys.max_ttl)
        return _Asked(Wanted(name, scopes, found, now + lives if lives else None), faults)

    def _scope_fault(self, scopes: Sequence[str], who: Authenticated, language: Language) -> str | None:
        try:
            self._keys.check_scopes(scopes, who.principal.roles)
        except BadScope as fault:
            if not scopes:
                return language.say("Name at least one path; /** is everything that you may do.")
            if fault.place >= len(scopes):
                return language.say("Those are too many.")
            text = scopes[fault.place]
            if _well_formed(text):
                return language.say("Only an administrator may give the scope %(what)s.", what=text)
            return language.say("%(what)s is no path such as /reports/** or GET /reports/**.", what=text[:60])
        return None

    def _fresh_first(self, lacking: Problem, fields: Mapping[str, str]) -> str:
        """The step-up page, and back to the form with what was typed."""
        typed = urlencode({name: value for name, value in _typed(fields).items() if value})
        back = f"{self._here}?{typed}" if typed else self._here
        return _stronger(with_next(self._frame.address("step-up"), back), lacking)

    def _page(
        self,
        request: web.Request,
        who: Authenticated,
        typed: Mapping[str, str],
        faults: Mapping[str, str],
        refusal: Problem | None = None,
    ) -> web.Response:
        if faults:
            refusal = Problem(422, Reason.VALIDATION)
        context: dict[str, Any] = {
            "here": self._here,
            "typed": {name: typed.get(name, "") for name in _FIELDS},
            "choices": self._choices(),
            "names": self._keys.takes(who.principal.roles),
            "longest_name": LONGEST_NAME,
            "faults": faults,
        }
        page = self._frame.page(request, "api_key.html", context, fault=refusal)
        return self._frame.visits.renewed(page, who, request[INBOUND].received)

    def _made(
        self, request: web.Request, who: Authenticated, made: ApiKey, text: str, *, old_until: float | None = None
    ) -> web.Response:
        language = self._frame.theme.language_of(request)
        context = {
            "here": None,
            "key": text,
            "made": made,
            "expires": None if made.expires_at is None else language.day(made.expires_at),
            "old_until": None if old_until is None else language.moment(old_until),
            "account": f"{self._account}#api-keys",
        }
        page = self._frame.page(request, "api_key_made.html", context)
        return self._frame.visits.renewed(page, who, request[INBOUND].received)


def shown_keys(keys: Sequence[ApiKey], now: float, language: Language) -> list[dict[str, object]]:
    """Keys as the account page lists them."""
    return [
        {
            "id": key.id,
            "name": key.name,
            "start": key.start,
            "scopes": list(key.scopes),
            "networks": [str(network) for network in key.networks],
            "since": language.day(key.created_at),
            "expires": None if key.expires_at is None else language.day(key.expires_at),
            "expired": not key.good(now),
            "rotated": key.successor is not None,
            "last": None if key.last_used_at is None else language.distance(key.last_used_at, now),
            "last_from": None if key.last_used_from is None else str(key.last_used_from),
        }
        for key in keys
    ]


def _typed(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: fields[name][:_LONGEST] for name in _FIELDS if name in fields}


def _listed(fields: Mapping[str, str], name: str) -> list[str]:
    """What stands between commas, each once."""
    parts = (" ".join(part.split()) for part in fields.get(name, "")[:_LONGEST].split(","))
    return list(dict.fromkeys(part for part in parts if part))


def _networks(texts: Sequence[str]) -> tuple[tuple[Network, ...], str | None]:
    """The networks, or the first text that is none."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(parse_network(text))
        except ValueError:
            return (), text[:60]
    return tuple(found[:MOST_NETWORKS]), texts[MOST_NETWORKS] if len(texts) > MOST_NETWORKS else None


def _good_name(name: str) -> bool:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _well_formed(scope: str) -> bool:
    try:
        parse_scope(scope)
    except ValueError:
        return False
    return True


def _stronger(step_up: str, lacking: Problem) -> str:
    return step_up + ("&acr_values=2fa" if lacking.extra["acr_values"] == "2fa" else "")
