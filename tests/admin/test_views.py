"""What the panel shows: the last logins and the sessions that live (security 22)."""

import json
import re

import pytest
from factories import NOW, PASSWORD
from forms import Browser, text_of
from gates import bearer

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
PAGES = ["/_gate/admin/", "/_gate/admin/logins", "/_gate/admin/sessions"]


async def _listed(admin, name):
    answer = await admin.get(f"/_gate/admin/api/{name}")
    assert answer.status == 200
    assert "no-store" in answer.headers["Cache-Control"]
    return json.loads(await answer.text())[name]


@pytest.mark.parametrize("path", PAGES)
async def test_the_pages_have_the_headers_of_the_gates_own_pages(admin, path):
    """security 22: strict CSP without inline"""
    answer = await admin.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; img-src 'self' data:")
    assert answer.headers["Cache-Control"] == "no-store"
    for address in re.findall(r'(?:href|src)="(/_gate/static/[^"]+)"', await answer.text()):
        assert (await admin.get(address)).status == 200


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_says_where_one_is_and_who(admin, path):
    page = await (await admin.get(path)).text()
    assert set(re.findall(r'<a href="([^"]+)" aria-current="page"', page)) == {path}
    assert "root@example.com" in page
    assert 'href="/_gate/logout"' in page


async def test_attempts_are_shown_newest_first(gate, admin):
    await gate.register("ada@example.com")
    browser = Browser(gate)
    await browser.sign_in("ada@example.com", "wrong")
    gate.clock.advance(65)
    await gate.call(
        "POST",
        "/_gate/auth/login",
        json={"email": "ada@example.com", "password": PASSWORD},
        headers={"User-Agent": CHROME},
    )
    seen = await text_of(await admin.get("/_gate/admin/logins"))
    assert seen.index("success") < seen.index("failure")
    assert "Chrome 131 on Windows" in seen
    assert "invalid-credentials" in seen
    assert "2027-01-15 08:01:05 just now" in seen
    assert "2027-01-15 08:00:00 1 min ago" in seen
    page = await (await admin.get("/_gate/admin/logins")).text()
    assert '<time datetime="2027-01-15T08:01:05Z">' in page


async def test_attempts_as_json(gate, admin):
    user = await gate.register("ada@example.com")
    tokens = await gate.login("ada@example.com")
    await Browser(gate).sign_in("Nobody ", "wrong")
    rows = {row["email"]: row for row in await _listed(admin, "logins")}
    shown = {"result": "success", "method": "password", "address": "127.0.0.1", "session": tokens["session_id"]}
    assert rows["ada@example.com"] | shown | {"user_id": user["id"], "country": None} == rows["ada@example.com"]
    assert (rows["Nobody"]["result"], rows["Nobody"]["reason"]) == ("failure", "invalid-credentials")
    assert (rows["Nobody"]["user_id"], rows["Nobody"]["session"]) == (None, None)


async def test_no_more_than_fifty_attempts_are_shown(gate, admin):
    await gate.rows(
        "INSERT INTO login_logs (id, time, email, result, method, address, request_id)"
        " SELECT gen_random_uuid(), now() - n * interval '1 minute', 'u' || n, 'failure', 'password', '192.0.2.1', 'r'"
        " FROM generate_series(1, 60) n"
    )
    assert [row["email"] for row in await _listed(admin, "logins")] == [f"u{number}" for number in range(1, 51)]


async def test_living_sessions_are_shown_and_ended_ones_are_not(gate, admin):
    await gate.register("ada@example.com")
    first, second = [await gate.login("ada@example.com") for _ in range(2)]
    assert len(await _listed(admin, "sessions")) == 3
    await gate.post("logout", headers=bearer(first))
    rows = await _listed(admin, "sessions")
    assert {row["id"] for row in rows} >= {second["session_id"]}
    assert first["session_id"] not in {row["id"] for row in rows}
    mine = next(row for row in rows if row["id"] == second["session_id"])
    assert mine["email"] == "ada@example.com"
    assert mine["started_at"] == "2027-01-15T08:00:00Z"
    assert mine["expires_at"] == "2027-02-14T08:00:00Z"
    seen = await text_of(await admin.get("/_gate/admin/sessions"))
    assert "root@example.com this browser" in seen
    assert "2027-02-14 08:00:00 in 30 d" in seen
    assert second["session_id"] not in seen


