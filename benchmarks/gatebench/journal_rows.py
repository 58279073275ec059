"""A year of login attempts in the database, made by the database: for parts ``journal`` and ``panel``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import psycopg2

from gatebench.gate import Stores, stores
from gatebench.stage import Stage

USERS = 100_000
ADDRESSES = 100_000
COUNTRIES = ("DE", "FR", "US", "GB", "NL", "PL", "IT", "ES", "BR", "IN", "JP", "CN", "SE", "CH", "AT", "CZ", "CA", "AU")

_MONTHS = "SELECT login_logs_month(%s::timestamptz + n * interval '27 days') FROM generate_series(0, 14) AS n"
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = 'login_logs'::regclass AND NOT indisprimary
"""
_ROWS = """
INSERT INTO login_logs (id, time, email, user_id, result, reason, method, factor, address, country, region, city,
    latitude, longitude, accuracy_km, asn, as_org, user_agent, browser, browser_version, os, os_version, device_kind,
    device_id, fingerprint, session, signals, evidence, risk, action, request_id, latency_ms)
SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7' || left(chance, 3) || 'a'
        || substr(chance, 4, 15))::uuid, moment, 'user' || who || '@example.com',
    CASE WHEN result = 'failure' AND luck < 0.1 THEN NULL ELSE lpad(to_hex(who), 32, '0')::uuid END,
    result, CASE result WHEN 'success' THEN NULL WHEN 'blocked' THEN 'rate-limited' ELSE 'invalid-credentials' END,
    CASE WHEN who %% 9 = 0 THEN 'passkey' ELSE 'password' END, CASE WHEN who %% 4 = 0 THEN 'totp' END,
    ('10.0.0.0'::inet + whence), (%(countries)s)[1 + town %% %(number_of_countries)s],
    'Region ' || town %% 300, 'City ' || town, town * 37 %% 1300 / 10.0 - 60, town * 73 %% 3400 / 10.0 - 170, 20,
    64500 + whence %% 700, 'Network ' || whence %% 700,
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/' || 100 + who %% 40 || '.0 Safari',
    (ARRAY['Chrome', 'Safari', 'Firefox', 'Edge', 'Opera', 'curl'])[1 + floor(power(luck, 3) * 6)::int],
    (100 + who %% 40)::text, (ARRAY['Windows', 'iOS', 'Android', 'Mac OS X', 'Linux'])[1 + who %% 5], NULL,
    (ARRAY['desktop', 'phone', 'tablet', 'bot'])[1 + floor(power(luck, 2) * 4)::int], md5(who::text), md5(whence::text),
    CASE result WHEN 'success' THEN md5(moment::text || who) END,
    CASE WHEN luck > 0.98 THEN ARRAY[(ARRAY['new_device', 'new_country', 'odd_hour'])[1 + who %% 3]] ELSE '{}' END,
    CASE WHEN luck > 0.98 THEN '{"new_country": {"from": "FR", "to": "DE"}}'::jsonb END,
    CASE WHEN luck > 0.98 THEN 20 + who %% 70 END, CASE WHEN luck > 0.98 THEN 'notify' END,
    'bench', 10 + luck * 50
FROM (
    SELECT %(since)s::timestamptz + number * %(apart)s * interval '1 second' AS moment,
        floor(power(random(), 2) * %(users)s)::int AS who, floor(power(random(), 3) * %(addresses)s)::int AS whence,
        (ARRAY['success', 'success', 'success', 'success', 'failure', 'failure', 'blocked'])
            [1 + floor(random() * 7)::int] AS result,
        random() AS luck, md5(random()::text) AS chance
    FROM generate_series(%(first)s, %(last)s) AS number
) AS attempts, LATERAL (SELECT whence / 34 AS town) AS places
"""
_COUNTS = """
INSERT INTO login_counts (grain, bucket, result, reason, country, device, attempts)
SELECT grain, date_trunc(grain, time, 'UTC'), result, coalesce(reason, ''), coalesce(country, ''),
    coalesce(device_kind, ''), count(*)
FROM login_logs, unnest(ARRAY['minute', 'hour', 'day']) AS grain
WHERE grain <> 'minute' OR time > %s
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2
"""
_SHARES = """
INSERT INTO login_shares (grain, kind, bucket, result, value, attempts)
SELECT grain, kind, date_trunc(grain, time, 'UTC'), result, coalesce(value, ''), count(*)
FROM login_logs, unnest(ARRAY['hour', 'day']) AS grain,
    LATERAL (VALUES ('method', method), ('browser', browser), ('os', os)) AS part (kind, value)
WHERE grain <> 'hour' OR time > %s
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3
"""
_PLACES = """
CREATE TEMPORARY VIEW placed AS
SELECT login_place_id(country, city, latitude, longitude) AS id, attempts.* FROM (
    SELECT time, result, country, city, round(latitude::numeric, 1)::double precision AS latitude,
        round(longitude::numeric, 1)::double precision AS longitude
    FROM login_logs
) AS attempts;
INSERT INTO login_places SELECT DISTINCT id, country, city, latitude, longitude FROM placed;
INSERT INTO login_place_counts (grain, bucket, place, success, failure, blocked)
SELECT grain, date_trunc(grain, time, 'UTC'), id, count(*) FILTER (WHERE result = 'success'),
    count(*) FILTER (WHERE result = 'failure'), count(*) FILTER (WHERE result = 'blocked')
FROM placed, unnest(ARRAY['day', 'hour']) AS grain
WHERE grain <> 'hour' OR time > %s
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
DROP VIEW placed;
"""
_PORTION = 500_000
_ROWS_WANTED = 10_000_000
_A_QUICK_ONE = 200_000


