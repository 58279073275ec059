"""RFC 9470 at the surfaces: what an API is told, and how a browser is led to the step-up page and back."""

from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from factories import inbound
from gates import bearer, running_gate

from gatekeeper.surfaces.step_up import step_up_location

NAVIGATES = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
STEP_UP = 'Bearer error="insufficient_user_authentication", max_age=600, acr_values="1fa 2fa"'
RULES = [
    {"name": "vault", "path": "/vault/**", "allow": "authenticated", "step_up": "10m"},
    {"name": "two", "path": "/two", "allow": "authenticated", "mfa": True},
]


@pytest_asyncio.fixture
async def gate(postgres_dsn, redis_url, tmp_path):
    async with running_gate(postgres_dsn, redis_url, tmp_path, rules=RULES, trusted_proxies=["127.0.0.0/8"]) as running:
        yield running


async def test_an_api_is_told_how_fresh_a_login_the_rule_wants(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    answer = await gate.call("GET", "/vault/a", headers=bearer(tokens))
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, STEP_UP)
    assert answer.headers["X-Gate-Reason"] == "step-up-required"
    body = await answer.json()
    assert (body["type"], body["max_age"], body["acr_values"]) == ("urn:gatekeeper:step-up-required", 600, "1fa 2fa")


async def test_an_api_is_told_that_the_rule_wants_two_factors(gate):
    answer = await gate.call("GET", "/two", headers=bearer(await gate.newcomer()))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_user_authentication", acr_values="2fa"'


async def test_a_browser_goes_to_the_step_up_page_and_knows_the_way_back(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    answer = await gate.call("GET", "/vault/a?x=%2F&y", headers={**bearer(tokens), **NAVIGATES})
    assert (answer.status, answer.headers["Location"]) == (302, "/_gate/step-up?next=%2Fvault%2Fa%3Fx%3D%252F%26y")


async def test_nginx_gets_401_with_the_challenge_and_the_step_up_page(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    fields = {
        "X-Original-Method": "GET",
        "X-Original-URI": "/vault/a",
        "X-Forwarded-For": "192.0.2.7",
        **bearer(tokens),
    }
    answer = await gate.call("GET", "/_gate/verify", headers=fields)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, STEP_UP)
    assert answer.headers["Location"] == f"{gate.url}/_gate/step-up?next=%2Fvault%2Fa"


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://127.0.0.1:8080/vault/form?id=5", "/vault/form?id=5"),
        ("http://127.0.0.1:8080/", "/"),
        ("http://127.0.0.1:80801/x", "/"),
        ("https://evil.example/vault", "/"),
        ("http://127.0.0.1:8080.evil.example/", "/"),
        ("http://127.0.0.1:8080/" + "a" * 2048, "/"),
        ("http://127.0.0.1:8080/\xe4", "/"),
        ("", "/"),
    ],
)
def test_an_interrupted_post_is_named_and_led_back_to_its_form(referer, back):
    asked = inbound("POST", "/vault/a&b?c=1", headers={"Referer": referer} if referer else {})
    location = urlsplit(step_up_location("/_gate", asked))
    assert location.path == "/_gate/step-up"
    assert parse_qs(location.query) == {"next": [back], "interrupted": ["POST /vault/a&b"]}


async def test_an_interrupted_post_is_answered_with_a_get_of_the_step_up_page(gate):
    tokens = await gate.newcomer()
    gate.clock.advance(601)
    fields = {**bearer(tokens), **NAVIGATES, "Referer": f"{gate.url}/vault/form"}
    answer = await gate.call("POST", "/vault/a", data=b"x=1", headers=fields)
    assert answer.status == 303
    assert answer.headers["Location"] == "/_gate/step-up?next=%2Fvault%2Fform&interrupted=POST%20%2Fvault%2Fa"


async def test_the_page_is_told_where_a_password_alone_will_not_do(gate):
    tokens = await gate.newcomer()
    answer = await gate.call("GET", "/two", headers={**bearer(tokens), **NAVIGATES})
    assert answer.headers["Location"] == "/_gate/step-up?next=%2Ftwo&acr_values=2fa"
