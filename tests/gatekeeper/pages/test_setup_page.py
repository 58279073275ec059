"""The first admin's setup page (security 8, 17, 21)."""

import asyncio

import pytest
from factories import NOW, PASSWORD
from forms import Browser, input_named, text_of

EMAIL = "root@example.com"


@pytest.fixture
def browser(gate):
    return Browser(gate)


@pytest.fixture
def link(gate):
    return f"/_gate/setup/{gate.setup_token}"


async def _admins(gate):
    return await gate.rows("SELECT email, name, roles FROM users WHERE 'admin' = ANY (roles)")


async def test_looking_at_the_form_does_not_spend_the_link(browser, gate, link):
    for _ in range(2):
        answer = await browser.get(link)
        page = await answer.text()
        assert answer.status == 200
        assert input_named(page, "password")["autocomplete"] == "new-password"
        assert "At least 12 characters" in await text_of(answer)
    assert await _admins(gate) == []
    assert gate.setup_token not in page


async def test_the_first_admin_is_made_and_signed_in(browser, gate, link):
    answer = await browser.submit(link, {"email": "Root@Example.com", "password": PASSWORD, "name": " Grace "})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/")
    assert await _admins(gate) == [{"email": EMAIL, "name": "Grace", "roles": ["admin"]}]
    panel = await browser.get("/_gate/admin/")
    assert panel.headers["Location"] == "/_gate/step-up?next=%2F_gate%2Fadmin%2F&acr_values=2fa"
    assert (await Browser(gate).sign_in(EMAIL, PASSWORD)).status == 303
    audit = await gate.rows("SELECT action, actor, subject, after, host(address) AS address, request_id FROM audit_log")
    assert len(audit) == 1
    assert audit[0] == {
        "action": "user.setup",
        "actor": audit[0]["subject"],
        "subject": audit[0]["subject"],
        "after": {"email": EMAIL, "roles": ["admin"]},
        "address": "127.0.0.1",
        "request_id": audit[0]["request_id"],
    }
    assert audit[0]["request_id"]


async def test_a_used_link_is_not_found(browser, gate, link):
    await browser.submit(link, {"email": EMAIL, "password": PASSWORD})
    assert (await Browser(gate).get(link)).status == 404
    again = await Browser(gate).submit(link, {"email": "eve@example.com", "password": PASSWORD})
    assert (again.status, again.content_type) == (404, "text/html")
    assert "has been used, has expired, or never was" in await text_of(again)
    assert [row["email"] for row in await _admins(gate)] == [EMAIL]


async def test_twenty_parallel_posts_make_exactly_one_admin(gate, link):
    browsers = [Browser(gate) for _ in range(20)]
    answers = await asyncio.gather(
        *(
            browser.submit(link, {"email": f"admin{number}@example.com", "password": PASSWORD})
            for number, browser in enumerate(browsers)
        )
    )
    assert sorted(answer.status for answer in answers) == [303, *[404] * 19]
    assert len(await _admins(gate)) == 1
    assert len(await gate.rows("SELECT 1 FROM users")) == 1


async def test_a_link_is_good_for_an_hour(browser, gate, link):
    gate.clock.advance(3599)
    assert (await browser.get(link)).status == 200
    gate.clock.advance(1)
    assert gate.clock.now() == NOW + 3600
    assert (await browser.get(link)).status == 404
    assert (await browser.submit(link, {"email": EMAIL, "password": PASSWORD})).status == 404
    assert await _admins(gate) == []


@pytest.mark.parametrize("token", ["x", "A" * 43, "%00" * 43, "é" * 43, "A" * 2000])
async def test_an_unknown_link_is_not_found(browser, token):
    answer = await browser.get(f"/_gate/setup/{token}")
    assert answer.status in {400, 404}
    posted = await browser.submit(f"/_gate/setup/{token}", {"email": EMAIL, "password": PASSWORD})
    assert posted.status in {400, 404}


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({}, {"email": "Enter your e-mail.", "password": "The password must have at least 12 characters."}),
        ({"email": "root@@example.com", "password": PASSWORD}, {"email": "The e-mail must contain exactly one @."}),
        ({"email": EMAIL, "password": "short"}, {"password": "The password must have at least 12 characters."}),
        (
            {"email": EMAIL, "password": "QwertyQwerty"},
            {"password": "The password is one of the most common passwords."},
        ),
        ({"email": EMAIL, "password": "x" * 1025}, {"password": "The password must have at most 1024 characters."}),
        (
            {"email": EMAIL, "password": PASSWORD, "name": "a\nb"},
            {"name": "The name must be visible text on one line."},
        ),
        ({"email": EMAIL, "password": PASSWORD, "name": "x" * 201}, {"name": "The name is too long."}),
        (
            {"email": "root", "password": "short", "name": "\x07"},
            {
                "email": "The e-mail must contain exactly one @.",
                "password": "The password must have at least 12 characters.",
                "name": "The name must be visible text on one line.",
            },
        ),
    ],
)
async def test_every_fault_stands_at_its_field_and_values_are_kept(browser, gate, link, fields, faults):
    """security 17"""
    answer = await browser.submit(link, fields)
    page = await answer.text()
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (422, "validation")
    seen = await text_of(answer)
    for name in ("email", "password", "name"):
        field = input_named(page, name)
        assert ("aria-invalid" in field) == (name in faults)
        if name in faults:
            assert f"{name}-fault" in field["aria-describedby"].split()
            assert f'id="{name}-fault"' in page
            assert faults[name] in seen
    assert input_named(page, "email")["value"] == fields.get("email", "")
    assert "value" not in input_named(page, "password")
    assert await _admins(gate) == []
    assert (await browser.submit(link, {"email": EMAIL, "password": PASSWORD})).status == 303


async def test_a_taken_email_is_said_and_leaves_the_link_good(browser, gate, link):
    await gate.register(EMAIL)
    answer = await browser.submit(link, {"email": EMAIL, "password": PASSWORD})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (409, "email-taken")
    assert "There is an account with this e-mail already." in await text_of(answer)
    assert (await browser.submit(link, {"email": "other@example.com", "password": PASSWORD})).status == 303


@pytest.mark.parametrize("headers", [{"Origin": None, "Sec-Fetch-Site": None}, {"Origin": "http://elsewhere.example"}])
async def test_a_form_from_elsewhere_makes_nobody_an_admin(browser, gate, link, headers):
    """security 8"""
    answer = await browser.submit(link, {"email": EMAIL, "password": PASSWORD}, headers)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    assert await _admins(gate) == []
