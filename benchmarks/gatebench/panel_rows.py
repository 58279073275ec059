"""Accounts, living sessions, bans and changes beside a year of attempts: for part ``panel``."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg2
import redis as redis_py

from gatebench.gate import Gate, Stores
from gatebench.journal_rows import ADDRESSES, COUNTRIES, USERS

SESSIONS = 100_000
CHANGES = 200_000
BANS = 10_000
_PORTION = 2_000
_LIFE_MS = 6 * 3600 * 1000

_FIRST = [
    "Ada",
    "Bela",
    "Carla",
    "Dora",
    "Emil",
    "Fred",
    "Gita",
    "Hugo",
    "Ida",
    "Jan",
    "Karl",
    "Lena",
    "Mia",
    "Noor",
    "Olga",
    "Paul",
    "Rosa",
    "Sven",
    "Tara",
    "Uwe",
]
_LAST = [
    "Adler",
    "Berger",
    "Conti",
    "Dubois",
    "Ek",
    "Fischer",
    "Garcia",
    "Huber",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lopez",
    "Meier",
    "Novak",
    "Olsen",
]

_PEOPLE = f"""
INSERT INTO users (id, email, email_verified, name, roles, locked, epoch_raised_at, created_at, updated_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'user' || n || '@example.com', n %% 3 > 0,
    (%(first)s)[1 + n %% {len(_FIRST)}] || ' ' || (%(last)s)[1 + n / 7 %% {len(_LAST)}],
    CASE WHEN n %% 5 = 0 THEN ARRAY['staff'] WHEN n %% 997 = 0 THEN ARRAY['auditor'] ELSE '{{}}' END, n %% 1000 = 7,
    moment, moment, moment
FROM (SELECT n, now() - n * interval '5 minutes' AS moment FROM generate_series(0, {USERS - 1}) AS n) AS people
ON CONFLICT DO NOTHING;
INSERT INTO totp_secrets (user_id, sealed, confirmed_at)
SELECT id, '\\x00', created_at FROM users WHERE 'staff' = ANY (roles) ON CONFLICT DO NOTHING;
INSERT INTO sessions (id, user_id, started_at, expires_at, address, country, user_agent, amr)
SELECT lpad(n::text, 24, '0'), lpad(to_hex(n %% {USERS}), 32, '0')::uuid, now() - n * interval '5 seconds',
    now() + interval '30 days', '10.0.0.0'::inet + n %% {ADDRESSES},
    (%(countries)s)[1 + n %% {len(COUNTRIES)}],
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36', ARRAY['pwd']
FROM generate_series(1, {SESSIONS}) AS n;
INSERT INTO sessions (id, user_id, started_at, expires_at, ended_at, end_reason, address, country, user_agent, amr)
SELECT 'ended' || id, user_id, started_at - interval '90 days', expires_at - interval '90 days',
    started_at - interval '80 days', 'logout', address, country, user_agent, amr
FROM sessions WHERE ended_at IS NULL;
INSERT INTO audit_log (time, actor, action, subject, before, after, address, request_id)
SELECT now() - ({CHANGES} - n) * interval '2 minutes', lpad(to_hex(n * 5 %% 500), 32, '0')::uuid::text,
    (ARRAY['user.roles', 'user.lock', 'ban.add', 'session.end'])[1 + n %% 4],
    lpad(to_hex(n %% {USERS}), 32, '0')::uuid::text, '{{"roles": []}}', '{{"roles": ["staff"]}}', '10.0.0.1', 'bench'
FROM generate_series(1, {CHANGES}) AS n;
INSERT INTO bans (kind, subject, network, source, reason, actor, since, until, version)
SELECT 'network', host(address), address, 'failures', 'wrong passwords', 'gate', now(), now() + interval '1 day', 1
FROM (SELECT '172.16.0.0'::inet + n AS address FROM generate_series(1, {BANS}) AS n) AS addresses;
UPDATE bans_version SET version = 1;
"""

# Copies of one real session in Redis, each with an owner of its own. KEYS[1] the real one; ARGV: first and last number,
# its key with SID in the place of the name, how many owners there are, life in ms.
_COPY = """
local like = redis.call('HGETALL', KEYS[1])
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local key = string.gsub(ARGV[3], 'SID', string.format('%024d', number))
  local owner = string.format('%032x', number % tonumber(ARGV[4]))
  redis.call('HSET', key, unpack(like))
  redis.call('HSET', key, 'uid', string.format('%s-%s-%s-%s-%s', owner:sub(1, 8), owner:sub(9, 12), owner:sub(13, 16),
    owner:sub(17, 20), owner:sub(21)))
  redis.call('PEXPIRE', key, ARGV[5])
end
return redis.call('DBSIZE')
"""


def people(held: Stores) -> None:
    """All that PostgreSQL has; before the gate starts, which then reads the bans at once."""
    with contextlib.closing(psycopg2.connect(held.postgres)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(_PEOPLE, {"first": _FIRST, "last": _LAST, "countries": list(COUNTRIES)})
        cursor.execute("VACUUM ANALYZE users, sessions, audit_log, bans, totp_secrets")


def make_admin(held: Stores, email: str) -> None:
    """Of an account that is there; in force with its next login."""
    with contextlib.closing(psycopg2.connect(held.postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE users SET roles = '{admin}', version = version + 1 WHERE email = %s", (email,))


def alive(held: Stores, running: Gate, token: str) -> None:
    """The sessions in Redis too."""
    from gatekeeper.store.live_records import session_key

    _, answer = running.call("/_gate/auth/session", token=token)
    like: Any = answer["session_id"]
    with redis_py.Redis.from_url(held.redis, socket_timeout=60) as client:
        script = client.register_script(_COPY)
        for first in range(1, SESSIONS + 1, _PORTION):
            last = min(first + _PORTION - 1, SESSIONS)
            script(keys=[session_key(like)], args=[first, last, session_key("SID"), USERS, _LIFE_MS])
