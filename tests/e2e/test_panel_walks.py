"""The long walks through the panel, over what ``gatekeeper demo`` makes, by an admin with an app and a passkey, by an
auditor, and without a mouse (issue 7, Done when). The short one is in test_panel_walk.py.
"""

import argon2
import pytest
from chromium import NARROW, SCHEMES, WIDE, glance
from factories import NOW, PASSWORD, SECRET
from gates import bearer, running_gate
from panel_acts import Doer
from panel_admin import ADMIN, CONFIRMED, LOGIN, SECOND, STEP_UP, Admin
from panel_crawl import HOME, name_of
from panel_keys import Keyboard, tab_to
from panel_walk import AUDITOR, EVE, SETTINGS, WALKER, Walk
from second_factors import enrol_totp

from gatekeeper.app.demo import Filler
from gatekeeper.config.load import LoadedConfig

pytestmark = [pytest.mark.chromium, pytest.mark.full, pytest.mark.timeout(1800)]
HUGE = {"width": 1920, "height": 1080}
STALE = 301.0  # seconds; a proof for acts is 300 good
#: axe-core writes styles onto what it measures; a list that htmx exchanges just then would carry them over.
STILL = "window.setInterval = () => 0"
READS = {"activity/verify", "rules/check"}  # forms that change nothing


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {**SETTINGS, "upstreams": {"api": {"targets": [upstream.address]}}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        running.gatekeeper.reloads.request = lambda: None  # there is no supervisor here
        stores = running.gatekeeper.reloader.running.stores
        loaded = LoadedConfig(running.config, running.gatekeeper.reloader.edge.gate.rules)
        filler = Filler(stores.postgres, stores.redis, stores.live, loaded, SECRET, seed=1, now=NOW)
        await filler.fill(ADMIN, argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))
        eve = await enrol_totp(running, await running.newcomer(EVE))
        await running.post("api-keys", {"name": "deploys", "scopes": ["/**"]}, headers=bearer(eve.tokens))
        yield running


def _sees(admin, width, schemes):
    """What looks at each kind of page once: nothing is cut off, axe-core is content, a picture is taken."""
    seen = set()

    async def see(kind):
        name = name_of(kind)
        if name in seen:
            return
        seen.add(name)
        for scheme in schemes:
            await admin.page.emulate_media(color_scheme=scheme)
            await glance(admin.page, f"panel-walk-{name}-{width}-{scheme}")

    return see


@pytest.mark.parametrize("size", [NARROW, WIDE, HUGE], ids=lambda size: str(size["width"]))
async def test_every_page_reads_well_and_shuts_nobody_out(gate, browser, size):
    """In both schemes; axe-core is content, nothing is cut off or moves, the console is empty."""
    admin = await Admin.sits_down(gate, browser, email=WALKER, viewport=size)
    await admin.person.context.add_init_script(STILL)
    look = _sees(admin, size["width"], SCHEMES)

    async def see(kind):
        await look(kind)
        assert await admin.page.evaluate("document.getAnimations().length") == 0, f"{kind} moves"

    walk = Walk(admin)
    await walk.go(brief=False, see=see)
    assert (walk.missed(), walk.intruders, admin.person.complaints) == (set(), [], [])


@pytest.mark.parametrize(
    ("size", "scheme", "motion"),
    [
        pytest.param(NARROW, "dark", "reduce", id="360"),
        pytest.param(WIDE, "light", "reduce", id="1280"),
        pytest.param(HUGE, "dark", "no-preference", id="1920"),
    ],
)
async def test_everything_can_be_done_with_a_fresh_proof_for_each(gate, browser, size, scheme, motion):
    """By app and passkey in turns; each page on the way is looked at too."""
    admin = await Admin.sits_down(
        gate, browser, email=WALKER, viewport=size, color_scheme=scheme, reduced_motion=motion
    )
    await admin.person.context.add_init_script(STILL)
    admin.see = see = _sees(admin, size["width"], [scheme])
    await admin.adds_a_passkey()
    walk = Walk(admin)
    await walk.go(brief=True)
    await walk.does_everything(Doer(admin, see=see, stale=STALE))
    assert set(admin.proved) == {LOGIN, SECOND, STEP_UP, CONFIRMED}
    assert admin.person.complaints == []


async def test_everything_can_be_done_without_a_mouse(gate, browser):
    admin = await Admin.sits_down(gate, browser, email=WALKER)
    walk = Walk(admin)
    await walk.go(brief=True)
    await walk.does_everything(Doer(admin, Keyboard(admin)))
    assert admin.person.complaints == []


async def test_an_auditor_sees_every_page_and_is_offered_nothing_that_changes_anything(gate, browser):
    auditor = await Admin.sits_down(gate, browser, role="auditor", email=AUDITOR)
    await auditor.person.context.add_init_script(STILL)
    walk = Walk(auditor)
    await walk.go(brief=True, see=_sees(auditor, "auditor", ["light"]))
    assert set().union(*walk.offered.values()) <= READS
    assert walk.missed() == {"users/invite", "users/new", "bans/import"}
    assert auditor.person.complaints == []


async def _enter(page):
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=lambda size: str(size["width"]))
async def test_an_admin_finds_their_way_without_a_mouse(gate, browser, size):
    """Signs in with the app's code, finds somebody, locks them, bans an address and reads about it."""
    admin = await Admin.sits_down(gate, browser, email=WALKER, viewport=size)
    page = admin.page
    await page.goto(f"{HOME}/")
    await tab_to(page, "E-mail")
    await page.keyboard.type(WALKER)
    await tab_to(page, "Password")
    await page.keyboard.type(PASSWORD)
    await _enter(page)
    await page.wait_for_selector("[name=code]:focus")
    await page.keyboard.type(admin.code())
    await _enter(page)
    if size is NARROW:
        await tab_to(page, "Menu")
        await page.keyboard.press("Enter")
    await tab_to(page, "Users")
    await _enter(page)
    await tab_to(page, "Skip to content")
    await page.keyboard.press("Enter")
    await tab_to(page, EVE, most=400)
    await _enter(page)
    await tab_to(page, "Lock…")
    await page.keyboard.press("Enter")
    await tab_to(page, "Why")
    await page.keyboard.type("gone")
    await _enter(page)
    assert "is locked" in await page.inner_text("main [role=status]")
    await tab_to(page, "Jump to")
    await page.keyboard.type("192.0.2.9")
    await _enter(page)
    await page.goto(f"{HOME}/bans")
    await tab_to(page, "Add a ban…", most=400)
    await page.keyboard.press("Enter")
    await tab_to(page, "Whom")
    await page.keyboard.type("192.0.2.9")
    await tab_to(page, "Why")
    await page.keyboard.type("noise")
    await _enter(page)
    assert "in force" in await page.inner_text("main [role=status]")
    assert admin.person.complaints == []
