"""Rows for the panel's tests: a month of logins by many, some of them under attack."""

from __future__ import annotations

from typing import Any

LOGINS = """
INSERT INTO login_logs (id, time, email, user_id, result, reason, method, address, country, city, latitude, longitude,
  as_org, user_agent, browser, os, device_kind, signals, evidence, risk, request_id, latency_ms)
SELECT gen_random_uuid(), timestamptz '2027-01-15 08:00:00+00' - n * interval '7 minutes',
  'person' || n % 17 || '@example.com',
  NULL, (ARRAY['success','success','success','failure','blocked'])[1 + n % 5],
  (ARRAY[NULL,NULL,NULL,'invalid-credentials','rate-limited'])[1 + n % 5],
  (ARRAY['password','passkey','otp'])[1 + n % 3],
  ('198.51.100.' || n % 23)::inet, (ARRAY['CH','DE','FR','US','JP'])[1 + n % 5],
  (ARRAY['Zürich','Berlin','Paris','Boston','Tokyo'])[1 + n % 5],
  (ARRAY[47.4,52.5,48.9,42.4,35.7])[1 + n % 5], (ARRAY[8.5,13.4,2.4,-71.1,139.7])[1 + n % 5], 'Example Networks',
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  (ARRAY['Chrome','Firefox','Safari'])[1 + n % 3], (ARRAY['Linux','Windows','iOS'])[1 + n % 3],
  (ARRAY['desktop','phone','tablet'])[1 + n % 3],
  CASE WHEN n % 31 = 0 THEN ARRAY['new_country'] ELSE '{}' END,
  CASE WHEN n % 31 = 0 THEN '{"new_country": {"country": "JP", "known": ["CH", "DE"]}}'::jsonb END,
  CASE WHEN n % 31 = 0 THEN 45 END, 'r' || n, 12.5
FROM generate_series(1, 600) n
"""
COUNTS = """
INSERT INTO login_counts (grain, bucket, result, reason, country, device, attempts)
SELECT grain, date_trunc(grain, time, 'UTC'), result, coalesce(reason, ''), coalesce(country, ''),
  coalesce(device_kind, ''), count(*)
FROM login_logs, unnest(ARRAY['minute', 'hour', 'day']) AS grain GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO NOTHING;
INSERT INTO login_shares (grain, kind, bucket, result, value, attempts)
SELECT grain, kind, date_trunc(grain, time, 'UTC'), result, coalesce(value, ''), count(*)
FROM login_logs, unnest(ARRAY['hour', 'day']) AS grain,
  LATERAL (VALUES ('method', method), ('browser', browser), ('os', os)) AS part (kind, value)
GROUP BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING
"""
PLACES = """
INSERT INTO login_places
SELECT DISTINCT login_place_id(country, city, latitude, longitude), country, city, latitude, longitude FROM login_logs
WHERE latitude IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO login_place_counts (grain, bucket, place, success, failure, blocked)
SELECT grain, date_trunc(grain, time, 'UTC'), login_place_id(country, city, latitude, longitude),
  count(*) FILTER (WHERE result = 'success'), count(*) FILTER (WHERE result = 'failure'),
  count(*) FILTER (WHERE result = 'blocked')
FROM login_logs, unnest(ARRAY['hour', 'day']) AS grain WHERE latitude IS NOT NULL GROUP BY 1, 2, 3
ON CONFLICT DO NOTHING
"""


async def fill(gate: Any) -> None:
    """The logins, and what is counted of them."""
    for sql in (LOGINS, COUNTS, PLACES):
        await gate.rows(f"{sql}; SELECT 1 AS one")
