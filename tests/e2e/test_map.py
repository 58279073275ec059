"""The panel's map in a real browser: what is selected on it filters the list, and the other way round (issue 7.3)."""

import pytest
from chromium import look
from gates import running_gate
from panel_rows import fill

pytestmark = pytest.mark.chromium


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    async with running_gate(
        postgres_dsn, redis_url, tmp_path, host="localhost", mfa={"require_for_roles": []}
    ) as running:
        yield running


@pytest.mark.full
async def test_the_map_can_be_read_in_both_sizes_and_schemes(gate, admin):
    await fill(gate)
    await admin.goto("/_gate/admin/map")
    await look(admin, "panel-map")
    await admin.goto("/_gate/admin/map?range=24h&at=20&result=failure")
    await look(admin, "panel-map-slider")
    await admin.goto("/_gate/admin/map?area=40,0,60,20&user=nobody@example.com")
    await look(admin, "panel-map-nothing")
    await admin.goto("/_gate/admin/map?area=40,0,60,20")
    await look(admin, "panel-map-area")


async def test_what_is_selected_filters_the_list_and_the_other_way_round(gate, admin):
    await fill(gate)
    await admin.goto("/_gate/admin/map")
    assert await admin.locator(".bubble").count() == 5
    await admin.click('.bubble[aria-label^="Boston"]')
    await admin.wait_for_url("**area=*")
    assert set(await admin.locator(".brief .where").all_inner_texts()) == {"Boston, United States"}
    await admin.click("#chips a")
    await admin.wait_for_url(lambda url: "area=" not in url)
    await admin.hover(".brief li:has-text('Tokyo')")
    assert await admin.locator(".bubble.lit").get_attribute("aria-label") == "Tokyo, Japan: 120 blocked"
    await admin.click(".brief li:has-text('Tokyo') .where a")
    await admin.wait_for_url("**country=JP*")
    assert await admin.locator(".bubble:not(.dim)").count() == 1
    assert await admin.locator(".brief li").count() == 25
    await _draws_a_part_and_follows_the_slider(admin)


async def _draws_a_part_and_follows_the_slider(admin):
    await admin.goto("/_gate/admin/map")
    box = await admin.locator("#world").bounding_box()
    await admin.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.15)
    await admin.mouse.down()
    await admin.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.45, steps=4)
    await admin.mouse.up()
    await admin.wait_for_url("**area=*")
    assert {label.split(",")[0] for label in await admin.locator(".brief .where").all_inner_texts()} == {
        "Zürich",
        "Berlin",
        "Paris",
    }
    await admin.focus("#at")
    await admin.press("#at", "ArrowLeft")
    await admin.wait_for_url("**at=28*")
    assert await admin.evaluate("document.activeElement.id") == "at"
    assert (await admin.inner_text(".slider-time")).split() == [
        "2027-01-15",
        "06:00:00",
        "to",
        "2027-01-15",
        "12:00:00",
    ]
    assert 0 < await admin.locator(".brief li").count() < 25
