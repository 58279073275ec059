"""The panel's map in a real browser: what is selected on it filters the list, and the other way round (issue 7.3)."""

import pytest
from chromium import NARROW, Person, look
from factories import PASSWORD
from gates import running_gate
from panel_rows import fill
from person import press

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


async def _at_hand(gate, browser, **settings):
    """The first admin before a map of five places."""
    await fill(gate)
    person = await Person.sits_down(browser, gate.url, **settings)
    page = await person.page()
    await page.goto(f"/_gate/setup/{gate.setup_token}")
    await page.fill("#email", "root@example.com")
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    await page.goto("/_gate/admin/map")
    return person, page


async def _wiped(page, *, start, end):
    """A finger from one part of the map to another; parts of its width and height."""
    box = await page.locator("#world").bounding_box()
    tool = await page.context.new_cdp_session(page)
    steps = [tuple(a + (b - a) * step / 4 for a, b in zip(start, end, strict=True)) for step in range(5)]
    for name, (x, y) in zip(["touchStart", *["touchMove"] * 4], steps, strict=True):
        point = {"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y}
        await tool.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": [point]})
    await tool.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def test_a_finger_draws_a_part_once_the_button_says_so_and_scrolls_otherwise(gate, browser):
    person, page = await _at_hand(gate, browser, viewport=NARROW, has_touch=True, is_mobile=True)
    europe = {"start": (0.45, 0.15), "end": (0.6, 0.45)}
    await page.tap("#draw")
    assert await page.get_attribute("#draw", "aria-pressed") == "true"
    await page.locator("#world").scroll_into_view_if_needed()
    await _wiped(page, **europe)
    await page.wait_for_url("**area=*")
    places = {label.split(",")[0] for label in await page.locator(".brief .where").all_inner_texts()}
    assert places == {"Zürich", "Berlin", "Paris"}
    assert await page.get_attribute("#draw", "aria-pressed") == "false"
    await page.tap("#whole")
    await page.wait_for_url(lambda url: "area=" not in url)
    await _wiped(page, start=(0.5, 0.9), end=(0.5, 0.1))
    await page.wait_for_function("scrollY > 0")
    assert (await page.locator(".rope").count(), "area=" in page.url) == (0, False)
    assert person.complaints == []


async def test_the_keyboard_comes_to_every_place_and_keeps_its_own(gate, browser):
    person, page = await _at_hand(gate, browser, viewport={"width": 1280, "height": 900})
    named = {await one.get_attribute("aria-label") for one in await page.locator(".bubble").all()}
    await page.focus("#as-list")
    reached = []
    while len(reached) < 40 and not named <= set(reached):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert named <= set(reached)
    await page.focus('.bubble[aria-label^="Boston"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url("**area=*")
    held = "document.activeElement.getAttribute('aria-label')"
    await page.wait_for_function(f"() => ({held} ?? '').startsWith('Boston')")
    assert set(await page.locator(".brief .where").all_inner_texts()) == {"Boston, United States"}
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "area=" not in url)
    assert person.complaints == []


async def test_filters_choose_places_and_rows_alike(gate, browser):
    person, page = await _at_hand(gate, browser)
    await page.click("#filters summary")
    await page.select_option("#f-result", "blocked")
    await press(page, "#filters button")
    assert [await one.get_attribute("aria-label") for one in await page.locator(".bubble").all()] == [
        "Tokyo, Japan: 120 blocked"
    ]
    assert set(await page.locator(".brief .badge").all_inner_texts()) == {"blocked"}
    await page.click("#as-list")
    assert "result=blocked" in page.url
    assert set(await page.locator("td[data-label=Result] .badge").all_inner_texts()) <= {"blocked", "new country"}
    assert person.complaints == []


async def test_play_goes_through_the_bars_one_by_one_and_moves_nothing_else(gate, browser):
    person, page = await _at_hand(gate, browser, reduced_motion="reduce")
    await page.clock.install()
    await page.goto("/_gate/admin/map?range=7d&at=26")
    await page.click("#play")
    seen = []
    for at in ("27", "28"):
        await page.wait_for_url(f"**at={at}*")
        seen.append(await page.inner_text(".slider-time"))
        assert (await page.inner_text("#play"), await page.get_attribute("#play", "aria-pressed")) == ("Stop", "true")
        assert await page.evaluate("document.getAnimations().length") == 0
        await page.clock.run_for(2000)
    await page.wait_for_url(lambda url: "at=" not in url)
    await page.wait_for_selector("#play[aria-pressed=false]")
    assert (len(set(seen)), await page.inner_text("#play")) == (2, "Play")
    await page.click("#play")
    await page.wait_for_url("**at=1*")
    await page.click("#play")
    await page.clock.run_for(5000)
    assert (await page.inner_text("#play"), page.url.partition("at=")[2]) == ("Play", "1")
    assert person.complaints == []
