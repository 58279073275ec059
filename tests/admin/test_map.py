"""The map without a browser: its filters, its JSON, and what it says where nothing is known (issue 7.3)."""

import json

from forms import text_of
from panel_rows import fill


async def _map(admin, query=""):
    answer = await admin.get(f"/_gate/admin/api/map{query}")
    assert answer.status == 200
    return json.loads(await answer.text())


async def test_an_empty_map_says_what_to_do(gate, admin):
    seen = await text_of(await admin.get("/_gate/admin/map"))
    assert "No place is known for these attempts." in seen
    assert "geo.database" in seen
    assert "iptoasn.com" in seen


async def test_places_as_json_with_filters(gate, admin):
    await fill(gate)
    found = await _map(admin)
    assert (found["since"], found["until"]) == ("2027-01-08T12:00:00Z", "2027-01-15T12:00:00Z")
    assert found["complete"]
    assert found["places"][0] == {
        "country": "CH",
        "city": "Zürich",
        "latitude": 47.4,
        "longitude": 8.5,
        "success": 120,
        "failure": 0,
        "blocked": 0,
    }
    assert [one["city"] for one in (await _map(admin, "?country=US&range=30d"))["places"]] == ["Boston"]
    assert [one["city"] for one in (await _map(admin, "?result=blocked"))["places"]] == ["Tokyo"]
    assert len((await _map(admin, "?area=40,0,60,20"))["places"]) == 3
    bar = await _map(admin, "?range=24h&at=24&address=198.51.100.0/24")
    assert (bar["since"], sum(one["success"] for one in bar["places"])) == ("2027-01-15T08:00:00Z", 0)
    assert (await _map(admin, "?range=24h&at=25")) == (await _map(admin, "?range=24h"))


async def test_what_cannot_be_asked_is_refused(gate, admin):
    for query, words in {
        "range=odd": "one of 24h, 7d, 30d",
        "at=99": "a number from 1 to 28",
        "at=-1": "a number from 1",
        "at=x": "a number from 1",
        "area=1,2,3": "An area is its south",
        "area=9,0,1,1": "An area is its south",
        "area=1e3,0,1,1": "An area is its south",
        "country=Swiss": "or unknown",
        "result=odd": "There is no result odd",
    }.items():
        answer = await admin.get(f"/_gate/admin/map?{query}")
        assert answer.status == 422, query
        assert words in await text_of(answer), query


async def test_every_link_of_the_map_leads_somewhere(gate, admin):
    """security 22: whatever was typed is carried along escaped"""
    await fill(gate)
    await gate.rows("UPDATE login_places SET city = '<b>\"Zürich' WHERE country = 'CH' RETURNING 1")
    answer = await admin.get("/_gate/admin/map?user=%22%3E<script>&area=40,0,60,20")
    page = await answer.text()
    assert answer.status == 200
    assert "<script>" not in page
    page = await (await admin.get("/_gate/admin/map?area=40,0,60,20&method=password&range=30d")).text()
    assert "<b>" not in page
    links = {link.replace("&amp;", "&") for link in page.split('href="')[1:] for link in [link.partition('"')[0]]}
    inside = {link for link in links if "/admin/map" in link or "/admin/logins?" in link}
    assert len(inside) > 40
    for link in sorted(inside):
        assert (await admin.get(link)).status == 200, link


async def test_an_unknown_country_can_be_looked_at(gate, admin):
    await gate.register("ada@example.com")
    await gate.login("ada@example.com")
    assert (await _map(admin))["unplaced"] == 1
    listed = await admin.get("/_gate/admin/api/logins?country=unknown")
    assert len(json.loads(await listed.text())["logins"]) == 1