async def test_a_session_that_idled_out_is_not_shown(gate, admin):
    await gate.register("ada@example.com")
    await gate.login("ada@example.com")
    gate.clock.advance(6 * 86400)
    assert (await admin.get("/_gate/account")).status == 200  # renews the admin's own session
    gate.clock.advance(2 * 86400)
    await admin.sign_in("root@example.com", PASSWORD)
    assert [row["email"] for row in await _listed(admin, "sessions")] == ["root@example.com"] * 2


async def test_what_a_client_sent_is_escaped(gate, admin):
    """security 22"""
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    body = {"email": f"a{hostile}@example.com", "password": "wrong"}
    await gate.call("POST", "/_gate/auth/login", json=body, headers={"User-Agent": hostile})
    await gate.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD}
    await gate.call("POST", "/_gate/auth/login", json=body, headers={"User-Agent": hostile})
    for path in PAGES:
        page = await (await admin.get(path)).text()
        assert re.findall("<script(?! src=)", page) == []
        assert "<img" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "49" not in re.findall(r"\{\{.*?\}\}|&gt;(49)", page)
        assert all('"' not in title for title in re.findall(r'title="([^"]*)"', page))
        assert not re.search(r'title="[^"]*"[^>]*onerror', page)


async def test_text_that_no_table_can_hold_is_shown_all_the_same(gate, admin):
    """security 28"""
    await gate.call("POST", "/_gate/auth/login", json={"email": "a\x00\ud7ff\u202eb", "password": "wrong"})
    for path in PAGES:
        assert (await admin.get(path)).status == 200


async def test_an_empty_log_says_what_to_do(gate, admin):
    seen = await text_of(await admin.get("/_gate/admin/logins"))
    assert "Nobody has tried to sign in yet." in seen
    assert "try a wrong password" in seen


async def test_the_overview_counts(gate, admin):
    await gate.register("ada@example.com")
    for _ in range(2):
        await gate.login("ada@example.com")
    await Browser(gate).sign_in("ada@example.com", "wrong")
    page = await (await admin.get("/_gate/admin/")).text()
    sums = re.findall(r"<dt>([A-Za-z ]+?)(?: <span>(.*?)</span>)?</dt><dd><a href=\"([^\"]+)\">(\d+)</a></dd>", page)
    assert sums == [
        ("Open sessions", "", "/_gate/admin/sessions", "3"),
        ("Logins", "last 15 min", "/_gate/admin/logins?result=success&amp;range=15m", "2"),
        ("Failed", "last 15 min", "/_gate/admin/logins?result=failure&amp;range=15m", "1"),
        ("Blocked", "last 15 min", "/_gate/admin/logins?result=blocked&amp;range=15m", "0"),
        ("Bans in force", "", "/_gate/admin/bans", "0"),
    ]
    assert gate.clock.now() == NOW


async def test_an_overview_that_is_kept_open_counts_sessions_anew_every_quarter_of_a_minute(gate, admin):
    async def sessions(**fields):
        page = await (await admin.get("/_gate/admin/", **fields)).text()
        return re.search(r'admin/sessions">(\d+)<', page)[1]

    by_itself = {"HX-Request": "true"}
    assert await sessions() == "1"
    await gate.register("ada@example.com")
    await gate.login("ada@example.com")
    assert await sessions(**by_itself) == "1"
    assert await sessions() == "2"  # whoever asks is told at once
    await gate.login("ada@example.com")
    gate.clock.advance(14)
    assert await sessions(**by_itself) == "2"
    gate.clock.advance(1)
    assert await sessions(**by_itself) == "3"
