"""Devices of an account in the panel: what the signals make of them, trusted and forgotten (issue 7.2, 7.5)."""

import json
import re

from factories import PASSWORD
from forms import Browser, text_of
from gates import bearer

EMAIL = "ada@example.com"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)


async def _in(gate, agent, cookies=None):
    browser = Browser(gate)
    browser.cookies = dict(cookies or {})
    answer = await browser.submit("/_gate/login", {"email": EMAIL, "password": PASSWORD}, {"User-Agent": agent})
    assert answer.status == 303
    return browser


async def _devices(gate, admin, user):
    headers = {"Cookie": f"gate={admin.cookies['gate']}"}
    account = await (await gate.call("GET", f"/_gate/admin/api/users/{user}", headers=headers)).json()
    return {device["user_agent"]: device for device in account["devices"]}


async def _signals(gate):
    rows = await gate.rows(
        "SELECT signals FROM login_logs WHERE user_id IS NOT NULL ORDER BY time DESC, id DESC LIMIT 1"
    )
    return set(rows[0]["signals"])


async def test_a_forgotten_device_is_out_at_once_and_new_at_its_next_login(gate, admin):
    """security 12"""
    user = (await gate.register(EMAIL))["id"]
    firefox, chrome = await _in(gate, FIREFOX), await _in(gate, CHROME)
    devices = await _devices(gate, admin, user)
    assert {agent: device["standing"] for agent, device in devices.items()} == {FIREFOX: "known", CHROME: "known"}
    assert "Firefox 140 on Linux" in await text_of(await admin.get(f"/_gate/admin/users/{user}"))
    fields = {"device": devices[FIREFOX]["id"], "why": "sold"}
    answer = await admin.submit(f"/_gate/admin/users/{user}/forget-device", fields)
    assert answer.headers["Location"] == f"/_gate/admin/users/{user}?done=device-forgotten"
    assert (await firefox.get("/_gate/account")).status in {302, 303}
    assert (await chrome.get("/_gate/account")).status == 200
    assert (await _devices(gate, admin, user))[FIREFOX]["standing"] == "forgotten"
    gate.clock.advance(1)
    await _in(gate, FIREFOX, firefox.cookies)  # with the cookie that has made it known before
    assert "new_device" in await _signals(gate)
    assert (await _devices(gate, admin, user))[FIREFOX]["standing"] == "known"
    (change,) = await gate.rows("SELECT subject, after FROM audit_log WHERE action = 'device.forget'")
    assert (change["subject"], change["after"]["why"], change["after"]["user_agent"]) == (user, "sold", FIREFOX)


async def test_a_device_that_was_forgotten_is_trusted_again(gate, admin):
    user = (await gate.register(EMAIL))["id"]
    await _in(gate, FIREFOX)
    device = (await _devices(gate, admin, user))[FIREFOX]["id"]
    for act in ("forget-device", "trust-device"):
        answer = await admin.submit(f"/_gate/admin/users/{user}/{act}", {"device": device, "why": "x"})
        assert answer.status == 303
    gate.clock.advance(1)
    await _in(gate, FIREFOX)
    assert "new_device" not in await _signals(gate)


async def test_the_device_of_an_odd_login_is_trusted_from_the_login(gate, admin):
    await gate.register(EMAIL)
    await _in(gate, FIREFOX)
    tries = {"email": EMAIL, "password": "wrong horse battery 9"}
    await gate.post("login", tries, headers={"User-Agent": CHROME})
    (row,) = await gate.rows("SELECT id FROM login_logs WHERE result = 'failure'")
    page = f"/_gate/admin/logins/{row['id']}"
    assert "Trust this device" in await text_of(await admin.get(page))
    answer = await admin.submit(f"{page}/trust", {"why": "her new laptop"})
    assert answer.headers["Location"] == f"{page}?done=device-trusted"
    gate.clock.advance(1)
    await _in(gate, CHROME)
    assert "new_device" not in await _signals(gate)
    (change,) = await gate.rows("SELECT after FROM audit_log WHERE action = 'device.trust'")
    assert (change["after"]["why"], change["after"]["attempt"]) == ("her new laptop", str(row["id"]))


async def test_devices_of_others_and_logins_that_are_none_are_not_found(gate, admin):
    user, other = (await gate.register(EMAIL))["id"], (await gate.register("bob@example.com"))["id"]
    await _in(gate, FIREFOX)
    device = (await _devices(gate, admin, user))[FIREFOX]["id"]
    for act in ("forget-device", "trust-device"):
        answer = await admin.submit(f"/_gate/admin/users/{other}/{act}", {"device": device, "why": "x"})
        assert answer.status == 404
    for attempt in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        assert (await admin.submit(f"/_gate/admin/logins/{attempt}/trust", {"why": "x"})).status == 404
    assert await gate.rows("SELECT 1 AS one FROM audit_log WHERE action LIKE 'device.%'") == []


async def test_a_program_s_session_ends_with_its_device_too(gate, admin):
    user = (await gate.register(EMAIL))["id"]
    answer = await gate.post("login", {"email": EMAIL, "password": PASSWORD}, headers={"User-Agent": "curl/8.5.0"})
    tokens = json.loads(await answer.text())
    device = (await _devices(gate, admin, user))["curl/8.5.0"]["id"]
    await admin.submit(f"/_gate/admin/users/{user}/forget-device", {"device": device, "why": "x"})
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 401


MANY = """
INSERT INTO login_logs (id, time, email, user_id, result, method, address, fingerprint, user_agent, request_id)
SELECT gen_random_uuid(), timestamptz '2027-01-15 07:00:00+00' - n * interval '1 minute', 'ada@example.com',
  '{user}', 'success', 'password', '192.0.2.7', 'print' || n, 'Browser/' || n, 'r' FROM generate_series(1, 60) AS n
RETURNING 1
"""


async def test_many_devices_have_pages_of_their_own_and_a_few_stand_in_the_account(gate, admin):
    user = (await gate.register(EMAIL))["id"]
    await gate.rows(MANY.format(user=user))
    home = f"/_gate/admin/users/{user}"
    account = await (await admin.get(home)).text()
    assert re.findall(r"Browser/(\d+)", account.partition('id="devices"')[2].partition("</section>")[0])[::2] == [
        str(n) for n in range(1, 11)
    ]
    assert f'href="{home}/devices">All 60 devices of this account' in account
    first = await (await admin.get(f"{home}/devices")).text()
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = await (await admin.get(following)).text()
    shown = [set(re.findall(r'title="Browser/(\d+)"', page)) for page in (first, second)]
    assert shown == [{str(n) for n in range(1, 51)}, {str(n) for n in range(51, 61)}]
    answer = await admin.submit(f"{home}/trust-device", {"device": "print55", "why": "x", "back": "devices"})
    assert answer.headers["Location"] == f"{home}/devices?done=device-trusted"
    assert (await admin.get(f"{home}/devices?after=nonsense")).status == 422
