"""Somebody walks through the whole panel: every page that a link leads to, and all that can be done (issue 7)."""

import re

import argon2
import pytest
from chromium import NARROW, SCHEMES, WIDE, Person, glance
from factories import NOW, PASSWORD, SECRET
from gates import bearer, running_gate
from panel_acts import Doer
from panel_crawl import HOME, Crawl, name_of
from panel_rows import COUNTS, LOGINS
from person import sign_in

from gatekeeper.app.demo import Filler
from gatekeeper.config.load import LoadedConfig

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(600)]
ADMIN = "root@example.com"
HUGE = {"width": 1920, "height": 1080}
#: Pages that no link leads to, but a form that asks; ``{}`` is somebody who is in.
ASKED = [
    "",
    "sessions?user={}",
    "sessions/end?user={}",
    "users?text={}",
    "users/bulk?act=unlock&state=active",
    "bans?order=ends",
    "bans?subject=192.0.2.77",
    "rules?url=/reports/1&user={}",
    "search?q={}",
    "mail?state=given-up",
]
#: Acts on what only the company has.
RARE = {"signals/{}/lock", "signals/{}/end", "users/{}/revoke-key", "users/{}/remove-factor"}
#: Files, and what leads elsewhere at once.
_LISTS = ("logins", "users", "bans", "bans/ended")
NO_PAGES = {"", *(f"{name}.{kind}" for name in _LISTS for kind in ("csv", "jsonl")), "search", "rules/check"}


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "rules": [
            {"name": "trial", "path": "/reports/**", "allow": {"roles": ["staff"]}, "report_only": True},
            {"name": "staff", "path": "/staff/**", "allow": {"roles": ["staff"]}},
            {"name": "api", "path": "/**", "allow": "authenticated"},
        ],
        "mfa": {"require_for_roles": []},
        "limits": {"login_per_ip": "1000/minute", "register_per_ip": "1000/minute"},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        running.gatekeeper.reloads.request = lambda: None  # there is no supervisor here
        yield running


async def _people(gate):
    """A month of logins, and people who are in."""
    for name in ("ada", "bob", "bobby", "eve"):
        tokens = await gate.newcomer(f"{name}@example.com")
        await gate.call("GET", "/reports/1", headers=bearer(tokens))
    await gate.login("bob@example.com")
    for sql in (LOGINS, COUNTS):
        await gate.rows(f"{sql}; SELECT 1 AS one")
    await gate.register(ADMIN)
    await gate.rows(f"UPDATE users SET roles = '{{admin}}' WHERE email = '{ADMIN}'; SELECT 1 AS one")


async def _company(gate):
    """What ``gatekeeper demo`` makes."""
    stores = gate.gatekeeper.reloader.running.stores
    loaded = LoadedConfig(gate.config, gate.gatekeeper.reloader.edge.gate.rules)
    filler = Filler(stores.postgres, stores.redis, stores.live, loaded, SECRET, seed=1, now=NOW)
    await filler.fill(ADMIN, argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))


async def _mail(gate):
    """A message that waits and one that was given up, with a try left in each."""
    columns = "(id, channel, kind, address, recipient, sealed, created_at, due_at, until, given_up_at, fault)"
    for given_up in ("NULL", "now()"):
        at = f"to_timestamp({NOW + 86_400:.0f})"
        await gate.rows(
            f"INSERT INTO outbox {columns} VALUES (gen_random_uuid(), 'smtp', 'new-sign-in', '', 'e…@example.com', 'x',"
            f" {at}, {at}, {at} + interval '1 day', {given_up}, '451 try again later') RETURNING 1"
        )


async def _admin(gate, browser, **settings):
    """Signed in, and what the forms are asked for."""
    person = await Person.sits_down(browser, gate.url, **settings)
    page = await person.page()
    await sign_in(page, email=ADMIN)
    rows = await gate.rows(
        "SELECT email, u.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE ended_at IS NULL"
        f" AND email <> '{ADMIN}' GROUP BY email, u.id ORDER BY count(*) DESC, email LIMIT 1"
    )
    asked = [one.replace("{}", rows[0]["email"]) for one in ASKED]
    (attempt,) = await gate.rows(
        "SELECT id FROM login_logs WHERE result = 'success' AND user_id IS NOT NULL AND fingerprint IS NOT NULL"
        f" AND email NOT IN ('{ADMIN}', '{rows[0]['email']}') ORDER BY time DESC LIMIT 1"
    )
    devices = f"users/{rows[0]['id']}/devices"
    return person, page, [f"{HOME}/{one}" for one in (f"logins/{attempt['id']}", *asked, devices)]


def _routes(gate, method):
    """The panel's own, without those of programs."""
    resources = {route.resource.canonical for route in gate.gatekeeper.app.router.routes() if route.method == method}
    return {re.sub(r"\{[^}]*\}", "{}", one.removeprefix(f"{HOME}/")) for one in resources if one.startswith(f"{HOME}/")}


