"""The rules in force with their hits, and the tester: which rule decides about a request, and why no other does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final, Protocol

from aiohttp import web

from admin.acts import Done, Fields
from admin.bodies import rules as bodies
from admin.bodies.common import WhyBody
from admin.calls import acts, reads
from admin.charts import Bar, Chart, Share
from admin.guard import Visit
from admin.paging import SHOWN, country_of, filled, moment_of, number_of
from admin.render import Renderer
from admin.rule_table import OUTCOMES, RANGES, Listed, RuleTable, Table, range_of
from admin.rule_words import Words
from admin.wording import rfc3339
from gatekeeper.answers import json_answer
from gatekeeper.config.types import parse_duration
from gatekeeper.errors import Problem
from gatekeeper.explain import WHOLE_ADDRESS, Explainer, Explanation, Supposed
from gatekeeper.identity.user_desk import checked_why, invalid
from gatekeeper.journal.audit import AuditLog, Change
from policies.countries import CODES
from policies.fields import check_token
from policies.model import Address, Reason
from policies.read import METHODS
from policies.scopes import parse_scopes

ASKED: Final = {
    "method": "Method",
    "url": "URL",
    "user": "User",
    "roles": "Roles",
    "scopes": "Scopes",
    "header": "Header",
    "address": "Address",
    "country": "Country",
    "mfa_age": "Two factors",
    "auth_age": "Login",
    "at": "Time",
}


class Reloads(Protocol):
    """How the configuration stands (``reload_desk.ReloadDesk``)."""

    @property
    def good(self) -> bool: ...

    @property
    def at(self) -> float | None: ...

    @property
    def faults(self) -> Sequence[str]: ...

    def ask(self) -> bool: ...


class RuleViews:
    """``P/admin/rules`` and ``P/admin/api/rules``."""

    def __init__(
        self, explainer: Explainer, table: RuleTable, renderer: Renderer, reloads: Reloads, audit: AuditLog
    ) -> None:
        self._explainer = explainer
        self._table = table
        self._renderer = renderer
        self._reloads = reloads
        self._audit = audit

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """The rules with their hits, and the tester; with an URL in the query also its answer."""
        table, listed = await self._listed(request, visit)
        fields = {name: request.query.get(name, "")[:254] for name in ASKED}
        found, fault = None, None
        if fields["url"]:
            try:
                found = self._explainer.explain(_supposed(filled(request.query, ASKED), visit.now))
            except Problem as refusal:
                fault = refusal
        context = {
            **listed,
            "table": table,
            "fields": {**fields, "method": fields["method"] or "GET"},
            "methods": METHODS,
            "found": found,
            "fault": fault.detail if fault else None,
            "reloads": self._reloads,
            "fault_at": str(fault.extra["errors"][0]["pointer"])[1:] if fault else None,  # type: ignore[index]
        }
        status = fault.status if fault else 200
        return self._renderer.page(request, visit, "rules.html", context, here="rules", status=status)

    async def one(self, request: web.Request, visit: Visit) -> web.Response:
        """One rule: everything that it says, and its hits over time."""
        span, one, chart, reasons = await self._one(request, visit)
        context = {"one": one, "chart": chart, "reasons": reasons, "range": span, "ranges": list(RANGES)}
        return self._renderer.page(request, visit, "rule.html", context, here="rules")

    @reads("rules/named/{rule}", "One rule, and its hits over time", bodies.OneRule, query=bodies.RuleQuery)
    async def one_call(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"rule", "range", "bars"}``; there are no bars while nobody knows the hits."""
        span, one, chart, _ = await self._one(request, visit)
        bars = None if chart is None else [_bar(bar) for bar in chart.bars]
        return json_answer({"rule": _row(one), "range": span, "bars": bars})

    async def _one(self, request: web.Request, visit: Visit) -> tuple[str, Listed, Chart | None, Sequence[Share]]:
        span = range_of(request.query)
        found = await self._table.one(request.match_info["rule"], span, visit.now)
        if found is None:
            raise Problem(404, Reason.NOT_FOUND, "There is no rule of this name in force.")
        return span, *found

    @reads("rules", "The rules in force with their hits", bodies.Rules, query=bodies.RulesPage)
    async def listing(self, request: web.Request, visit: Visit) -> web.Response:
        """``{"rules": [...], "next", "no_rule"}`` in the order in which they are tried."""
        table, _ = await self._listed(request, visit)
        return json_answer(
            {"rules": [_row(one) for one in table.rules], "next": table.following, "no_rule": table.unmatched}
        )

    async def _listed(self, request: web.Request, visit: Visit) -> tuple[Table, dict[str, Any]]:
        span, after = range_of(request.query), number_of(request.query.get("after"))
        find = filled(request.query, {"find": "Rules with"}).get("find", "")
        table = await self._table.page(find, span, visit.now, count=SHOWN, after=after or 0)
        about = {"range": span, "ranges": list(RANGES), "find": find, "first": after is None, "total": table.all}
        return table, about

    @reads("rules/explain", "Which rule would decide", bodies.Explanation, query=bodies.ExplainQuery)
    async def explain(self, request: web.Request, visit: Visit) -> web.Response:
        """The tester's answer as JSON."""
        asked = filled(request.query, ASKED)
        if "url" not in asked:
            raise invalid("url", "Say which URL.")
        return json_answer(_shown(self._explainer.explain(_supposed(asked, visit.now))))

    @acts("rules/reload", "Have the configuration read again", WhyBody, refusals=(409,))
    async def reload(self, _request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Have the configuration read again: checked as a whole, in force on all workers of this node or not at all.

        What becomes of it is an entry ``rules.reload`` of its own. Raises Problem (409) where nobody reads it.
        """
        after: dict[str, object] = {"why": checked_why(fields.get("why", ""))}
        by = visit.by
        change = Change(
            visit.now, by.name, "rules.reload-asked", "configuration", None, after, by.address, by.request_id, by.key
        )
        await self._audit.record_change(change)
        if not self._reloads.ask():
            raise Problem(409, Reason.VALIDATION, "This gate has nobody who could read its configuration again.")
        return Done("reload-asked", "config" if fields.get("page") == "config" else "rules")


def _supposed(asked: Mapping[str, str], now: float) -> Supposed:
    """Raises Problem (422) that names the field."""
    method, url = asked.get("method", "GET"), asked["url"]
    if method not in METHODS:
        raise invalid("method", f"The gate takes {', '.join(METHODS)}.")
    if not url.startswith("/") and WHOLE_ADDRESS.fullmatch(url) is None:
        raise invalid("url", "That is neither http(s)://host/path nor /path.")
    country = country_of(asked.get("country"))
    if country is not None and country not in CODES:
        raise invalid("country", "That is no country of ISO 3166-1, such as CH.")
    at = moment_of(asked.get("at"), "at")
    return Supposed(
        method,
        url,
        now if at is None else at,
        user=asked.get("user"),
        roles=asked.get("roles", "").replace(",", " ").split(),
        address=_address(asked.get("address")),
        country=country,
        headers=_header(asked.get("header")),
        scopes=_scopes(asked.get("scopes")),
        mfa_age=_age(asked, "mfa_age"),
        auth_age=_age(asked, "auth_age"),
    )


def _address(text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise invalid("address", "That is no address, such as 192.0.2.7.") from None


def _header(text: str | None) -> list[tuple[str, str]]:
    """One line of a head."""
    if text is None:
        return []
    name, colon, value = text.partition(":")
    try:
        check_token(name)
    except ValueError:
        colon = ""
    if not colon:
        raise invalid("header", "That is no header field, such as X-Env: test.")
    return [(name, value.strip(" \t"))]


def _scopes(text: str | None) -> list[str]:
    """Those of an API key, with commas between them."""
    found = [one.strip() for one in (text or "").split(",") if one.strip()]
    try:
        parse_scopes(found)
    except ValueError as fault:
        raise invalid("scopes", f"That is no scope: {fault}.") from None
    return found


def _age(asked: Mapping[str, str], name: str) -> float | None:
    if name not in asked:
        return None
    try:
        return float(parse_duration(asked[name]))
    except ValueError:
        raise invalid(name, "That is no duration, such as 5m or 12h.") from None


def _row(one: Listed) -> dict[str, Any]:
    tally = one.tally
    return {
        "number": one.number,
        "name": one.rule.name,
        "report_only": one.rule.report_only,
        "matches": _said(one.matching),
        "admits": _said(one.asking),
        "does": _said(one.doing),
        "hits": None if tally is None else {name: tally.outcomes[name] for name in dict.fromkeys(OUTCOMES.values())},
        "over_limit": None if tally is None else tally.over,
        "reasons": None if tally is None else dict(tally.reasons),
        "last_hit": None if tally is None or tally.last_at is None else rfc3339(tally.last_at),
    }


def _bar(bar: Bar) -> dict[str, Any]:
    counts = dict.fromkeys(OUTCOMES.values(), 0) | {part.result: part.attempts for part in bar.parts}
    return {"since": rfc3339(bar.start), "until": rfc3339(bar.end), **counts}


def _said(words: Sequence[Words]) -> list[dict[str, str]]:
    return [{"key": one.key, "value": one.text} for one in words]


def _shown(found: Explanation) -> dict[str, Any]:
    target = found.target
    return {
        "allowed": found.reason is None,
        "status": found.status,
        "reason": found.reason,
        "why": found.words,
        "caller": found.caller,
        "understood": None if target is None else f"{target.scheme}://{target.authority}{target.origin_form}",
        "rules": [{"rule": one.rule, "outcome": str(one.outcome), "why": one.words} for one in found.rules],
    }
