"""Bans in the panel: those that are over, histories, and lists that are taken as a whole or not at all (issue 7)."""

import json
from io import BytesIO

from factories import PASSWORD
from forms import Browser, text_of

IMPORT = "/_gate/admin/bans/import"
LIST = b"# a list\n192.0.2.7\n198.51.100.0/24\tuntil=2027-02-01T00:00:00Z\t# scans\n203.0.113.9 until=2020-01-01\n"


def multipart(fields):
    """A form with a file as browsers send it: its headers and its body."""
    body = b""
    for name, value in fields:
        file = '; filename="list.txt"' if name == "file" else ""
        body += f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
    return {"Content-Type": "multipart/form-data; boundary=b"}, body + b"--b--\r\n"


async def _send(browser, fields):
    headers, body = multipart(fields.items())
    return await browser.submit(IMPORT, body, headers)


async def _bans(gate):
    return {row["subject"]: row for row in await gate.rows("SELECT subject, reason, until FROM bans ORDER BY subject")}


async def test_bans_that_are_over_are_kept_with_how_they_ended(gate, admin):
    for subject, length in (("192.0.2.1", "1h"), ("192.0.2.2", "2h"), ("192.0.2.3", "")):
        await admin.submit("/_gate/admin/bans", {"subject": subject, "length": length, "why": "scans"})
    assert "No ban is over yet." in await text_of(await admin.get("/_gate/admin/bans/ended"))
    await admin.submit("/_gate/admin/bans/lift", {"subject": "192.0.2.3"})
    gate.clock.advance(7200)
    await admin.submit("/_gate/admin/bans/lift", {"subject": "192.0.2.3"})
    await admin.submit("/_gate/step-up", {"method": "password", "password": PASSWORD})
    page = await text_of(await admin.get("/_gate/admin/bans/ended"))
    assert "192.0.2.2 network 2027-01-15 10:00:00 just now ran out" in page
    assert "192.0.2.3 network 2027-01-15 08:00:00 2 h ago lifted by" in page
    rows = json.loads(await (await admin.get("/_gate/admin/api/bans/ended")).text())
    assert [row["subject"] for row in rows["bans"]] == ["192.0.2.2", "192.0.2.1", "192.0.2.3"]
    assert (rows["bans"][2]["lifted"], rows["next"]) == ("2027-01-15T08:00:00Z", None)
    call = await admin.get("/_gate/admin/api/bans/history?subject=192.0.2.3")
    assert [row["reason"] for row in json.loads(await call.text())["bans"]] == ["scans"]
    assert (await admin.get("/_gate/admin/api/bans/history?subject=nonsense")).status == 422
    assert (await admin.get("/_gate/admin/bans/ended?after=1")).status == 422


async def test_a_file_is_put_in_force_as_a_whole_and_what_is_over_is_left_out(gate, admin):
    answer = await _send(admin, {"file": LIST, "text": b"", "length": b"1h", "why": b"feed of today"})
    assert (answer.status, answer.headers["Location"]) == (303, "/_gate/admin/bans?done=bans-imported")
    bans = await _bans(gate)
    assert {subject: row["reason"] for subject, row in bans.items()} == {
        "192.0.2.7": "feed of today",
        "198.51.100.0/24": "scans",
    }
    assert bans["192.0.2.7"]["until"].isoformat() == "2027-01-15T09:00:00+00:00"
    (change,) = await gate.rows("SELECT subject, after FROM audit_log WHERE action = 'ban.import'")
    assert (change["subject"], change["after"]["reason"]) == ("2 bans", "feed of today")
    over = await _send(admin, {"text": b"203.0.113.9 until=2020-01-01", "why": b"x"})
    assert over.headers["Location"] == "/_gate/admin/bans?done=bans-none"


async def test_with_one_bad_line_nothing_changes_and_each_mistake_is_shown(gate, admin):
    text = b"192.0.2.7\r\nnonsense<b>\r\n10.0.0.1/8\r\n0.0.0.0/0\r\n127.0.0.0/8"
    answer = await _send(admin, {"file": b"", "text": text, "why": b"x"})
    page = await text_of(answer)
    assert answer.status == 422
    assert "line 2: 'nonsense<b>' is no address" in page
    assert "line 3: '10.0.0.1/8' has bits set behind its prefix" in page
    assert "line 4: '0.0.0.0/0' holds everybody" in page
    assert "nonsense<b>" not in await answer.text()  # as it would be if it were no text
    assert await _bans(gate) == {}
    both = await _send(admin, {"file": LIST, "text": LIST, "why": b"x"})
    assert (both.status, "one of both" in await text_of(both)) == (422, True)
    assert "names nobody" in await text_of(await _send(admin, {"text": b"# nothing", "why": b"x"}))
    assert (await _send(admin, {"text": LIST, "why": b" "})).status == 422
    assert (await _send(admin, {"text": LIST, "why": b"x", "length": b"soon"})).status == 422
    assert await _bans(gate) == {}


