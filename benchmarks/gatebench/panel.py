"""Part `panel`: every page of the panel beside a year of ten million attempts, 100,000 accounts and as many sessions.

A gate of its own on one core, its stores on the other; what is timed is a whole answer, as a browser asks for it.
"""

from __future__ import annotations

import gzip
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlencode

from gatebench.gate import ACCOUNT, Gate, gate
from gatebench.journal_rows import COUNTRIES, Year, filled_year
from gatebench.panel_rows import SESSIONS, alive, make_admin, people
from gatebench.peers import bearer
from gatebench.processes import BenchError, cpu_seconds, rss
from gatebench.report import Goal, Part
from gatebench.stage import Stage

_TRIES = 10
_LOOKS = 40
#: Pages that ask for themselves again, and after how many seconds (admin/frontend/src/panel.js, data-every).
_KEPT_OPEN = {
    "overview, 24h": ("", 5),
    "overview, 7d": ("?range=7d", 5),
    "logins": ("logins", 5),
    "sessions": ("sessions", 5),
    "map, 30d": ("map?range=30d", 30),
}
_DOWNLOADED = 31  # days
_ASSET = re.compile(r'(?:href|src)="(/_gate/static/[^"#]+)["#]')
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Got:
    """An answer: milliseconds until its last byte, its bytes on the wire, its text."""

    ms: float
    size: int
    text: str


