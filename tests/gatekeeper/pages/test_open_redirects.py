"""No page leads elsewhere, wherever it was told to go on to: each that takes ``next``, over HTTP (security 21)."""

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from authenticator import Authenticator
from factories import PASSWORD
from forms import Browser, input_named
from gates import running_gate
from second_factors import code, enrol_passkey, enrol_totp
from whatwg import resolved_origin

CORPUS = (Path(__file__).parents[2] / "data" / "openredirects.txt").read_text(encoding="utf-8").splitlines()
#: One of each kind: no scheme, backslashes, tabs, escapes, user information, missing slashes, scripts, line ends.
KINDS = [
    "//google.com/%2f..",
    "/\\google.com",
    "/%09/google.com",
    "/%2f%2fgoogle.com",
    "http://www.whitelisteddomain.tld@google.com/%2f%2e%2e",
    "https:google.com",
    "javascript:alert(1)",
    "/%5cgoogle.com",
    "\\/\\/google.com/",
    "//google%E3%80%82com",
    "http:http:google.com",
    "/%0d%0aLocation:%20http://google.com",
    "//\t/google.com",
]
ADA, GRACE, EDSGER = "ada@example.com", "grace@example.com", "edsger@example.com"
TAKE_NEXT = [
    f"/_gate/{name}" for name in ("login", "otp", "register", "forgot", "step-up", "account/factors", "language")
]
_SURFACES = ("/_gate/auth/", "/_gate/admin", "/_gate/static/", "/_gate/verify", "/_gate/health", "/_gate/setup/")
_LINK = re.compile(r'\b(?:href|action|formaction)="([^"]*)"')
_NEXT = re.compile(r'<input\b[^>]*\bname="next"[^>]*>')


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    """A gate without a service behind it; people may try as often as they like."""
    limited = ("login_per_ip", "login_per_account", "register_per_ip", "forgot_per_ip", "otp_per_ip", "otp_per_account")
    settings = {
        "otp": {"limit": "100000/hour"},
        "limits": dict.fromkeys(limited, "100000/hour"),
        "tokens": {"access_ttl": "1d"},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


async def _signed_in(gate, email):
    browser = Browser(gate)
    assert (await browser.sign_in(email, PASSWORD)).status == 303
    return browser


def _leads_to(answer, page):
    """Every address that a reader of this answer may be led to, escapes of the page undone."""
    yield from answer.headers.getall("Location", [])
    yield from map(unescape, _LINK.findall(page))
    for field in _NEXT.findall(page):
        yield input_named(field, "next").get("value", "")


def _handed_on(address):
    """What a page of the gate's own is told to go on to; another's query is its own business."""
    parts = urlsplit(address)
    return parse_qs(parts.query).get("next", []) if parts.path.startswith("/_gate/") else []


async def _stays(gate, answer, text):
    """``answer`` leads nowhere but here, also in what it hands on to the next page."""
    page = await answer.text()
    assert answer.status < 500, text
    assert "Refresh" not in answer.headers
    assert not re.search(r"http-equiv", page)
    for address in _leads_to(answer, page):
        for each in (address, *_handed_on(address)):
            assert resolved_origin(each, gate.url) in {gate.url, "otpauth:"}, (answer.url, text, address)
    assert answer.headers.get("Content-Security-Policy", "form-action 'self'").endswith("form-action 'self'"), text


class People:
    """Ada has a password, Grace an app and a passkey too; Edsger has yet to come. Each goes a way to its end."""

    def __init__(self, gate, ada, app, passkey):
        self.gate, self.ada, self.app, self.passkey = gate, ada, app, passkey
        self.newcomers = 0

    @classmethod
    async def of(cls, gate):
        for email in (ADA, GRACE, EDSGER):
            await gate.register(email)
        grace = await gate.login(GRACE)
        app = await enrol_totp(gate, grace)
        key = Authenticator(gate.url)
        await enrol_passkey(gate, app.tokens, key)
        return cls(gate, await _signed_in(gate, ADA), app.secret, key)

    async def signs_in(self, text):
        yield await Browser(self.gate).submit("/_gate/login", {"email": ADA, "password": PASSWORD, "next": text})

    async def signs_in_with_a_second_factor(self, text):
        browser = Browser(self.gate)
        yield (first := await browser.submit("/_gate/login", {"email": GRACE, "password": PASSWORD, "next": text}))
        self.gate.clock.advance(31)
        step = {"challenge": input_named(await first.text(), "challenge")["value"], "next": text}
        for tried in ({"method": "totp", "code": "x"}, {"method": "otp", "send": "first"}):
            yield await browser.submit("/_gate/second-factor", {**step, **tried})
        fields = {**step, "method": "totp", "code": code(self.app, self.gate)}
        yield (last := await browser.submit("/_gate/second-factor", fields))
        assert last.status == 303

    async def signs_in_by_a_passkey_alone(self, text):
        asked = await (await self.gate.post("passkey/options", {})).json()
        shown = {"challenge": asked["challenge"], "response": json.dumps(self.passkey.get(asked["public_key"]))}
        yield (answer := await Browser(self.gate).submit("/_gate/passkey", {**shown, "next": text}))
        assert answer.status == 303

    async def signs_in_by_a_mailed_code(self, text):
        browser = Browser(self.gate)
        self.gate.clock.advance(31)
        yield (first := await browser.submit("/_gate/otp", {"email": ADA, "next": text}))
        step = {"challenge": input_named(await first.text(), "challenge")["value"], "purpose": "login", "next": text}
        for tried in ({"again": "1"}, {"code": "x"}, {"challenge": "x"}):
            yield await browser.submit("/_gate/otp", {**step, **tried})
        yield (last := await browser.submit("/_gate/otp", {**step, "code": self.gate.console.code(ADA, "login")}))
        assert last.status == 303

    async def registers(self, text):
        self.newcomers += 1
        email = f"newcomer{self.newcomers}@example.com"
        for fields in ({"email": "x"}, {"email": ADA, "password": PASSWORD}, {"email": email, "password": PASSWORD}):
            yield (answer := await Browser(self.gate).submit("/_gate/register", {**fields, "next": text}))
        assert answer.status == 303

    async def forgets_the_password(self, text):
        for email in ("", ADA):
            yield await Browser(self.gate).submit("/_gate/forgot", {"email": email, "next": text})

    async def confirms_that_it_is_her(self, text):
        fields = {"method": "password", "password": PASSWORD, "next": text}
        for changes in ({"password": "wrong"}, {"method": "otp", "send": "first"}, {}, {"interrupted": "POST /x"}):
            yield (answer := await self.ada.submit("/_gate/step-up", {**fields, **changes}))
        assert answer.status == 200

    async def adds_an_app_and_a_passkey(self, text):
        """Whose recovery codes are shown once, before what comes next."""
        at, browser = "/_gate/account/factors", await _signed_in(self.gate, EDSGER)
        yield (page := await browser.submit(f"{at}/totp", {"next": text}))
        secret = re.search(r'id="secret">([^<]+)<', await page.text())[1].replace(" ", "")
        for shown in ("x", code(secret, self.gate)):
            yield (codes := await browser.submit(f"{at}/totp/confirm", {"code": shown, "next": text}))
        assert "Recovery codes" in await codes.text()
        asked = await self._options(browser)
        made = Authenticator(self.gate.url).create(asked["public_key"])
        fields = {"challenge": asked["challenge"], "response": json.dumps(made), "next": text}
        yield (added := await browser.submit(f"{at}/passkeys", fields))
        assert added.status == 303
        yield await browser.submit(f"{at}/recovery-codes", {"next": text})
        (passkey,) = re.findall(r'name="id" value="([^"]+)"', await (await browser.get(at)).text())
        assert (await browser.submit(f"{at}/passkeys/remove", {"id": passkey})).status == 303
        assert (await browser.submit(f"{at}/totp/remove", {})).status == 303

    async def _options(self, browser):
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        own = {"Cookie": cookies, "Origin": self.gate.url}
        return await (await self.gate.post("factors/passkeys/options", headers=own)).json()

    ways = (
        signs_in,
        signs_in_with_a_second_factor,
        signs_in_by_a_passkey_alone,
        signs_in_by_a_mailed_code,
        registers,
        forgets_the_password,
        confirms_that_it_is_her,
        adds_an_app_and_a_passkey,
    )


async def _go_every_way(gate, people, text):
    for way in people.ways:
        async for answer in way(people, text):
            await _stays(gate, answer, text)


def _every_page(gate):
    """Also those that have no use for ``next``, and those that come later."""
    paths = {route.resource.canonical for route in gate.gatekeeper.app.router.routes() if route.resource}
    pages = {path for path in paths if path.startswith("/_gate/") and not path.startswith(_SURFACES)}
    assert set(TAKE_NEXT) < pages
    return sorted(pages)


async def _see(gate, pages, readers, text):
    for path in pages:
        for reader in readers:
            await _stays(gate, await reader.get(f"{path}?next={quote(text, safe='')}"), text)
            if path != "/_gate/logout":
                await _stays(gate, await reader.submit(path, {"next": text, "lang": "de"}), text)


async def test_no_way_leads_away(gate):
    people = await People.of(gate)
    for text in KINDS:
        await _go_every_way(gate, people, text)


async def test_no_page_leads_away(gate):
    await gate.register(ADA)
    readers = (Browser(gate), await _signed_in(gate, ADA))
    pages = _every_page(gate)
    for text in KINDS:
        await _see(gate, pages, readers, text)


async def test_no_string_of_the_corpus_is_followed_by_whoever_is_signed_in(gate):
    await gate.register(ADA)
    ada = await _signed_in(gate, ADA)
    for text in CORPUS:
        answer = await ada.get(f"/_gate/login?next={quote(text, safe='')}")
        assert answer.status == 303
        await _stays(gate, answer, text)


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_no_string_of_the_corpus_leads_away_from_any_page(gate):
    people = await People.of(gate)
    readers = (Browser(gate), people.ada)
    for text in CORPUS:
        await _go_every_way(gate, people, text)
        await _see(gate, TAKE_NEXT, readers, text)


async def test_a_good_target_is_where_every_way_ends(gate):
    """So the others were not led home for want of reading ``next``."""
    people, good = await People.of(gate), "/reports?a=1&b=2"
    for way in people.ways:
        found = [address async for answer in way(people, good) for address in _leads_to(answer, await answer.text())]
        assert any(good in (address, *_handed_on(address)) for address in found), way
