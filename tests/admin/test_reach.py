"""What the panel's pages weigh (issue 7, Reach): in gzip for whoever takes it, under 150 KB with all that they load."""

from __future__ import annotations

import gzip
import re

import aiohttp
import pytest
from panel_rows import COUNTS, LOGINS

PAGES = ("", "logins", "sessions", "users", "bans", "rules", "activity")
MOST = 150_000  # bytes


async def raw(gate, admin, path, accepts="gzip"):
    """An answer's header fields and its body as it came."""
    headers = {
        "Accept-Encoding": accepts,
        "Cookie": "; ".join(f"{name}={value}" for name, value in admin.cookies.items()),
    }
    async with (
        aiohttp.ClientSession(auto_decompress=False) as client,
        client.get(gate.url + path, headers=headers) as answer,
    ):
        assert answer.status == 200
        return answer.headers, await answer.read()


async def test_every_page_with_all_that_it_loads_is_small_at_first_load(gate, admin):
    await gate.rows(f"{LOGINS}; SELECT 1 AS one")
    await gate.rows(f"{COUNTS}; SELECT 1 AS one")
    for page in PAGES:
        headers, body = await raw(gate, admin, f"/_gate/admin/{page}")
        assert headers["Content-Encoding"] == "gzip"
        text = gzip.decompress(body).decode()
        loaded = [await raw(gate, admin, address) for address in set(re.findall(r'"(/_gate/static/[^"#]+)', text))]
        assert len(loaded) > 2
        assert len(body) + sum(len(one) for _, one in loaded) < MOST


@pytest.mark.parametrize("accepts", ["identity", "gzip;q=0", "br"])
async def test_whoever_does_not_take_gzip_gets_none(gate, admin, accepts):
    page_headers, page = await raw(gate, admin, "/_gate/admin/logins", accepts)
    (address,) = re.findall(r'"(/_gate/static/panel\.[^"]+css)"', page.decode())
    headers, sheet = await raw(gate, admin, address, accepts)
    assert "Content-Encoding" not in page_headers
    assert "Content-Encoding" not in headers
    assert headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress((await raw(gate, admin, address))[1]) == sheet


async def test_what_is_shown_once_is_not_compressed(gate, admin):
    """BREACH: the link of an invitation stands beside what was typed."""
    answer = await admin.submit("/_gate/admin/users/invite", {"email": "new@example.com"}, {"Accept-Encoding": "gzip"})
    assert answer.status == 200
    assert "Content-Encoding" not in answer.headers
