"""The mail queue in the panel: what waits and what was given up, tried again and discarded by admins (issue 7.1)."""

import asyncio
import json
import uuid
from contextlib import closing
from dataclasses import replace

import pytest
import pytest_asyncio
import redis
from factories import NOW, PASSWORD
from forms import Browser, text_of
from gates import PATIENCE, OneGate, running_gate
from mail_server import mail_server

from gatekeeper.clock import ManualClock
from gatekeeper.notify.outbox import DECOY, EVENT, Parcel, masked
from gatekeeper.store.outbox import PostgresOutbox

ADMIN = "root@example.com"


@pytest.fixture
async def mail():
    """A mail server that is away."""
    async with mail_server() as server:
        await server.stop()
        yield server


@pytest.fixture
async def gate(postgres_dsn, redis_url, tmp_path, mail):
    """Its clock stands, so what failed once waits until somebody says otherwise."""
    settings = {
        "mfa": {"require_for_roles": []},
        "mail": {"from": "gate@example.org", "smtp": {"host": "127.0.0.1", "port": mail.port, "tls": "none"}},
    }
    async with running_gate(postgres_dsn, redis_url, tmp_path, clock=ManualClock(NOW), **settings) as running:
        yield running


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def gate_of_class(databases, valkey_of_classes, tmp_path_factory):
    """Without a mail server."""
    dsn = databases.take()
    with closing(redis.Redis.from_url(valkey_of_classes.url)) as client:
        client.flushall()
    mfa = {"require_for_roles": []}
    async with running_gate(dsn, valkey_of_classes.url, tmp_path_factory.mktemp("gate"), mfa=mfa) as running:
        yield running
    databases.give_back(dsn)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def queued(gate_of_class):
    """The gate, its admin, and the ids of one message of each sort."""
    gate, names = gate_of_class, ("waiting", "claimed", "event", "late", "gone", "decoy")
    browser = Browser(gate)
    await browser.submit(f"/_gate/setup/{gate.setup_token}", {"email": ADMIN, "password": PASSWORD})
    outbox, now = PostgresOutbox(gate.gatekeeper.reloader.running.stores.postgres), gate.clock.now()
    parcels = {name: _parcel() for name in names}
    hook = {"channel": EVENT, "kind": "ban.add", "recipient": "", "address": "https://hooks.example.com/secret-path"}
    parcels |= {"event": replace(parcels["event"], **hook), "decoy": replace(parcels["decoy"], channel=DECOY)}
    await outbox.put(list(parcels.values()), now + 3600)  # later than the gate's own delivery looks for
    ids = {name: str(parcel.id) for name, parcel in parcels.items()}
    later = "to_timestamp(extract(epoch FROM due_at) + 60)"
    await gate.rows(f"UPDATE outbox SET claimed_until = {later} WHERE id = '{ids['claimed']}' RETURNING 1")
    await outbox.give_up(parcels["late"], "the server is away", now, keep=True)
    await gate.rows(f"UPDATE outbox SET until = to_timestamp({now - 1}) WHERE id = '{ids['late']}' RETURNING 1")
    await outbox.give_up(parcels["gone"], "refused", now, keep=False)
    return gate, browser, ids


def _parcel():
    return Parcel(uuid.uuid4(), "smtp", "test", b"sealed", NOW + 3 * 86_400, recipient=masked("ada@example.com"))


async def _queue(admin, query=""):
    answer = await admin.get(f"/_gate/admin/api/mail{query}")
    assert answer.status == 200
    return json.loads(await answer.text())


