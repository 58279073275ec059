"""Part `growth`: a gate with a million of everything against an empty one with ten rules.

A new kind of entry in Redis is one more function in ``FILLS``: it fills the store and says what it put there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from time import monotonic, perf_counter, sleep
from typing import Any

import psycopg2
import redis as redis_py

from gatebench.gate import Gate, gate, rules, stores
from gatebench.load import Measured, interleaved
from gatebench.processes import BenchError, cpu_seconds, rss
from gatebench.report import Goal, Part
from gatebench.stage import SESSIONS, Stage

_PORTION = 5_000
_LIFE_MS = 6 * 3600 * 1000
_MIB = 1 << 20
_LONGEST_LOAD = 180.0  # seconds in which a worker takes the bans in
_QUIET = 2.0  # seconds without work that say it has
_IDLE = 0.05  # share of a core that a worker without requests may use
_LEAST_A_BAN = 4  # bytes that its memory grows by for each

# Copies of one real session under other names, each with a blacklisted token of its own.
_COPY = """
local dump = redis.call('DUMP', KEYS[1])
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local sid = string.format('%024d', number)
  if ARGV[4] == 'sessions' then
    redis.call('RESTORE', (string.gsub(ARGV[3], 'SID', sid)), ARGV[5], dump)
  else
    redis.call('SET', (string.gsub(ARGV[3], 'SID', sid)), 1, 'PX', ARGV[5])
  end
end
return redis.call('DBSIZE')
"""


def _copies(client: Any, like: str, name: str, kind: str, count: int) -> None:
    script = client.register_script(_COPY)
    for first in range(1, count + 1, _PORTION):
        script(keys=[like], args=[first, min(first + _PORTION - 1, count), name, kind, _LIFE_MS])


def _sessions(client: Any, real: str, count: int) -> str:
    from gatekeeper.store.live_records import session_key

    _copies(client, session_key(real), session_key("SID"), "sessions", count)
    return f"{count:,} sessions"


def _blacklist(client: Any, real: str, count: int) -> str:
    from gatekeeper.store.live_records import blacklist_key, session_key

    _copies(client, session_key(real), blacklist_key("SID", "x" * 16), "blacklisted", count)
    return f"{count:,} blacklisted tokens"


_BANS = """
INSERT INTO bans (kind, subject, network, source, actor, since, until, version)
SELECT 'network', host(address), address, 'import', 'benchmark', now(), now() + interval '1 day', 1
FROM (SELECT '10.0.0.0'::inet + number AS address FROM generate_series(1, %s) AS number) AS addresses;
UPDATE bans_version SET version = 1;
"""


def _bans(url: str, full: Gate, count: int) -> str:
    """Bans of single addresses; back when the worker has taken them all in, which it does in pieces."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_BANS, (count,))
    before, give_up = rss(full.workers[0]), monotonic() + _LONGEST_LOAD
    while monotonic() < give_up:
        spent = cpu_seconds(full.workers)
        sleep(_QUIET)
        grown = rss(full.workers[0]) - before
        if cpu_seconds(full.workers) - spent < _IDLE * _QUIET and grown > count * _LEAST_A_BAN:
            return f"{count:,} bans"
    raise BenchError(f"the bans were not taken in within {_LONGEST_LOAD:g} s")


Fill = Callable[[Any, str, int], str]
FILLS: tuple[Fill, ...] = (_sessions, _blacklist)


def growth(stage: Stage) -> Part:
    """Both gates on the same core, in turn, each over stores of its own."""
    bounds = stage.bounds
    small, big = stage.place("small"), stage.place("big")
    with (
        stores(small / "stores") as few,
        stores(big / "stores") as many,
        gate(small / "gate", few, stage.upstreams) as little,
        gate(big / "gate", many, stage.upstreams, rules=rules(1000)) as large,
    ):
        tokens = {"empty": little.sign_in(SESSIONS), "full": large.sign_in(SESSIONS)}
        for one in (few, many):
            _without_rewrites(one.redis)
        filled = _fill(many.redis, large, tokens["full"][0], bounds.entries)
        filled.append(_bans(many.postgres, large, bounds.entries))
        systems = [little.system("empty", tokens["empty"]), large.system("full", tokens["full"])]
        interleaved(systems, rounds=1, seconds=bounds.warm, folder=stage.folder)
        found = interleaved(systems, rounds=bounds.rounds, seconds=bounds.seconds, folder=stage.folder)
        memory = {
            "empty": (rss(little.workers[0]), sum(map(rss, few.pids("valkey")))),
            "full": (rss(large.workers[0]), sum(map(rss, many.pids("valkey")))),
        }
    return _told(found, memory, [*filled, "1,000 rules"])


def _without_rewrites(url: str) -> None:
    """No append-only file of Valkey's: its rewriting after the fill would disturb whoever is measured then."""
    with redis_py.Redis.from_url(url) as client:
        client.config_set("appendonly", "no")


def _fill(url: str, full: Gate, token: str, count: int) -> list[str]:
    status, sessions = full.call("/_gate/auth/sessions", token=token)
    listed = sessions if isinstance(sessions, list) else sessions.get("sessions", sessions)
    real = listed[0]["id"]
    begun = perf_counter()
    with redis_py.Redis.from_url(url, socket_timeout=60) as client:
        told = [fill(client, real, count) for fill in FILLS]
    print(f"  filled in {perf_counter() - begun:.0f} s (status {status})", flush=True)
    return told


def _told(found: dict[str, Measured], memory: dict[str, tuple[int, int]], filled: list[str]) -> Part:
    part = Part(
        f"Growth: {', '.join(filled)}, against an empty gate with 10 rules",
        ["gate", "req/s", "CPU us/request", "cost, of the empty one's", "worker MiB", "Valkey MiB"],
        data={"rounds": {name: one.as_data() for name, one in found.items()}, "memory": memory, "filled": filled},
    )
    cost = found["full"].ratio(found["empty"], "cpu_us")
    for name, one in found.items():
        share = "1.00x" if name == "empty" else "-" if cost is None else f"{cost:.2f}x"
        worker, valkey = (f"{size / _MIB:.0f}" for size in memory[name])
        part.row(name, f"{one.median('per_second'):,.0f}", f"{one.median('cpu_us'):.0f}", share, worker, valkey)
        part.notes += [one.why_not] if one.why_not else []
    part.goals = [Goal("growth, cost a request", cost, "<=", 1.15, "x")]
    return part
