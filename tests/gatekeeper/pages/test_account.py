"""The account page as a browser without JavaScript meets it."""

import re

import pytest
import pytest_asyncio
from factories import PASSWORD
from forms import Browser, input_named, text_of
from gates import OneGate, bearer, running_gate

EMAIL = "ada@example.com"
NEW = "another horse battery 7"
HOME = "/_gate/account"


async def _signed_in(gate):
    await gate.register(EMAIL)
    browser = Browser(gate)
    await browser.sign_in(EMAIL, PASSWORD)
    return browser


@pytest.fixture
async def ada(gate):
    return await _signed_in(gate)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def ada_of_class(gate_of_class):
    return await _signed_in(gate_of_class)


async def _other(gate, **headers):
    browser = Browser(gate)
    await browser.submit("/_gate/login", {"email": EMAIL, "password": PASSWORD}, headers)
    return browser


async def _admitted(browser):
    return (await browser.get("/x")).status == 200


async def test_the_account_page_shows_who_where_and_what_happened(gate, ada):
    await Browser(gate).sign_in(EMAIL, "a wrong password")
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    await _other(gate, **{"User-Agent": agent})
    answer = await ada.get(HOME)
    assert answer.status == 200
    seen = await text_of(answer)
    for words in (
        EMAIL,
        "Firefox 140 on Windows",
        "this browser",
        "Failed to sign in",
        "127.0.0.1",
        "last seen just now",
    ):
        assert words in seen


async def test_nobody_sees_it_without_a_session(gate, ada):
    for path in (HOME, f"{HOME}?done=name"):
        answer = await Browser(gate).get(path)
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/_gate/login?next=%2F_gate%2Faccount")
    for path in ("name", "password", "sessions"):
        answer = await Browser(gate).submit(f"{HOME}/{path}", {"name": "x", "others": "1"})
        assert (answer.status, answer.headers["Location"]) == (303, "/_gate/login?next=%2F_gate%2Faccount")


class TestForeignForms(OneGate):
    """Another site acts on no account, and an address that acts only shows."""

    @pytest.fixture
    def ada(self, ada_of_class):
        return ada_of_class

    @pytest.mark.parametrize("path", ["name", "password", "sessions"])
    async def test_looking_at_an_address_that_acts_changes_nothing(self, gate, ada, path):
        """security 8"""
        answer = await ada.get(f"{HOME}/{path}?name=x&others=1")
        assert (answer.status, answer.headers["Location"]) == (303, HOME)
        assert await gate.rows("SELECT name FROM users") == [{"name": None}]

    @pytest.mark.parametrize("path", ["name", "password", "sessions"])
    @pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
    async def test_no_other_site_acts_on_an_account(self, gate, ada, path, site):
        """security 8"""
        other = await _other(gate)
        fields = {"name": "x", "current_password": PASSWORD, "new_password": NEW, "others": "1"}
        answer = await ada.submit(f"{HOME}/{path}", fields, {"Origin": "https://evil.example", "Sec-Fetch-Site": site})
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
        assert await gate.rows("SELECT name FROM users") == [{"name": None}]
        assert await _admitted(other)


async def test_a_name_is_changed_and_the_change_is_on_record(gate, ada):
    answer = await ada.submit(f"{HOME}/name", {"name": " Ada <b>L</b> "})
    assert (answer.status, answer.headers["Location"]) == (303, f"{HOME}?done=name")
    page = await (await ada.get(f"{HOME}?done=name")).text()
    assert input_named(page, "name")["value"] == "Ada <b>L</b>"
    assert "<b>L" not in page
    assert "Your name is changed." in page
    entry = (await gate.rows("SELECT action, before, after FROM audit_log ORDER BY id DESC LIMIT 1"))[0]
    assert entry == {"action": "user.name", "before": {"name": None}, "after": {"name": "Ada <b>L</b>"}}


@pytest.mark.parametrize(
    ("name", "words"), [("a\u202eb", "visible text on one line"), ("x" * 201, "The name is too long.")]
)
async def test_a_name_that_cannot_be_shown_is_refused_beside_its_field(gate, ada, name, words):
    answer = await ada.submit(f"{HOME}/name", {"name": name})
    page = await answer.text()
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (422, "validation")
    assert input_named(page, "name")["aria-describedby"] == "name-fault"
    assert words in page
    assert await gate.rows("SELECT name FROM users") == [{"name": None}]


async def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(gate, ada):
    other = await _other(gate)
    answer = await ada.submit(f"{HOME}/password", {"current_password": PASSWORD, "new_password": NEW})
    assert (answer.status, answer.headers["Location"]) == (303, f"{HOME}?done=password")
    assert await _admitted(ada)
    assert not await _admitted(other)
    assert (await Browser(gate).sign_in(EMAIL, NEW)).status == 303


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [("", NEW, "current_password"), ("a wrong password", NEW, "current_password"), (PASSWORD, "short", "new_password")],
)
async def test_a_password_is_not_changed_without_the_old_or_for_a_bad_one(gate, ada, current, new, field):
    answer = await ada.submit(f"{HOME}/password", {"current_password": current, "new_password": new})
    page = await answer.text()
    assert answer.status == 422
    assert input_named(page, field)["aria-invalid"] == "true"
    assert "<details open>" in page
    assert PASSWORD not in page
    assert (await Browser(gate).sign_in(EMAIL, PASSWORD)).status == 303


async def test_a_session_is_ended_and_thrown_out_at_its_next_click(gate, ada):
    other = await _other(gate)
    page = await (await ada.get(HOME)).text()
    (session,) = re.findall(r'name="session" value="([^"]+)"', page)
    answer = await ada.submit(f"{HOME}/sessions", {"session": session})
    assert (answer.status, answer.headers["Location"]) == (303, f"{HOME}?done=session")
    assert not await _admitted(other)
    assert await _admitted(ada)


async def test_all_other_sessions_are_ended_at_once(gate, ada):
    others = [await _other(gate) for _ in range(2)]
    assert (await ada.submit(f"{HOME}/sessions", {"others": "1"})).status == 303
    assert [await _admitted(other) for other in others] == [False, False]
    assert await _admitted(ada)


async def test_nobody_ends_the_session_of_another(gate, ada):
    bea = await gate.newcomer("bea@example.com")
    answer = await ada.submit(f"{HOME}/sessions", {"session": bea["session_id"]})
    assert answer.status == 404
    assert (await gate.call("GET", "/x", headers=bearer(bea))).status == 200


async def test_what_a_client_sent_is_shown_as_text(gate, ada):
    """security 22"""
    await _other(gate, **{"User-Agent": "<script>alert(1)</script>/1"})
    page = await (await ada.get(HOME)).text()
    assert "<script" not in page


async def test_a_made_up_notice_is_not_shown(ada):
    assert "notice" not in await (await ada.get(f"{HOME}?done=You+have+won")).text()


async def test_only_admins_are_shown_the_way_to_the_panel(gate, ada):
    assert "/_gate/admin" not in await (await ada.get(HOME)).text()


async def test_a_new_password_is_judged_by_all_rules_also_the_score(postgres_dsn, redis_url, tmp_path):
    async with running_gate(postgres_dsn, redis_url, tmp_path, passwords={"min_score": 4}) as gate:
        await gate.register(EMAIL, NEW)
        browser = Browser(gate)
        await browser.sign_in(EMAIL, NEW)
        fields = {"current_password": NEW, "new_password": "passwordpassword1"}
        answer = await browser.submit(f"{HOME}/password", fields)
        assert answer.status == 422
        assert "too easy to guess" in await text_of(answer)
