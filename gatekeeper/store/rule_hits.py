"""How often each rule decided, in PostgreSQL. Implements ``observe.rule_hits.HitStore`` and ``HitReader``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gatekeeper.clock import as_datetime
from gatekeeper.observe.rule_hits import Hits, HourHits, Ruling
from gatekeeper.store.postgres import Postgres

# In the order of the key, so that two workers never wait for each other's rows.
_ADD: Final = """
INSERT INTO rule_hits (rule, hour, reported, verdict, reason, hits, last_at)
SELECT rule, date_trunc('hour', %(now)s::timestamptz, 'UTC'), reported, verdict, reason, hits, %(now)s
FROM unnest(%(rules)s::text[], %(reported)s::boolean[], %(verdicts)s::text[], %(reasons)s::text[], %(hits)s::bigint[])
     AS counted (rule, reported, verdict, reason, hits)
ORDER BY rule, reported, verdict, reason
ON CONFLICT (rule, hour, reported, verdict, reason) DO UPDATE
SET hits = rule_hits.hits + EXCLUDED.hits, last_at = greatest(rule_hits.last_at, EXCLUDED.last_at)
"""


class PostgresRuleHits:
    """Each method is one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, hits: Mapping[Ruling, int], now: float) -> None:
        rulings = sorted(hits)
        columns = {
            "now": as_datetime(now),
            "rules": [one.rule for one in rulings],
            "reported": [one.reported for one in rulings],
            "verdicts": [one.verdict for one in rulings],
            "reasons": [one.reason for one in rulings],
            "hits": [hits[one] for one in rulings],
        }
        await self._postgres.execute(_ADD, columns)

    async def forget(self, before: float) -> None:
        await self._postgres.execute("DELETE FROM rule_hits WHERE hour < %s", (as_datetime(before),))

    async def totals(self, rules: Sequence[str], since: float) -> list[Hits]:
        rows = await self._postgres.fetch(
            "SELECT rule, reported, verdict, reason, max(last_at) AS last_at, coalesce(sum(hits) FILTER"
            " (WHERE hour >= date_trunc('hour', %s::timestamptz, 'UTC')), 0)::bigint AS hits FROM rule_hits"
            " WHERE rule = ANY (%s) GROUP BY rule, reported, verdict, reason ORDER BY 1, 2, 3, 4",
            (as_datetime(since), list(rules)),
        )
        return [Hits(_ruling(row), row["hits"], row["last_at"].timestamp()) for row in rows]

    async def hours(self, rule: str, since: float) -> list[HourHits]:
        rows = await self._postgres.fetch(
            "SELECT rule, reported, verdict, reason, hour, hits FROM rule_hits"
            " WHERE rule = %s AND hour >= date_trunc('hour', %s::timestamptz, 'UTC') ORDER BY hour",
            (rule, as_datetime(since)),
        )
        return [HourHits(row["hour"].timestamp(), _ruling(row), row["hits"]) for row in rows]


def _ruling(row: dict[str, Any]) -> Ruling:
    return Ruling(row["rule"], row["reported"], row["verdict"], row["reason"])
