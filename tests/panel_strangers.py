"""Accounts, logins, bans and databases full of what is markup to whoever does not escape it. Used in tests/e2e."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from factories import PASSWORD
from forms import Browser
from gates import bearer
from panel_admin import ADMIN
from panel_crawl import HOME
from panel_rows import COUNTS

_RAW: Final = "/<>\"'(){}=;"  # what tools put into paths as it is
#: Every column whose words come from outside: from clients, and from databases of places and networks.
_POISON: Final = """
UPDATE login_logs SET city = email, region = email, as_org = email, browser = email, browser_version = email,
  os = email, os_version = email, method = email, factor = email, device_id = email, fingerprint = email,
  request_id = email, signals = ARRAY[email], evidence = jsonb_build_object(email, email, 'new_device',
  jsonb_build_object('device', email)), latitude = 47.4, longitude = 8.5 WHERE user_agent = email
"""
_USERS: Final = """
UPDATE users SET email = replace(email, '@', '<img src=x onerror=pwned()>@'), roles = ARRAY['<img/src=x>']
WHERE email LIKE 'user1_@example.com'
"""
_SESSIONS: Final = """
UPDATE sessions SET country = '<b', amr = ARRAY['<svg/onload=pwned()>']
WHERE user_agent = ANY (SELECT email FROM login_logs)
"""


async def poisoned(gate: Any, texts: list[str]) -> None:
    """By all ways in. The first admin, ``panel_admin.ADMIN``, is made by the setup link and has no second factor."""
    await _typed(gate, texts)
    await _done(gate, texts)
    for sql in (_POISON, _USERS, _SESSIONS, COUNTS):
        await gate.rows(f"{sql}; SELECT 1 AS one")


async def _typed(gate: Any, texts: list[str]) -> None:
    """Through the doors that everybody has: what is typed at a login, names of accounts, user agents."""
    for number, text in enumerate(texts):
        agent = {"User-Agent": text} if text.isascii() else {}
        await gate.post("login", {"email": text, "password": "wrong"}, headers=agent)
        email = f"user{number}@example.com"
        answer = await gate.post("register", {"email": email, "password": PASSWORD, "name": text})
        assert answer.status == 201, text
        answer = await gate.post("login", {"email": email, "password": PASSWORD}, headers=agent)
        tokens = bearer(await answer.json())
        answer = await gate.post("api-keys", {"name": text[:60], "scopes": ["/**"]}, headers=tokens)
        assert answer.status == 201, text
        await gate.call("GET", "/" + quote(text, safe=_RAW), headers={**tokens, **agent})


async def _done(gate: Any, texts: list[str]) -> None:
    """By an admin who writes down what they were told."""
    root = Browser(gate)
    await root.submit(f"/_gate/setup/{gate.setup_token}", {"email": ADMIN, "password": PASSWORD})
    users = await gate.rows("SELECT id, name FROM users WHERE name IS NOT NULL")
    for number, text in enumerate(texts):
        fields = {"subject": f"198.51.100.{number}", "why": text}
        assert (await root.submit(f"{HOME}/bans", fields)).status == 303
        user = next(one["id"] for one in users if one["name"] == text)
        if number < 10:
            assert (await root.submit(f"{HOME}/users/{user}/lock", {"why": text})).status == 303
    await root.submit(f"{HOME}/bans", {"subject": f"agent:{texts[0]}*", "why": "a tool"})
