"""The audit log in the panel: its filters, a page for each change, and whether anybody changed it (issue 7)."""

import asyncio
import json

import pytest
from factories import PASSWORD
from forms import Browser, text_of
from gates import RunningGate

from admin.views.activity import ActivityViews
from gatekeeper.app.audit import audit_sealer
from gatekeeper.errors import Problem


async def _sealed(gate: RunningGate) -> None:
    """As every gate does by itself within seconds."""
    await audit_sealer(gate.gatekeeper.reloader.running).seal()


async def _tampered(gate, statement):
    await gate.rows(
        "ALTER TABLE audit_log DISABLE TRIGGER USER; GRANT UPDATE, DELETE ON audit_log TO CURRENT_USER;"
        f"{statement}; SELECT 1 AS one"
    )


async def _call(browser, path):
    answer = await browser.get(f"/_gate/admin/api/activity{path}")
    assert answer.status == 200, await answer.text()
    return json.loads(await answer.text())


async def test_a_change_has_a_page_with_its_reason_what_is_different_and_its_seal(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    await admin.submit(f"/_gate/admin/users/{user}/roles", {"roles": "staff, ops", "why": "joins <b>ops</b>"})
    (change,) = (await _call(admin, "?action=user.role"))["changes"]
    seen = await text_of(await admin.get(f"/_gate/admin/activity/{change['id']}"))
    assert "not sealed yet" in seen
    await _sealed(gate)
    answer = await admin.get(f"/_gate/admin/activity/{change['id']}")
    seen = await text_of(answer)
    assert ("“joins <b>ops</b>”" in seen, "<b>ops" in await answer.text()) == (True, False)
    assert "roles after ops after staff" in seen
    assert "tampered" not in seen
    call = await _call(admin, f"/{change['id']}")
    assert call["sealed"] == {"number": 1, "at": "2027-01-15T08:00:00Z", "holds": True}
    await _tampered(gate, f"UPDATE audit_log SET subject = 'eve' WHERE id = {change['id']}")
    assert (await _call(admin, f"/{change['id']}"))["sealed"]["holds"] is False
    assert "does not fit this entry" in await text_of(await admin.get(f"/_gate/admin/activity/{change['id']}"))


async def test_a_change_that_is_not_there_is_not_found(gate, admin):
    for number in ("0", "999", "x", "1" * 30, "-1", "%C2%B2"):
        assert (await admin.get(f"/_gate/admin/api/activity/{number}")).status == 404


async def test_an_untouched_log_is_said_to_be_so_also_to_auditors(gate, admin):
    account = await gate.register("audit@example.com")
    await gate.give_roles(account["id"], "auditor")
    auditor = Browser(gate)
    await auditor.sign_in("audit@example.com", PASSWORD)
    assert "Nothing is sealed yet" in await text_of(await admin.submit("/_gate/admin/activity/verify", {}))
    await _sealed(gate)
    for browser in (admin, auditor):
        answer = await browser.submit("/_gate/admin/activity/verify", {})
        seen = await text_of(answer)
        assert (answer.status, "Nobody has changed the log" in seen) == (200, True)
        assert "under 1 seal; 0 not sealed yet." in seen
    call = await admin.submit("/_gate/admin/api/activity/verify", {})
    found = json.loads(await call.text())
    assert (found["unchanged"], found["faults"], found["seals"], found["remembered"]) == (True, [], 1, True)
    assert (found["newest"]["number"], len(found["newest"]["hash"])) == (1, 64)


async def test_a_log_that_was_tampered_with_is_said_to_be_so(gate, admin):
    await gate.register("ada@example.com")
    await _sealed(gate)
    await _tampered(gate, "UPDATE audit_log SET actor = '<script>' WHERE action = 'user.register'")
    answer = await admin.submit("/_gate/admin/activity/verify", {})
    seen = await text_of(answer)
    assert "The log was tampered with: 1 fault" in seen
    assert "was changed (seal 1); it says user.register by <script>" in seen
    assert "<script>" not in (await answer.text()).replace('<script src="', "")
    await gate.gatekeeper.reloader.running.stores.redis.call("DEL", "gate:audit:head")
    assert "Redis remembers no seal" in await text_of(await admin.submit("/_gate/admin/activity/verify", {}))


async def test_another_site_cannot_have_it_verified_and_strangers_learn_nothing(gate, admin, ada):
    """security 8, 22"""
    answer = await admin.submit("/_gate/admin/activity/verify", {}, {"Origin": "http://elsewhere.example"})
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (403, "csrf")
    assert (await ada.submit("/_gate/admin/activity/verify", {})).status == 404
    assert (await gate.call("POST", "/_gate/admin/api/activity/verify")).status == 401


async def test_changes_are_found_by_their_time(gate, admin):
    await gate.register("ada@example.com")
    gate.clock.advance(600)
    await gate.register("bob@example.com")
    for query, emails in [
        ("since=2027-01-15T08:05", ["bob@example.com"]),
        ("until=2027-01-15T08:05", ["ada@example.com"]),
        ("since=2027-01-15T08:00&until=2027-01-15T08:11", ["bob@example.com", "ada@example.com"]),
    ]:
        rows = (await _call(admin, f"?action=user.register&{query}"))["changes"]
        assert [row["subject_email"] for row in rows] == emails, query
    answer = await admin.get("/_gate/admin/activity?since=yesterday")
    assert (answer.status, "no time such as" in await text_of(answer)) == (422, True)


class _SlowSeals:
    """Takes for ever."""

    def __init__(self):
        self.began = asyncio.Event()

    async def whole(self):
        self.began.set()
        await asyncio.Event().wait()


async def test_the_log_is_verified_once_at_a_time_and_not_for_ever():
    seals = _SlowSeals()
    views = ActivityViews(None, seals, None, patience=0.2)
    first = asyncio.ensure_future(views.verify(None, None))
    await seals.began.wait()
    with pytest.raises(Problem, match="already") as busy:
        await views.verify(None, None)
    with pytest.raises(Problem, match=r"more than 0\.2 s") as late:
        await first
    assert (busy.value.status, late.value.status) == (503, 503)
