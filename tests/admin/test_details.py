"""One attempt and lists of them by filter: pages, JSON and CSV (issue 7.2, security 22)."""

import csv
import io
import json

import pytest
from forms import Browser, text_of
from panel_rows import COUNTS, LOGINS


@pytest.fixture
async def peopled(gate):
    await gate.rows(f"{LOGINS}; SELECT 1 AS one")
    await gate.rows(f"{COUNTS}; SELECT 1 AS one")
    return gate


async def _listed(admin, query):
    return json.loads(await (await admin.get(f"/_gate/admin/api/logins{query}")).text())


async def test_every_kind_of_attempt_can_be_looked_at(peopled, admin):
    rows = await peopled.rows("SELECT DISTINCT ON (result, signals) id FROM login_logs")
    assert len(rows) == 6
    for row in rows:
        page = await admin.get(f"/_gate/admin/logins/{row['id']}")
        assert page.status == 200
        assert "Example Networks" in await text_of(page)
    assert (await admin.get("/_gate/admin/logins/nonsense")).status == 404


async def test_filters_narrow_and_pages_go_on_by_key_without_gap_or_repetition(peopled, admin):
    found, query = [], "?result=failure&country=US"
    after = ""
    while True:
        page = await _listed(admin, query + after)
        found += [row["id"] for row in page["logins"]]
        assert {(row["result"], row["country"]) for row in page["logins"]} == {("failure", "US")}
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert (len(found), len(set(found))) == (120, 120)
    assert len((await _listed(admin, "?address=198.51.100.0/29"))["logins"]) == 50
    assert (await _listed(admin, "?user=nobody@example.com"))["logins"] == []


@pytest.mark.parametrize(
    "query", ["result=odd", "reason=odd", "address=odd", "country=odd", "since=odd", "range=odd", "after=odd"]
)
async def test_a_filter_that_is_none_is_refused(admin, query):
    answer = await admin.get(f"/_gate/admin/api/logins?{query}", **{"Sec-Fetch-Mode": "cors"})
    assert answer.status == 422


async def test_no_cell_of_the_csv_can_start_a_formula(peopled, admin):
    """security 22"""
    await Browser(peopled).sign_in("=cmd|' /C calc'!A0", "wrong")
    text = await (await admin.get("/_gate/admin/logins.csv?range=24h")).text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert "'=cmd|' /C calc'!A0" in {row["email"] for row in rows}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


async def test_both_files_have_every_attempt_that_fits_newest_first_and_as_pages_do(peopled, admin):
    """More than one portion of them, and more than a page."""
    lines = (await (await admin.get("/_gate/admin/logins.jsonl?result=success")).text()).splitlines()
    found = [json.loads(line) for line in lines]
    counted = await peopled.rows("SELECT count(*)::int AS n FROM login_logs WHERE result = 'success'")
    assert len(found) == counted[0]["n"] > 300
    assert found[:50] == (await _listed(admin, "?result=success"))["logins"]
    assert [row["time"] for row in found] == sorted((row["time"] for row in found), reverse=True)
    text = await (await admin.get("/_gate/admin/logins.csv?result=success")).text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == [row["id"] for row in found]
    assert rows[-1]["device_kind"] == found[-1]["device"]["kind"]
    assert {row["signals"] for row in rows} == {"", "new_country"}
    for name in ("csv", "jsonl"):
        answer = await admin.get(f"/_gate/admin/logins.{name}?user=nobody@example.com")
        assert answer.status == 200
        assert len((await answer.text()).splitlines()) == (name == "csv")


async def test_the_search_box_leads_to_what_fits(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    session = (await gate.login("ada@example.com"))["session_id"]
    for text, place in (
        ("ada@", f"users/{user}"),
        (session, f"sessions/{session}"),
        ("192.0.2.0/24", "logins?address=192.0.2.0%2F24"),
        ("example", "users?text=example"),
    ):
        answer = await admin.get(f"/_gate/admin/search?q={text.replace('/', '%2F')}")
        assert answer.headers["Location"] == f"/_gate/admin/{place}"


async def test_the_tester_says_what_the_gate_would_do(admin):
    page = await text_of(await admin.get("/_gate/admin/rules?url=/x"))
    assert "Denied: 401 credentials-missing" in page
    assert "Allowed" in await text_of(await admin.get("/_gate/admin/rules?url=/x&user=ada@example.com"))
    bad = await admin.get("/_gate/admin/rules?url=nonsense")
    assert bad.status == 422
    assert "neither http(s)" in await text_of(bad)


@pytest.mark.parametrize("name", ["logins", "sessions", "users", "bans", "activity"])
async def test_a_page_that_does_not_exist_is_refused(admin, name):
    for after in ("odd", "1.5_odd!odd", "999999999999.0_a", "-1", "1" * 30):
        answer = await admin.get(f"/_gate/admin/{name}?after={after}")
        assert answer.status == 422
    assert (await admin.get("/_gate/admin/users?after=1.5_a")).status == 422


async def test_an_attempt_says_how_far_it_is_from_the_login_before(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    rows = await gate.rows(
        "INSERT INTO login_logs (id, time, email, user_id, result, method, address, country, city, latitude, longitude,"
        " request_id) SELECT gen_random_uuid(), timestamptz '2027-01-15 07:00:00+00' + hours * interval '1 hour',"
        f" 'ada@example.com', '{user}'::uuid, 'success', 'password', address::inet, country, city, latitude, longitude,"
        " 'r' FROM (VALUES (0, '192.0.2.1', 'CH', 'Zürich', 47.4, 8.5), (2, '192.0.2.2', 'US', 'Boston', 42.4, -71.1),"
        " (3, '192.0.2.2', 'US', 'Boston', 42.4, -71.1), (4, '192.0.2.3', NULL, NULL, NULL, NULL))"
        " AS rows (hours, address, country, city, latitude, longitude) RETURNING id, time"
    )
    zurich, boston, again, nowhere = [row["id"] for row in sorted(rows, key=lambda row: row["time"])]
    seen = await text_of(await admin.get(f"/_gate/admin/logins/{boston}"))
    assert "Time between 2 h Distance 6014 km, at 3007 km/h Place then Zürich, Switzerland" in seen
    assert "Address then 192.0.2.1" in seen
    seen = await text_of(await admin.get(f"/_gate/admin/logins/{again}"))
    assert "Distance 0 km Place then Boston, United States Address then the same" in seen
    assert "Distance not known" in await text_of(await admin.get(f"/_gate/admin/logins/{nowhere}"))
    page = await (await admin.get(f"/_gate/admin/logins/{zurich}")).text()
    assert "Since the login before" not in page
    assert 'href="/_gate/admin/map?range=30d&amp;area=46.9%2C8%2C47.9%2C9"' in page
