"""The login and logout pages as a browser without JavaScript meets them (security 8, 15, 21, 28)."""

import re

import pytest
import pytest_asyncio
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import OneGate, bearer, running_gate

EMAIL = "ada@example.com"


@pytest.fixture
def browser(gate):
    return Browser(gate)


@pytest.fixture
async def ada(gate):
    return await gate.register(EMAIL)


class TestForms(OneGate):
    """What they say, and what they refuse before it is an attempt."""

    async def test_the_login_page_is_a_labelled_form_without_inline_scripts_or_inline_styles(self, browser):
        answer = await browser.get("/_gate/login")
        page = await answer.text()
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
        assert input_named(page, "email") | {"type": "email", "autocomplete": "username"} == input_named(page, "email")
        assert input_named(page, "password")["autocomplete"] == "current-password"
        for name in ("email", "password"):
            assert f'<label for="{name}">' in page
            assert input_named(page, name)["id"] == name
        assert re.search(r'<form method="post" action="/_gate/login"', page)
        assert not re.search(r"<script(?! type=\"module\" src=\"/_gate/static/)|<style|\sstyle=|\son[a-z]+=", page)

    async def test_the_pages_carry_the_headers_of_the_gates_own_pages(self, browser):
        headers = (await browser.get("/_gate/login")).headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        )
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in headers
        # Under no-referrer browsers send `Origin: null` with a form, and nobody could sign in (Fetch 3.1.1).
        assert headers["Referrer-Policy"] == "same-origin"

    async def test_empty_fields_are_named_at_the_field(self, browser):
        answer = await browser.submit("/_gate/login", {"email": " "})
        page = await answer.text()
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (422, "validation")
        for name, sentence in (("email", "Enter your e-mail."), ("password", "Enter your password.")):
            field = input_named(page, name)
            assert (field["aria-invalid"], field["aria-describedby"]) == ("true", f"{name}-fault")
            assert f'<p class="fault" id="{name}-fault">{sentence}</p>' in page
        long = await browser.sign_in("a" * 400 + "@example.com", "x")
        assert long.status == 422

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            (b"email=%ff&password=x", {}, 400),
            (b"email=%zz&password=x", {}, 400),
            (b"email=\xc3\xa9&password=x", {}, 400),
            (b"email=a%40b.example&email=c%40d.example&password=x", {}, 400),
            (b"&".join(b"f%d=1" % number for number in range(40)), {}, 400),
            (b"email=" + b"a" * 70_000, {}, 413),
            (b'{"email":"a@b.example"}', {"Content-Type": "application/json"}, 415),
            (b"email=a", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
            (b"email=a", {"Content-Type": "text/plain"}, 415),
        ],
    )
    async def test_a_malformed_form_is_a_page_and_no_attempt(self, browser, gate, body, headers, status):
        """security 28"""
        answer = await browser.submit("/_gate/login", body, headers)
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert "Traceback" not in await answer.text()
        assert await gate.rows("SELECT 1 FROM login_logs") == []

    async def test_a_form_in_chunks_is_bounded_too(self, browser):
        """security 6"""

        async def endless():
            for _ in range(100):
                yield b"a" * 1024

        answer = await browser.gate.call(
            "POST",
            "/_gate/login",
            data=endless(),
            headers={"Origin": browser.gate.url, "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == 413

    @pytest.mark.parametrize("cookie", ["gate=broken", "gate=a; gate=b", "gate-refresh=broken"])
    async def test_with_bad_cookies_the_login_page_is_shown(self, gate, cookie):
        assert (await gate.call("GET", "/_gate/login", headers={"Cookie": cookie})).status == 200

    async def test_signing_out_without_a_session_is_harmless(self, browser):
        assert "no session" in await text_of(await browser.get("/_gate/logout"))
        answer = await browser.submit("/_gate/logout", {})
        assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login")


async def test_over_https_the_pages_ask_for_https_for_good(postgres_dsn, redis_url, tmp_path):
    async with running_gate(postgres_dsn, redis_url, tmp_path, public_url="https://gate.example") as gate:
        page = f"{gate.listening}/_gate/login"
        async with gate.client.get(page, headers={"Host": "gate.example"}) as answer:
            assert answer.status == 200
        assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def signed_in(gate_of_class):
    """The browser of a class, with a session."""
    await gate_of_class.register(EMAIL)
    browser = Browser(gate_of_class)
    await browser.sign_in(EMAIL, PASSWORD)
    return browser


async def test_a_login_sets_both_cookies_and_leads_on(browser, gate, ada):
    answer = await browser.submit("/_gate/login", {"email": "Ada@Example.com ", "password": PASSWORD, "next": "/x?y=1"})
    assert (answer.status, answer.headers["Location"]) == (303, "/x?y=1")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Vary"] == "Cookie"
    cookies = answer.headers.getall("Set-Cookie")
    assert [value.partition("=")[0] for value in cookies] == ["gate", "gate-refresh", "gate-known"]
    for value in cookies:
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(value.split("; "))
    assert (await browser.get("/x")).status == 200
    assert (await gate.rows("SELECT result, method FROM login_logs"))[0] == {"result": "success", "method": "password"}


@pytest.mark.parametrize(
    "target", ["//elsewhere.example", "https://elsewhere.example/", "/\\elsewhere.example", "javascript:x"]
)
async def test_a_login_never_leads_elsewhere(browser, ada, target):
    """security 21"""
    form = await browser.get("/_gate/login?next=" + target.replace("/", "%2F").replace("\\", "%5C").replace(":", "%3A"))
    assert "elsewhere" not in await form.text()
    answer = await browser.submit("/_gate/login", {"email": EMAIL, "password": PASSWORD, "next": target})
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_next_survives_a_wrong_password(browser, ada):
    form = await (await browser.get("/_gate/login?next=%2Freports%3Fa%3D1%26b%3D%2522")).text()
    assert input_named(form, "next")["value"] == "/reports?a=1&b=%22"
    again = await browser.submit("/_gate/login", {"email": EMAIL, "password": "wrong", "next": "/reports?a=1&b=%22"})
    assert input_named(await again.text(), "next")["value"] == "/reports?a=1&b=%22"


async def test_the_form_may_lead_to_a_listed_origin_only(postgres_dsn, redis_url, tmp_path):
    """Chromium holds redirects of a form to the page's form-action, so the page must allow that one more."""
    async with running_gate(postgres_dsn, redis_url, tmp_path, hosts=["app.example"]) as gate:
        listed = await Browser(gate).get("/_gate/login?next=http%3A%2F%2Fapp.example%2Fstart")
        assert listed.headers["Content-Security-Policy"].endswith("form-action 'self' http://app.example")
        other = await Browser(gate).get("/_gate/login?next=http%3A%2F%2Felsewhere.example%2Fstart")
        assert other.headers["Content-Security-Policy"].endswith("form-action 'self'")


async def test_a_wrong_password_says_so_and_keeps_the_email(browser, ada):
    """security 15: the same page for an unknown e-mail"""
    pages = {}
    for email in (EMAIL, "eve@example.com"):
        answer = await browser.sign_in(email, "wrong")
        pages[email] = await answer.text()
        assert answer.status == 401
        assert answer.headers["X-Gate-Reason"] == "invalid-credentials"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert 'role="alert">The e-mail or the password is wrong.<' in pages[email]
        assert input_named(pages[email], "email")["value"] == email
        assert "value" not in input_named(pages[email], "password")
    assert pages["eve@example.com"] == pages[EMAIL].replace(EMAIL, "eve@example.com")


async def test_what_was_typed_is_escaped(browser):
    """security 22"""
    answer = await browser.sign_in('"><script>alert(1)</script>@example.com', "wrong")
    page = await answer.text()
    assert answer.status == 401
    assert "<script>" not in page
    assert input_named(page, "email")["value"] == '"><script>alert(1)</script>@example.com'


async def test_too_many_attempts_say_how_long_to_wait(postgres_dsn, redis_url, tmp_path):
    settings = {"limits": {"login_per_account": "2/15minutes"}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        browser = Browser(gate)
        for _ in range(2):
            assert (await browser.sign_in(EMAIL, "wrong")).status == 401
        answer = await browser.sign_in(EMAIL, "wrong")
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (429, "rate-limited")
        assert int(answer.headers["Retry-After"]) > 0
        assert re.search(r"Too many attempts\. Try again in \d+ (minutes|seconds?)\.", await text_of(answer))
        assert input_named(await answer.text(), "email")["value"] == EMAIL


class TestForeignForms(OneGate):
    """Another site signs nobody in or out."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": None, "Sec-Fetch-Site": None},
            {"Origin": "http://elsewhere.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ],
    )
    @pytest.mark.parametrize("path", ["/_gate/login", "/_gate/logout"])
    async def test_a_form_sent_from_elsewhere_is_refused_as_a_page(self, signed_in, gate, path, headers):
        """security 8"""
        answer = await signed_in.submit(path, {"email": EMAIL, "password": PASSWORD}, headers)
        assert (answer.status, answer.content_type, answer.headers["X-Gate-Reason"]) == (403, "text/html", "csrf")
        assert "Set-Cookie" not in answer.headers
        assert (await signed_in.get("/x")).status == 200
        assert len(await gate.rows("SELECT 1 FROM sessions WHERE ended_at IS NULL")) == 1


async def test_control_characters_are_just_a_wrong_password(browser):
    """security 28"""
    answer = await browser.submit("/_gate/login", b"email=a%00b%40example.com&password=%00%0d%0a")
    assert answer.status == 401


async def test_with_a_live_session_the_login_page_leads_on(browser, ada):
    await browser.sign_in(EMAIL, PASSWORD)
    answer = await browser.get("/_gate/login?next=%2Freports")
    assert (answer.status, answer.headers["Location"]) == (303, "/reports")
    away = await browser.get("/_gate/login?next=%2F%2Felsewhere.example")
    assert (away.status, away.headers["Location"]) == (303, "/")


async def test_the_login_page_renews_an_expired_access_cookie_in_passing(browser, gate, ada):
    await browser.sign_in(EMAIL, PASSWORD)
    before = dict(browser.cookies)
    gate.clock.advance(901)
    answer = await browser.get("/_gate/login")
    assert answer.status == 303
    assert [value.partition("=")[0] for value in answer.headers.getall("Set-Cookie")] == ["gate"]
    assert browser.cookies["gate"] != before["gate"]
    assert (await browser.get("/x")).status == 200


async def test_asking_for_the_logout_page_ends_nothing(browser, ada):
    """security 8: GET changes nothing"""
    await browser.sign_in(EMAIL, PASSWORD)
    answer = await browser.get("/_gate/logout")
    assert answer.status == 200
    assert f"signed in as {EMAIL}" in await text_of(answer)
    assert '<form method="post" action="/_gate/logout">' in await answer.text()
    assert (await browser.get("/x")).status == 200


async def test_signing_out_ends_the_session_everywhere_and_clears_the_cookies(browser, gate, ada):
    """security 12"""
    await browser.sign_in(EMAIL, PASSWORD)
    kept = dict(browser.cookies)
    elsewhere = await gate.login(EMAIL)
    answer = await browser.submit("/_gate/logout", {})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login")
    assert set(browser.cookies) == {"gate-known"}  # it says who signed in before, not who is signed in
    browser.cookies = kept
    assert (await browser.get("/x")).status == 302
    browser.cookies = {"gate-refresh": kept["gate-refresh"]}
    assert (await browser.get("/x")).status == 302
    assert (await gate.call("GET", "/x", headers=bearer(elsewhere))).status == 200


async def test_a_login_over_an_old_session_changes_who_is_signed_in(browser, gate, ada):
    """No session id is taken over from before the login (fixation)."""
    await gate.register("bob@example.com")
    await browser.sign_in(EMAIL, PASSWORD)
    before = dict(browser.cookies)
    assert (await browser.sign_in("bob@example.com", PASSWORD)).status == 303
    assert browser.cookies["gate-refresh"].partition(".")[0] != before["gate-refresh"].partition(".")[0]
    assert "bob@example.com" in await text_of(await browser.get("/_gate/logout"))