def _left_out(routes, walked):
    patterns = {route: re.escape(route).replace(r"\{\}", "[^/]+") for route in routes if not route.startswith("api/")}
    paths = {kind.partition("?")[0] for kind in walked}
    return {route for route, pattern in patterns.items() if not any(re.fullmatch(pattern, path) for path in paths)}


@pytest.mark.parametrize(
    ("fill", "size", "scheme"),
    [
        pytest.param(_people, WIDE, "light", id="short"),
        pytest.param(_company, NARROW, "dark", id="360-dark", marks=pytest.mark.full),
        pytest.param(_company, HUGE, "light", id="1920-light", marks=pytest.mark.full),
    ],
)
async def test_everything_that_the_panel_offers_can_be_done(gate, browser, fill, size, scheme):
    await fill(gate)
    await _mail(gate)
    person, page, starts = await _admin(gate, browser, viewport=size, color_scheme=scheme)
    offering = []

    async def see(kind):
        if await page.locator("main form[method=post]").count():
            offering.append(crawl.seen[kind])

    crawl = Crawl(page, see, brief=fill is _people)
    await crawl.go(*starts)
    doer = Doer(page, ADMIN)
    await doer.everything(offering)
    assert _left_out(_routes(gate, "POST"), doer.done) <= (RARE if fill is _people else set())
    assert _left_out(_routes(gate, "GET") - NO_PAGES, crawl.seen) == set()
    assert person.complaints == []


@pytest.mark.full
@pytest.mark.parametrize("size", [NARROW, WIDE, HUGE], ids=lambda size: str(size["width"]))
async def test_every_page_reads_well_and_shuts_nobody_out(gate, browser, size):
    """In both schemes; axe-core is content, nothing is cut off or moves, the console is empty."""
    await _company(gate)
    await _mail(gate)
    person, page, starts = await _admin(gate, browser, viewport=size)
    # axe-core writes styles onto what it measures; a list that htmx exchanges just then would carry them over.
    await person.context.add_init_script("window.setInterval = () => 0")

    async def see(kind):
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await glance(page, f"panel-walk-{name_of(kind)}-{size['width']}-{scheme}")
        assert await page.evaluate("document.getAnimations().length") == 0, f"{kind} moves"

    await Crawl(page, see).go(*starts)
    assert person.complaints == []


#: What has the focus: its words, and whether somebody who looks can tell (an outline, and within sight).
FOCUS = """() => {
  const one = document.activeElement;
  if (one === document.body) return { words: "", seen: true }; // behind the last one, before the first
  const place = one.getBoundingClientRect();
  const words = one.innerText || one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.name || "";
  const style = getComputedStyle(one);
  return { words: words.trim(), seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0
    && place.bottom > 0 && place.top < innerHeight };
}"""


async def _tab_to(page, words, *, most=120):
    """Presses Tab until what has the focus begins with these words; on the way every stop can be seen."""
    for _ in range(most):
        await page.keyboard.press("Tab")
        focus = await page.evaluate(FOCUS)
        assert focus["seen"], f"nobody sees that {focus['words']!r} has the focus"
        if focus["words"].startswith(words):
            return
    raise AssertionError(f"Tab never comes to {words}")


async def _enter(page):
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


@pytest.mark.full
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=lambda size: str(size["width"]))
async def test_an_admin_needs_no_mouse(gate, browser, size):
    """Signs in, finds somebody, locks them, bans an address and reads about it."""
    await _people(gate)
    person, page, _ = await _admin(gate, browser, viewport=size)
    await page.context.clear_cookies()
    await page.goto(f"{HOME}/")
    await _tab_to(page, "E-mail")
    await page.keyboard.type(ADMIN)
    await _tab_to(page, "Password")
    await page.keyboard.type(PASSWORD)
    await _enter(page)
    if size is NARROW:
        await _tab_to(page, "Menu")
        await page.keyboard.press("Enter")
    await _tab_to(page, "Users")
    await _enter(page)
    await _tab_to(page, "Skip to content")
    await page.keyboard.press("Enter")
    await _tab_to(page, "eve@example.com")
    await _enter(page)
    await _tab_to(page, "Lock…")
    await page.keyboard.press("Enter")
    await _tab_to(page, "Why")
    await page.keyboard.type("gone")
    await _enter(page)
    assert "is locked" in await page.inner_text("main [role=status]")
    await _tab_to(page, "Jump to")
    await page.keyboard.type("192.0.2.9")
    await _enter(page)
    await page.goto(f"{HOME}/bans")
    await _tab_to(page, "Add a ban…")
    await page.keyboard.press("Enter")
    await _tab_to(page, "Whom")
    await page.keyboard.type("192.0.2.9")
    await _tab_to(page, "Why")
    await page.keyboard.type("noise")
    await _enter(page)
    assert "in force" in await page.inner_text("main [role=status]")
    assert person.complaints == []
