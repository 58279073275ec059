"""What strangers send is text in the panel and nothing else, wherever it is shown (security 22).

All of the corpus on every page; test_panel_walk.py has a part of it before the eyes of whoever walks.
"""

from urllib.parse import quote

import pytest
from chromium import Person
from gates import running_gate
from panel_admin import ADMIN
from panel_crawl import CORPUS, HOME, Crawl, intruders, readable
from panel_strangers import poisoned
from person import sign_in

pytestmark = [pytest.mark.chromium, pytest.mark.full, pytest.mark.timeout(600)]
#: Marks what is live and has it asked for anew, as the panel's script does now and then.
ANEW = """() => {
  document.querySelector("[data-live]").dataset.old = "";
  document.body.dispatchEvent(new CustomEvent("panel-tick"));
}"""
ASKED = [
    "logins?user={}",
    "logins?address={}",
    "logins?country={}",
    "sessions?user={}",
    "users?text={}",
    "users?role={}",
    "bans?subject={}",
    "rules?url={}&user={}&roles={}",
    "rules?find={}",
    "activity?action={}&actor={}&subject={}",
    "search?q={}",
]


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, upstream):
    settings = {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "mfa": {"require_for_roles": []},
        "limits": dict.fromkeys(("login_per_ip", "login_per_account", "register_per_ip"), "100000/minute"),
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


async def test_no_page_takes_what_was_sent_for_anything_but_text(gate, browser):
    await poisoned(gate, CORPUS)
    person = await Person.sits_down(browser, gate.url)
    await person.context.add_init_script("window.pwned = () => console.error('a script of a stranger has run')")
    page = await person.page()
    await sign_in(page, email=ADMIN)
    shown = []

    async def look(kind):
        assert await intruders(page) == [], kind
        if await page.locator("[data-live][hx-get]").count():  # what comes later is text too
            await page.evaluate(ANEW)
            await page.wait_for_selector("[data-live]:not([data-old])", state="attached")
            assert await intruders(page) == [], kind
        shown.append(await readable(page))

    await Crawl(page, look, refused=True).go(
        *(f"{HOME}/{start}" for start in ("", "logins", "users", "sessions", "bans"))
    )
    everything = "\n".join(shown)
    assert [text for text in CORPUS if " ".join(text.split()) not in everything] == []
    for question in ASKED:
        for text in CORPUS:
            answer = await page.goto(f"{HOME}/{question.replace('{}', quote(text, safe=''))}")
            assert answer.status in {200, 404, 422}, question
            assert await intruders(page) == [], question
    assert person.complaints == []
