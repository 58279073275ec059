"""A walk through the panel: where it begins, what was seen on it, and what was left out. Used in tests/e2e."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from gates import RunningGate
from panel_acts import Doer, nothing, offers
from panel_admin import ADMIN, Admin
from panel_crawl import HOME, Crawl, intruders, readable

WALKER, AUDITOR = "walker@example.com", "audit@example.com"
EVE: Final = "eve@example.com"  # somebody with a password, whom each gate to walk in has
#: Settings of a gate to walk in; those who have two factors are asked for them all the same.
SETTINGS: Final[dict[str, Any]] = {
    "rules": [
        {"name": "trial", "path": "/reports/**", "allow": {"roles": ["staff"]}, "report_only": True},
        {"name": "staff", "path": "/staff/**", "allow": {"roles": ["staff"]}},
        {"name": "api", "path": "/**", "allow": "authenticated"},
    ],
    "mfa": {"require_for_roles": []},
    "limits": dict.fromkeys(("login_per_ip", "register_per_ip"), "1000/minute"),
}
#: Pages that no link leads to, but a form that asks; ``{}`` is somebody who is in.
_ASKED: Final = [
    "",
    "sessions?user={}",
    "sessions/end?user={}",
    "users?text={}",
    "users/bulk?act=unlock&state=active",
    "bans?order=ends",
    "bans?subject=192.0.2.77",
    "rules?url=/reports/1&user={}",
    f"search?q={EVE}",
    "mail?state=given-up",
]
#: Files, and what leads elsewhere at once.
_LISTS: Final = ("logins", "users", "bans", "bans/ended")
_NO_PAGES: Final = {"", *(f"{name}.{kind}" for name in _LISTS for kind in ("csv", "jsonl")), "search", "rules/check"}
#: A message that waits and one that was given up, with tries left.
_MAIL: Final = """
INSERT INTO outbox (id, channel, kind, address, recipient, sealed, created_at, due_at, until, given_up_at, fault)
SELECT gen_random_uuid(), 'smtp', 'new-sign-in', '', 'e…@example.com', 'x', at, at, at + interval '1 day', given_up,
  '451 try again later'
FROM (VALUES (NULL), (now())) AS mail (given_up), (VALUES (to_timestamp({at}))) AS moment (at) RETURNING 1
"""


@dataclass
class Walk:
    """Who has walked, by which pages (kind: address), what these offer to do (by address), and what was to be read."""

    admin: Admin
    seen: dict[str, str] = field(default_factory=dict)
    offered: dict[str, set[str]] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    intruders: list[str] = field(default_factory=list)

    async def go(self, *, brief: bool, see: Callable[[str], Awaitable[None]] = nothing) -> None:
        """Everywhere; ``see`` is called on each page with its kind."""

        async def look(kind: str) -> None:
            if kinds := await offers(self.admin):
                self.offered[self.seen[kind]] = kinds
            self.intruders += await intruders(self.admin.page)
            self.shown.append(await readable(self.admin.page))
            await see(kind)

        crawl = Crawl(self.admin.page, look, brief=brief)
        self.seen = crawl.seen
        gate = self.admin.gate
        await gate.rows(_MAIL.format(at=gate.clock.now() + 86_400))
        starts = await _starts(gate)
        await self.admin.goes(f"{HOME}/")
        await crawl.go(*starts)

    def missed(self) -> set[str]:
        """The pages that it did not come by."""
        return _left_out(_routes(self.admin.gate, "GET") - _NO_PAGES, self.seen)

    async def does_everything(self, doer: Doer, *, but: Collection[str] = ()) -> None:
        """All that the panel has a form for; ``but`` what there is nothing to do it to."""

        def left() -> set[str]:
            return _left_out(_routes(self.admin.gate, "POST").difference(but), doer.done)

        await doer.everything(self.offered, left)
        assert not left(), f"nowhere to be done: {left()}"


async def _starts(gate: RunningGate) -> list[str]:
    """Where a walk begins; what is done there is done to none of those who walk."""
    staff = f"u.email NOT IN ('{ADMIN}', '{AUDITOR}') AND u.email NOT LIKE 'walker%'"
    (user,) = await gate.rows(
        "SELECT u.email, u.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE ended_at IS NULL"
        f" AND {staff} GROUP BY u.id ORDER BY count(*) DESC, u.email LIMIT 1"
    )
    (attempt,) = await gate.rows(
        "SELECT l.id FROM login_logs l JOIN users u ON u.id = l.user_id WHERE result = 'success'"
        f" AND fingerprint IS NOT NULL AND {staff} AND u.email <> '{user['email']}'"
        " ORDER BY u.id IN (SELECT user_id FROM totp_secrets WHERE sealed IS NOT NULL) DESC, time DESC LIMIT 1"
    )
    asked = [one.replace("{}", quote(user["email"], safe="")) for one in _ASKED]
    devices = f"users/{user['id']}/devices"
    return [f"{HOME}/{one}" for one in (f"logins/{attempt['id']}", *asked, devices)]


def _routes(gate: RunningGate, method: str) -> set[str]:
    """The panel's own, without those of programs."""
    routes = gate.gatekeeper.app.router.routes()
    paths = {route.resource.canonical for route in routes if route.method == method and route.resource}
    own = {re.sub(r"\{[^}]*\}", "{}", one.removeprefix(f"{HOME}/")) for one in paths if one.startswith(f"{HOME}/")}
    return {one for one in own if not one.startswith("api/")}


def _left_out(routes: set[str], walked: Iterable[str]) -> set[str]:
    paths = {kind.partition("?")[0] for kind in walked}
    patterns = {route: re.escape(route).replace(r"\{\}", "[^/]+") for route in routes}
    return {route for route, pattern in patterns.items() if not any(re.fullmatch(pattern, path) for path in paths)}
