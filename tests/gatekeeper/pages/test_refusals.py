"""Refusals of surfaces as pages: for people in browsers, and for nobody else."""

import pytest
from factories import PASSWORD
from forms import NAVIGATION, Browser, text_of
from gates import bearer, running_gate
from upstreams import unused_port

EMAIL = "ada@example.com"


@pytest.fixture
async def ada(gate):
    await gate.register(EMAIL)
    browser = Browser(gate)
    await browser.sign_in(EMAIL, PASSWORD)
    return browser


async def test_a_browser_that_is_refused_gets_a_page_with_status_and_request_id(gate, ada):
    answer = await ada.get("/admin/x")
    assert (answer.status, answer.content_type, answer.headers["X-Gate-Reason"]) == (403, "text/html", "rule-denied")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    seen = await text_of(answer)
    assert "Not allowed" in seen
    assert "403 · rule-denied" in seen
    again = await text_of(await ada.get("/admin/x"))
    assert seen != again, "the request's id is that of the request"


async def test_a_program_gets_problem_json(gate, ada):
    tokens = await gate.login(EMAIL)
    answer = await gate.call("GET", "/admin/x", headers=bearer(tokens))
    assert (answer.status, answer.content_type) == (403, "application/problem+json")
    answer = await ada.get("/admin/x", **{"Sec-Fetch-Mode": "cors"})
    assert answer.content_type == "application/problem+json"


async def test_an_upstream_that_is_away_is_said_as_a_page(postgres_dsn, redis_url, tmp_path):
    upstreams = {"api": {"targets": [f"http://127.0.0.1:{unused_port()}"]}}
    rules = [{"name": "all", "allow": "anyone"}]
    async with running_gate(postgres_dsn, redis_url, tmp_path, upstreams=upstreams, rules=rules) as gate:
        answer = await Browser(gate).get("/x")
    assert (answer.status, answer.content_type) == (502, "text/html")
    assert "The service is not answering" in await text_of(answer)


async def test_an_address_of_the_gate_that_is_not_there_is_said_as_a_page(gate):
    answer = await Browser(gate).get("/_gate/nothing")
    assert (answer.status, answer.content_type) == (404, "text/html")
    answer = await gate.call("GET", "/_gate/auth/login", headers=NAVIGATION)
    assert (answer.status, answer.content_type) == (405, "text/html")
    assert answer.headers["Allow"] == "POST"


async def test_a_refused_page_tells_apart_who_may_get_it_from_a_cache(ada):
    answer = await ada.get("/admin/x")
    assert "Sec-Fetch-Mode" in ", ".join(answer.headers.getall("Vary"))
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_refusal_is_said_in_the_browsers_language(ada):
    answer = await ada.get("/admin/x", **{"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    assert "Nicht erlaubt" in await text_of(answer)
    assert answer.headers["Content-Language"] == "de"
