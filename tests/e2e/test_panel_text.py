"""What strangers send is text in the panel and nothing else, wherever it is shown (security 22)."""

from urllib.parse import quote

import pytest
from chromium import Person
from factories import PASSWORD
from forms import Browser
from gates import bearer, running_gate
from panel_crawl import CORPUS, HOME, Crawl, intruders, readable
from panel_rows import COUNTS
from person import press

pytestmark = pytest.mark.chromium
ADMIN = "root@example.com"
RAW = "/<>\"'(){}=;"  # what tools put into paths as it is
#: Every column whose words come from outside: from clients, and from databases of places and networks.
POISON = """
UPDATE login_logs SET city = email, region = email, as_org = email, browser = email, browser_version = email,
  os = email, os_version = email, method = email, factor = email, device_id = email, fingerprint = email,
  request_id = email, signals = ARRAY[email], evidence = jsonb_build_object(email, email, 'new_device',
  jsonb_build_object('device', email)), latitude = 47.4, longitude = 8.5 WHERE user_agent = email
"""
USERS = """
UPDATE users SET email = replace(email, '@', '<img src=x onerror=pwned()>@'), roles = ARRAY['<img/src=x>']
WHERE email LIKE 'user1_@example.com'
"""
SESSIONS = """
UPDATE sessions SET country = '<b', amr = ARRAY['<svg/onload=pwned()>']
WHERE user_agent = ANY (SELECT email FROM login_logs)
"""
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


async def _typed(gate):
    """Through the doors that everybody has: what is typed at a login, names of accounts, user agents."""
    for number, text in enumerate(CORPUS):
        agent = {"User-Agent": text} if text.isascii() else {}
        await gate.post("login", {"email": text, "password": "wrong"}, headers=agent)
        email = f"user{number}@example.com"
        answer = await gate.post("register", {"email": email, "password": PASSWORD, "name": text})
        assert answer.status == 201, text
        answer = await gate.post("login", {"email": email, "password": PASSWORD}, headers=agent)
        tokens = bearer(await answer.json())
        answer = await gate.post("api-keys", {"name": text[:60], "scopes": ["/**"]}, headers=tokens)
        assert answer.status == 201, text
        await gate.call("GET", "/" + quote(text, safe=RAW), headers={**tokens, **agent})


async def _done(gate):
    """By an admin who writes down what they were told."""
    root = Browser(gate)
    await root.submit(f"/_gate/setup/{gate.setup_token}", {"email": ADMIN, "password": PASSWORD})
    users = await gate.rows("SELECT id, name FROM users WHERE name IS NOT NULL")
    for number, text in enumerate(CORPUS):
        fields = {"subject": f"198.51.100.{number}", "why": text}
        assert (await root.submit(f"{HOME}/bans", fields)).status == 303
        user = next(one["id"] for one in users if one["name"] == text)
        if number < 10:
            assert (await root.submit(f"{HOME}/users/{user}/lock", {"why": text})).status == 303
    await root.submit(f"{HOME}/bans", {"subject": f"agent:{CORPUS[0]}*", "why": "a tool"})


async def _poisoned(gate):
    await _typed(gate)
    await _done(gate)
    for sql in (POISON, USERS, SESSIONS, COUNTS):
        await gate.rows(f"{sql}; SELECT 1 AS one")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "asked", [pytest.param(CORPUS[3:4], id="one"), pytest.param(CORPUS, id="all", marks=pytest.mark.full)]
)
async def test_no_page_takes_what_was_sent_for_anything_but_text(gate, browser, asked):
    await _poisoned(gate)
    person = await Person.sits_down(browser, gate.url)
    await person.context.add_init_script("window.pwned = () => console.error('a script of a stranger has run')")
    page = await person.page()
    await page.goto("/_gate/login")
    await page.fill("#email", ADMIN)
    await page.fill("#password", PASSWORD)
    await press(page, "main button[type=submit]")
    shown = []

    async def look(kind):
        assert await intruders(page) == [], kind
        if await page.locator("[data-live][hx-get]").count():  # what comes later is text too
            await page.evaluate(ANEW)
            await page.wait_for_selector("[data-live]:not([data-old])", state="attached")
            assert await intruders(page) == [], kind
        shown.append(await readable(page))

    crawl = Crawl(page, look, refused=True, brief=len(asked) == 1)
    await crawl.go(f"{HOME}/", f"{HOME}/logins", f"{HOME}/users", f"{HOME}/sessions", f"{HOME}/bans")
    everything = "\n".join(shown)
    assert [text for text in CORPUS if " ".join(text.split()) not in everything] == []
    for question in ASKED:
        for text in asked:
            answer = await page.goto(f"{HOME}/{question.replace('{}', quote(text, safe=''))}")
            assert answer.status in {200, 404, 422}, question
            assert await intruders(page) == [], question
    assert person.complaints == []