async def test_who_would_ban_themselves_is_asked_once_more_and_may(gate, admin):
    (me,) = await gate.rows("SELECT id FROM users")
    for subject, said in (
        ("127.0.0.0/8", "127.0.0.0/8 holds 127.0.0.1, from which you are asking"),
        ("127.0.0.1", "127.0.0.1 is the address from which you are asking"),
        ("root@example.com", "root@example.com is your own account"),
        (f"user:{me['id']}", "is your own account"),
    ):
        fields = {"subject": subject, "length": "1h", "why": 'a "slip"', "sure": "no"}
        answer = await admin.submit("/_gate/admin/bans", fields)
        page = await answer.text()
        assert (answer.status, said in page, 'value="a &#34;slip&#34;"' in page) == (422, True, True)
    assert await _bans(gate) == {}
    meant = await admin.submit("/_gate/admin/bans", {"subject": "127.0.0.0/8", "why": "x", "sure": "yes"})
    assert (meant.status, list(await _bans(gate))) == (303, ["127.0.0.0/8"])
    assert (await admin.get("/_gate/admin/bans")).status == 200  # bans.allow names that address


async def test_a_list_that_would_ban_its_importer_is_asked_about_with_the_list_kept(gate, admin):
    fields = {"file": b"192.0.2.7\n127.0.0.0/8 # <b>\n", "text": b"", "length": b"1h", "why": b"feed"}
    answer = await _send(admin, fields)
    page = await answer.text()
    assert (answer.status, "line 2: 127.0.0.0/8 holds 127.0.0.1" in page) == (422, True)
    assert "192.0.2.7\n127.0.0.0/8 # &lt;b&gt;\n</textarea>" in page
    assert await _bans(gate) == {}
    long = await _send(admin, fields | {"file": b"127.0.0.1\n" + b"# long\n" * 20_000})
    assert "Choose the file again" in await long.text()
    assert (await _send(admin, fields | {"sure": b"yes"})).status == 303
    assert list(await _bans(gate)) == ["127.0.0.0/8", "192.0.2.7"]


BAD = [
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"text=192.0.2.7&why=x", 415),
    (*multipart([("why", b"x"), ("text", LIST), ("text", LIST)]), 400),
    (*multipart([(f"f{n}", b"x") for n in range(40)]), 400),
    ({"Content-Type": "multipart/form-data"}, b"x", 400),
    ({"Content-Type": "multipart/form-data; boundary=b"}, b"--c\r\n\r\n", 400),
    ({"Content-Type": "multipart/form-data; boundary=b"}, b'--b\r\nContent-Disposition: form-data; name="why"', 400),
    ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n", 400),
]


async def test_a_form_that_no_browser_sends_changes_nothing(gate, admin):
    for headers, body, status in BAD:
        assert (await admin.submit(IMPORT, body, headers)).status == status, body
    headers, body = multipart([("why", b"x"), ("file", b"1" * ((11 << 20) + 1))])
    headers |= {"Cookie": f"gate={admin.cookies['gate']}", "Origin": gate.url}
    assert (await gate.call("POST", IMPORT, data=BytesIO(body), headers=headers)).status == 413
    assert await _bans(gate) == {}


async def test_the_same_by_a_call(gate, admin):
    cookies = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    headers = {"Cookie": cookies, "Origin": gate.url}

    async def call(body):
        answer = await gate.call("POST", "/_gate/admin/api/bans/import", json=body, headers=headers)
        return answer.status, json.loads(await answer.text())

    assert await call({"list": LIST.decode(), "why": "feed"}) == (200, {"done": "bans-imported", "bans": 2})
    status, problem = await call({"list": "192.0.2.9\nnonsense", "why": "feed"})
    assert (status, [one["pointer"] for one in problem["errors"]]) == (422, ["/list"])
    for body in (
        [],
        {"list": 1, "why": "x"},
        {"list": "192.0.2.9", "why": "x", "more": "x"},
        {"why": "x"},
        {"list": "192.0.2.9"},
    ):
        assert (await call(body))[0] == 422
    status, problem = await call({"list": "127.0.0.1", "why": "feed"})
    assert (status, problem["errors"]) == (
        422,
        [{"pointer": "/sure", "detail": "line 1: 127.0.0.1 is the address from which you are asking"}],
    )
    assert list(await _bans(gate)) == ["192.0.2.7", "198.51.100.0/24"]
    assert await call({"list": "127.0.0.1", "why": "feed", "sure": True}) == (
        200,
        {"done": "bans-imported", "bans": 1},
    )
    large = {"list": "\n".join(f"198.18.{n // 256}.{n % 256}" for n in range(20_000)), "why": "large"}
    assert await call(large) == (200, {"done": "bans-imported", "bans": 20_000})


async def test_only_admins_come_to_the_form_and_they_prove_to_be_there_before_they_choose_a_file(gate, admin):
    account = await gate.register("audit@example.com")
    await gate.give_roles(account["id"], "auditor")
    auditor = Browser(gate)
    await auditor.sign_in("audit@example.com", PASSWORD)
    assert IMPORT not in await (await auditor.get("/_gate/admin/bans")).text()
    assert [(await auditor.get(IMPORT)).status, (await _send(auditor, {"text": LIST, "why": b"x"})).status] == [
        403,
        403,
    ]
    assert "Import a list of bans" in await text_of(await admin.get(IMPORT))
    gate.clock.advance(301)
    answer = await admin.get(IMPORT)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (302, "step-up-required")
    headers, body = multipart([("text", LIST), ("why", b"x")])
    foreign = await admin.submit(IMPORT, body, {**headers, "Origin": "http://elsewhere.example"})
    assert foreign.status == 403
    assert await _bans(gate) == {}
