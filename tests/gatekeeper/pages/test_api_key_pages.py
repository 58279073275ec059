"""API keys on the account page, as a browser without JavaScript meets them."""

import re

import pytest
from factories import PASSWORD
from forms import Browser, text_of
from yarl import URL

EMAIL = "ada@example.com"
HOME = "/_gate/account"
KEYS = f"{HOME}/api-keys"
FORM = {"name": "nightly", "scopes": "GET /reports/**,  /status", "networks": "", "days": "30"}


@pytest.fixture
async def ada(gate):
    await gate.register(EMAIL)
    browser = Browser(gate)
    await browser.sign_in(EMAIL, PASSWORD)
    return browser


async def _key(answer):
    (key,) = re.findall(r'value="(gk_live_[0-9A-Za-z]{36})"', await answer.text())
    return key


async def _status(gate, key, path):
    return (await gate.call("GET", path, headers={"X-Api-Key": key})).status


def _id(page):
    return re.search(r'name="key" value="([0-9a-f]{16})"', page)[1]


async def test_a_key_is_made_shown_once_rotated_and_revoked(gate, ada):
    assert "New API key" in await text_of(await ada.get(KEYS))
    made = await ada.submit(KEYS, FORM)
    assert (made.status, made.headers["Cache-Control"]) == (200, "no-store")
    key = await _key(made)
    assert [await _status(gate, key, path) for path in ("/reports/1", "/status", "/other")] == [200, 200, 403]
    page = await (await ada.get(HOME)).text()
    assert key not in page
    assert key[:12] in page
    gate.clock.advance(1)
    rotated = await ada.submit(f"{KEYS}/rotate", {"key": _id(page)})
    assert "goes on until" in await text_of(rotated)
    other = await _key(rotated)
    assert [await _status(gate, one, "/status") for one in (key, other)] == [200, 200]
    page = await (await ada.get(HOME)).text()
    assert "replaced" in page
    done = await ada.submit(f"{KEYS}/revoke", {"key": _id(page)})
    assert (done.status, done.headers["Location"]) == (303, f"{HOME}?done=api-key")
    assert "The API key is revoked." in await text_of(await ada.get(f"{HOME}?done=api-key"))
    assert [await _status(gate, one, "/status") for one in (key, other)] == [200, 401]


BAD = [
    ({"name": " "}, "Give the key a name"),
    ({"name": "x" * 61}, "Give the key a name"),
    ({"scopes": " , "}, "Name at least one path"),
    ({"scopes": "GET reports"}, "GET reports is no path such as"),
    ({"scopes": "/x, deploy"}, "Only an administrator may give the scope deploy."),
    ({"scopes": ",".join(f"/{n}" for n in range(40))}, "Those are too many."),
    ({"networks": "10.0.0.0/8, here"}, "here is no address or network"),
    ({"days": "7"}, "Choose one of these."),
    ({"name": "<b>", "scopes": '"><script>'}, "is no path such as"),
]


async def test_what_cannot_be_had_is_said_beside_its_field_and_what_was_typed_stays(gate, ada):
    for changes, words in BAD:
        answer = await ada.submit(KEYS, {**FORM, **changes})
        page = await answer.text()
        assert (answer.status, words in await text_of(answer)) == (422, True), changes
        assert "<b>" not in page
        assert "<script>" not in page
        assert "name" in changes or 'value="nightly"' in page
    assert await gate.rows("SELECT id FROM api_keys") == []


async def test_whoever_signed_in_a_while_ago_confirms_it_first_and_finds_what_was_typed_again(gate, ada):
    gate.clock.advance(301)
    assert (await ada.get(KEYS)).headers["Location"].startswith("/_gate/step-up?next=")
    answer = await ada.submit(KEYS, FORM)
    assert answer.status == 303
    stepped = await ada.submit(
        answer.headers["Location"], {"method": "password", "password": PASSWORD, "next": _next(answer)}
    )
    assert stepped.headers["Location"] == _next(answer)
    page = await (await ada.get(_next(answer))).text()
    assert 'value="nightly"' in page
    assert "GET /reports/**,  /status" in page


def _next(answer):
    return URL(answer.headers["Location"], encoded=True).query["next"]


async def test_nobody_makes_rotates_or_revokes_for_somebody_else(gate, ada):
    key = await _key(await ada.submit(KEYS, FORM))
    page = await (await ada.get(HOME)).text()
    foreign = await ada.submit(KEYS, FORM, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert foreign.status == 403
    await gate.register("bob@example.com")
    bob = Browser(gate)
    await bob.sign_in("bob@example.com", PASSWORD)
    for act in ("rotate", "revoke"):
        assert (await bob.submit(f"{KEYS}/{act}", {"key": _id(page)})).status == 404
        assert (await bob.get(f"{KEYS}/{act}")).headers["Location"] == HOME
    assert (await Browser(gate).get(KEYS)).headers["Location"].startswith("/_gate/login?next=")
    assert await _status(gate, key, "/status") == 200