class Visitor:
    """An admin's browser, one connection a request; texts are counted as they come, compressed or not."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {**bearer(token), "Accept": "text/html", "Accept-Encoding": "gzip"}

    def get(self, path: str, *, live: bool = False) -> Got:
        """One answer; ``live`` as a page that asks for itself again. Raises BenchError unless it is 200 or a way on."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        begun = perf_counter()
        connection.request("GET", path, headers={**self._headers, **({"HX-Request": "true"} if live else {})})
        answer = connection.getresponse()
        said = answer.read()
        took = (perf_counter() - begun) * 1000
        connection.close()
        if answer.status not in {200, 303}:
            raise BenchError(f"{path} answered {answer.status}: {said[:200]!r}")
        text = gzip.decompress(said) if answer.headers.get("Content-Encoding") == "gzip" else said
        return Got(took, len(said), text.decode())

    def first_load(self, path: str) -> int:
        """Bytes on the wire of a page with all that it loads, for somebody who has nothing of it yet."""
        page = self.get(path)
        return page.size + sum(self.get(asset).size for asset in set(_ASSET.findall(page.text)))

    def download(self, path: str, worker: int) -> dict[str, float]:
        """Rows and seconds of a file, and MiB that the worker grew by between its first and its last tenth."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        begun, lines, sizes = perf_counter(), 0, []
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        while portion := answer.read(_MIB):
            lines += portion.count(b"\n")
            sizes.append(rss(worker))
        connection.close()
        tenth = max(1, len(sizes) // 10)
        grown = (max(sizes[-tenth:]) - max(sizes[:tenth])) / _MIB
        return {"rows": lines, "seconds": perf_counter() - begun, "grown_mib": grown}


def panel(stage: Stage) -> Part:
    """Fill, start, look at every page, download, keep a page open."""
    with filled_year(stage) as filled:
        people(filled.stores)
        settings: dict[str, Any] = {"mfa": {"require_for_roles": []}, "timeouts": {"idle": "75s"}}
        with gate(stage.place("panel"), filled.stores, stage.upstreams, **settings) as running:
            running.call("/_gate/auth/register", ACCOUNT)
            make_admin(filled.stores, ACCOUNT["email"])
            token = running.sign_in(1)[0]
            alive(filled.stores, running, token)
            return measured(running, Visitor(running.port, token), filled)


def measured(running: Gate, visitor: Visitor, filled: Year) -> Part:
    """Over filled stores."""
    part = Part(
        f"Panel beside {filled.rows:,} attempts, 100,000 accounts, {SESSIONS:,} sessions",
        ["page", "first ms", "median ms", "worst ms", "KB at first load"],
    )
    times, sizes = {}, {}
    for name, paths in pages(visitor, filled.until).items():
        got = [visitor.get(path).ms for path in paths]
        times[name], sizes[name] = got, visitor.first_load(paths[0]) / 1000
        part.row(name, f"{got[0]:.0f}", f"{median(got):.0f}", f"{max(got):.0f}", f"{sizes[name]:.0f}")
    live = _kept_open(running, visitor, filled)
    since = {"since": f"{filled.until - timedelta(days=_DOWNLOADED):%Y-%m-%dT%H:%M}Z"}
    files = {kind: visitor.download(_address(f"logins.{kind}", since), running.workers[0]) for kind in ("csv", "jsonl")}
    part.notes = [
        f"{_TRIES} answers each, every one with other values where there are any; the first finds nothing warm."
    ]
    part.notes.append(
        "Kept open, in % of a core of the gate and of the stores: "
        + "; ".join(f"{page} {one['gate']:.2f} and {one['stores']:.2f}" for page, one in live.items())
        + f"; {_LOOKS} looks each, one every 5 s, at the map every 30 s."
    )
    part.notes += [
        f"{kind} of a month: {one['rows']:,} rows in {one['seconds']:.0f} s; the worker grew by"
        f" {one['grown_mib']:.1f} MiB between the first and the last tenth."
        for kind, one in files.items()
    ]
    part.data = {"ms": times, "kb": sizes, "live_percent": live, "files": files}
    part.goals = [
        Goal("panel, slowest answer of a page", max(map(max, times.values())), "<=", 300, " ms"),
        Goal("panel, largest page at first load", max(sizes.values()), "<=", 150, " KB"),
        Goal(
            "panel, share of a core for a page that is kept open",
            max(sum(one.values()) for one in live.values()),
            "<=",
            1,
            " %",
        ),
        Goal("panel, a download's memory", max(one["grown_mib"] for one in files.values()), "<=", 8, " MiB"),
    ]
    return part


def pages(visitor: Visitor, until: datetime) -> dict[str, list[str]]:
    """Addresses by what they show."""
    deep = f"{until.timestamp() - 200 * 86_400:.6f}_{'0' * 12}70008000{'0' * 12}"

    def many(path: str, *queries: Mapping[str, object]) -> list[str]:
        asked = queries or ({},)
        return [_address(path, asked[n % len(asked)]) for n in range(_TRIES)]

    attempts = re.findall(r'href="(/_gate/admin/logins/[0-9a-f-]{36})"', visitor.get("/_gate/admin/logins").text)
    user, numbers = "/_gate/admin/users/{:08x}-0000-0000-0000-{:012x}", range(_TRIES)
    return {
        **{f"overview, {span}": many("", {"range": span}) for span in ("24h", "7d", "30d")},
        "logins": many("logins"),
        "logins, deep in the year": many("logins", {"after": deep}),
        "logins of an e-mail": many("logins", *({"user": f"user{n * 911}@example.com"} for n in numbers)),
        "logins of a network": many("logins", *({"address": f"10.0.{n}.0/24"} for n in numbers)),
        "logins by country and result": many(
            "logins", *({"country": COUNTRIES[n], "result": "failure", "range": "30d"} for n in numbers)
        ),
        "logins by signal": many("logins", *({"signal": one} for one in ("new_device", "new_country", "odd_hour"))),
        "logins by method and device": many(
            "logins", *({"method": "passkey", "device": one} for one in ("phone", "bot"))
        ),
        "an attempt": [attempts[n % len(attempts)] for n in numbers],
        **{f"map, {span}": many("map", {"range": span}) for span in ("24h", "7d", "30d")},
        "map of a country's failures": many("map", *({"country": one, "result": "failure"} for one in COUNTRIES)),
        "map of an account": many("map", *({"user": f"user{n * 911}@example.com"} for n in numbers)),
        "sessions": many("sessions"),
        "sessions of an e-mail": many("sessions", *({"user": f"user{n * 911}@example.com"} for n in numbers)),
        "sessions by a part of an e-mail": many("sessions", {"user": "r9999"}, {"user": "nobody"}, {"user": "user"}),
        "sessions of a network": many("sessions", *({"address": f"10.0.{n}.0/24"} for n in numbers)),
        "sessions of a country": many("sessions", *({"country": one} for one in COUNTRIES[:_TRIES])),
        "a session": [f"/_gate/admin/sessions/{1 + n * 997:024d}" for n in numbers],
        "how many sessions would end": many("sessions/end", {"user": "user"}, {"country": "DE"}, {"user": "r99"}),
        "users": many("users"),
        "users by a part of name or e-mail": many(
            "users", *({"text": text} for text in ("user4711", "berger", "r9999", "99@ex", "nobody", "a", "dubois"))
        ),
        "users by role and state": many("users", {"role": "auditor"}, {"role": "none"}, {"state": "locked"}),
        "a user": [user.format(0, n * 911) for n in numbers],
        "search": many("search", *({"q": f"user{n * 911}@example.com"} for n in numbers), {"q": "nobody at all"}),
        "bans": many("bans"),
        "rules": many("rules", {}, {"url": "/x", "user": "user1@example.com"}),
        "signing keys": many("keys"),
        "configuration": many("config"),
        "activity": many("activity"),
        "activity of a person": many("activity", *({"actor": f"user{n * 5}@example.com"} for n in numbers)),
        "activity by action": many("activity", {"action": "user."}, {"action": "ban.add"}, {"action": "nothing"}),
        "activity on a person": many("activity", *({"subject": f"user{n * 911}@example.com"} for n in numbers)),
    }


def _address(path: str, query: Mapping[str, object]) -> str:
    return f"/_gate/admin/{quote(path)}" + (f"?{urlencode(query)}" if query else "")


def _kept_open(running: Gate, visitor: Visitor, filled: Year) -> dict[str, dict[str, float]]:
    """Percent of a core that each of ``_KEPT_OPEN`` costs the gate and the stores."""
    held = [*filled.stores.pids("postgres"), *filled.stores.pids("valkey")]
    found = {}
    for name, (path, every) in _KEPT_OPEN.items():
        visitor.get(f"/_gate/admin/{path}", live=True)
        before = cpu_seconds(running.workers), cpu_seconds(held)
        for _ in range(_LOOKS):
            visitor.get(f"/_gate/admin/{path}", live=True)
        spent = cpu_seconds(running.workers) - before[0], cpu_seconds(held) - before[1]
        found[name] = {"gate": 100 * spent[0] / (_LOOKS * every), "stores": 100 * spent[1] / (_LOOKS * every)}
    return found