async def _settled(admin, query="", **wanted):
    """The only message of the queue, once it is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = (await _queue(admin, query))["messages"]
            if len(found) == 1 and wanted.items() <= found[0].items():
                return found[0]
            await asyncio.sleep(0.02)


async def test_a_mail_that_nobody_took_waits_in_sight_and_goes_when_an_admin_says_so(gate, admin, mail):
    await gate.register("ada@example.com")
    await gate.post("password/forgot", {"email": "ada@example.com"})
    waiting = await _settled(admin, tries=1, sending=False)
    assert (waiting["kind"], waiting["channel"], waiting["to"]) == ("password-reset", "smtp", "a…@example.com")
    assert (waiting["state"], waiting["retriable"], "connecting" in waiting["fault"]) == ("waiting", True, True)
    overview = await text_of(await admin.get("/_gate/admin/"))
    assert "mail queue 1 waiting" in overview
    page = await admin.get("/_gate/admin/mail")
    said = await text_of(page)
    assert "password-reset mail, just now a…@example.com" in said
    assert "ada@example.com" not in await page.text()

    await mail.start()
    answer = await admin.submit("/_gate/admin/mail/retry", {"message": waiting["id"], "why": "it is back"})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/mail?done=mail-retried")
    assert "password" in await mail.next("ada@example.com")
    async with asyncio.timeout(PATIENCE):
        while (await _queue(admin))["waiting"]:  # noqa: ASYNC110  # the outbox tells nobody
            await asyncio.sleep(0.02)
    (row,) = await gate.rows("SELECT subject, before, after FROM audit_log WHERE action = 'mail.retry'")
    assert (row["subject"], row["after"]["why"]) == (waiting["id"], "it is back")
    assert row["before"] == {"kind": "password-reset", "channel": "smtp", "to": "a…@example.com"}


async def test_what_was_given_up_can_be_tried_again_while_it_is_of_use(gate, admin, mail):
    mail.answers.append("550 5.1.1 relaying denied")
    await mail.start()
    await gate.register("ada@example.com")
    await gate.post("password/forgot", {"email": "ada@example.com"})
    given_up = await _settled(admin, "?state=given-up")
    assert ("relaying denied" in given_up["fault"], given_up["retriable"]) == (True, True)
    answer = await admin.submit("/_gate/admin/mail/retry", {"all": "given-up", "why": "relaying is allowed now"})
    assert answer.headers["Location"].endswith("done=mail-retried")
    assert "password" in await mail.next("ada@example.com")
    (row,) = await gate.rows("SELECT subject, before FROM audit_log WHERE action = 'mail.retry'")
    assert (row["subject"], row["before"]) == ("all", {"state": "given-up", "messages": 1})


class TestOfOneGate(OneGate):
    async def test_what_is_being_sent_too_late_or_gone_is_left_alone_and_said(self, queued):
        gate, admin, ids = queued
        for act, which, status, said in [
            ("retry", "claimed", 409, "right now"),
            ("discard", "claimed", 409, "right now"),
            ("retry", "late", 409, "of no use any more"),
            ("retry", "gone", 409, "of no use any more"),
            ("retry", "decoy", 409, "no such message"),
            ("discard", "decoy", 409, "no such message"),
        ]:
            fields = {"message": ids[which], "why": "x"}
            answer = await admin.submit(f"/_gate/admin/mail/{act}", fields)
            assert (answer.status, said in await text_of(answer)) == (status, True), (act, which)
        assert await gate.rows("SELECT 1 FROM audit_log WHERE action LIKE 'mail.%'") == []

    async def test_what_is_asked_wrongly_changes_nothing(self, queued):
        _, admin, ids = queued
        before = await _queue(admin)
        for fields in (
            {"message": ids["waiting"]},
            {"why": "x"},
            {"message": "<b>", "why": "x"},
            {"all": "decoys", "why": "x"},
            {"message": ids["waiting"], "all": "waiting", "why": "x"},
        ):
            for act in ("retry", "discard"):
                answer = await admin.submit(f"/_gate/admin/mail/{act}", fields)
                assert (answer.status, "<b>" in await answer.text()) == (422, False), fields
        assert (await admin.get("/_gate/admin/mail?state=decoys")).status == 422
        assert await _queue(admin) == before

    async def test_a_list_is_filtered_by_kind_and_has_pages_and_counts_no_decoys(self, queued):
        _, admin, ids = queued
        found = await _queue(admin)
        assert (found["waiting"], found["given_up"], found["next"]) == (3, 2, None)
        assert {one["id"] for one in found["messages"]} == {ids["waiting"], ids["claimed"], ids["event"]}
        hook = next(one for one in found["messages"] if one["id"] == ids["event"])
        assert (hook["to"], hook["channel"]) == ("hooks.example.com", "event")
        only = await _queue(admin, "?kind=ban.add")
        assert [one["id"] for one in only["messages"]] == [ids["event"]]
        page = await admin.get("/_gate/admin/mail?kind=ban.add")
        assert "secret-path" not in await page.text()
        for newest, message in ((True, found["messages"][0]), (False, found["messages"][1])):
            after = f"{NOW + 3600:.6f}_{message['id']}"
            rest = (await _queue(admin, f"?after={after}"))["messages"]
            assert [one["id"] for one in rest] == [one["id"] for one in found["messages"][1 if newest else 2 :]]

    async def test_an_auditor_sees_and_does_nothing_and_others_learn_nothing(self, queued):
        """security 22"""
        gate, _, ids = queued
        await gate.give_roles((await gate.register("audit@example.com"))["id"], "auditor")
        await gate.register("bob@example.com")
        for email, shown, status in (("audit@example.com", 200, 403), ("bob@example.com", 404, 404)):
            browser = Browser(gate)
            await browser.sign_in(email, PASSWORD)
            assert (await browser.get("/_gate/admin/mail")).status == shown
            for act in ("retry", "discard"):
                fields = {"message": ids["waiting"], "why": "x"}
                assert (await browser.submit(f"/_gate/admin/mail/{act}", fields)).status == status
        assert await gate.rows("SELECT 1 FROM audit_log WHERE action LIKE 'mail.%'") == []