@dataclass(frozen=True, slots=True)
class Year:
    """A filled database that runs: ``rows`` attempts in the year before ``until``."""

    folder: Path
    stores: Stores
    rows: int
    until: datetime


@contextlib.contextmanager
def filled_year(stage: Stage) -> Iterator[Year]:
    """Servers of the gate's own over a year of attempts, which the first part that asks for it has made."""
    from gatekeeper.clock import SystemClock, as_datetime
    from gatekeeper.store.migrate import migrate

    rows = _ROWS_WANTED if stage.bounds.rounds > 2 else _A_QUICK_ONE  # two are the quick ones
    folder, until = stage.year or (stage.place("year"), as_datetime(SystemClock.now()))
    with stores(folder) as held:
        if stage.year is None:
            asyncio.run(migrate(held.postgres))
            fill(held.postgres, rows, until)
            stage.year = (folder, until)
        yield Year(folder, held, rows, until)


def fill(dsn: str, rows: int, until: datetime) -> datetime:
    """``rows`` attempts in the year before ``until``; since when. Indexes and counts are made when they are there."""
    since = until - timedelta(days=365)
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
        cursor.execute(_MONTHS, (since,))
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        begun = perf_counter()
        params = {
            "since": since,
            "apart": 365 * 86_400 / rows,
            "users": USERS,
            "addresses": ADDRESSES,
            "countries": list(COUNTRIES),
            "number_of_countries": len(COUNTRIES),
        }
        for first in range(0, rows, _PORTION):
            cursor.execute(_ROWS, {**params, "first": first, "last": min(first + _PORTION, rows) - 1})
        print(f"  {rows:,} rows in {perf_counter() - begun:.0f} s", flush=True)
        for _, definition in indexes:
            cursor.execute(definition.replace(" ON ONLY ", " ON "))  # the partitions too
        for counts in (_COUNTS, _SHARES, _PLACES):
            cursor.execute(counts, (until - timedelta(days=14),))
        cursor.execute("VACUUM ANALYZE")
        print(f"  with indexes and counts after {perf_counter() - begun:.0f} s", flush=True)
    return since.astimezone(UTC)
