"""What happens right now, in the panel: the page, the calls and the stream (issue 7, Activity)."""

import asyncio
import html
import json
import re
from contextlib import asynccontextmanager

import aiohttp
from factories import PASSWORD
from forms import Browser, text_of
from gates import PATIENCE
from yarl import URL

from admin.views import live as live_views

STREAM = "/_gate/admin/api/activity/stream"


@asynccontextmanager
async def _stream(gate, browser, path=STREAM, **headers):
    """The events of a stream that is open, one after the other."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    url = URL(gate.url + path)
    async with gate.client.get(url, headers={"Cookie": cookie, **headers}) as answer:
        yield answer


async def _next(answer: aiohttp.ClientResponse):
    """The next event, with its id."""
    place = None
    async with asyncio.timeout(PATIENCE):
        while line := await answer.content.readline():
            if line.startswith(b"id: "):
                place = line[4:].strip().decode()
            if line.startswith(b"data: "):
                return place, json.loads(line[6:])
    return None


async def _told(gate, count):
    """Waits until so many events are in the stream: they are handed over off the request's way."""
    async with asyncio.timeout(PATIENCE):
        redis = gate.gatekeeper.reloader.running.stores.redis
        while await redis.call("XLEN", "gate:activity") < count:  # noqa: ASYNC110  # the hub says nothing
            await asyncio.sleep(0.01)


async def test_every_event_is_on_the_page_and_each_kind_by_itself(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    await Browser(gate).sign_in("ada@example.com", "wrong")
    await admin.submit(f"/_gate/admin/users/{user}/lock", {"why": "x"})
    await _told(gate, 4)
    answer = await admin.get("/_gate/admin/activity/live")
    seen = await text_of(answer)
    assert "user.lock root@example.com 127.0.0.1 ada@example.com" in seen
    assert "login.failure ada@example.com 127.0.0.1 invalid-credentials" in seen
    changes = await text_of(await admin.get("/_gate/admin/activity/live?kind=change"))
    assert ("user.lock" in changes, "login.failure" in changes) == (True, False)
    logins = await text_of(await admin.get("/_gate/admin/activity/live?kind=login"))
    assert ("user.lock" in logins, "login.failure" in logins) == (False, True)
    call = json.loads(await (await admin.get("/_gate/admin/api/activity/live")).text())
    assert [event["type"] for event in call["events"]][-1] == "user.lock"


async def test_what_a_client_sent_is_text_there_too(gate, admin):
    """security 22"""
    await Browser(gate).sign_in("<img src=x onerror=alert(1)>@example.com", "wrong")
    await _told(gate, 1)
    page = await (await admin.get("/_gate/admin/activity/live")).text()
    assert ("&lt;img src=x" in page, "<img" in page) == (True, False)


async def test_a_stream_begins_with_the_next_event_or_behind_the_last_one_seen(gate, admin):
    await gate.register("ada@example.com")
    await _told(gate, 2)
    async with _stream(gate, admin) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert "no-store" in answer.headers["Cache-Control"]
        await answer.content.readline()
        await Browser(gate).sign_in("ada@example.com", "wrong")
        place, event = await _next(answer)
        assert (event["type"], event["data"]["email"]) == ("login.failure", "ada@example.com")
    async with _stream(gate, admin, **{"Last-Event-ID": "0-0"}) as answer:
        first = [(await _next(answer))[1]["type"] for _ in range(3)]
        assert first == ["user.setup", "user.register", "login.failure"]
    await Browser(gate).sign_in("eve@example.com", "wrong")
    async with _stream(gate, admin, **{"Last-Event-ID": place}) as answer:
        assert (await _next(answer))[1]["data"]["email"] == "eve@example.com"
    async with _stream(gate, admin, **{"Last-Event-ID": "nonsense"}) as answer:
        assert answer.status == 200


async def test_a_page_goes_on_with_the_stream_where_its_list_ends(gate, admin):
    """What happens between the two is in neither otherwise."""
    await _told(gate, 1)
    page = await (await admin.get("/_gate/admin/activity/live?kind=signal")).text()
    path = html.unescape(re.search(r'data-stream="([^"]+)"', page)[1])
    await Browser(gate).sign_in("ada@example.com", "wrong")
    await _told(gate, 2)
    call = json.loads(await (await admin.get("/_gate/admin/api/activity/live")).text())
    async with _stream(gate, admin, path) as answer:
        assert await _next(answer) == (call["events"][-1]["place"], {})


async def test_a_busy_minute_tells_a_page_no_more_than_that_there_is_news(gate, admin):
    await _told(gate, 1)
    redis = gate.gatekeeper.reloader.running.stores.redis
    many = "local last for _ = 1, 500 do last = redis.call('XADD', KEYS[1], '*', 'e', '{}') end return last"
    async with _stream(gate, admin, f"{STREAM}?news=only") as answer:
        last = await redis.call("EVAL", many, 1, "gate:activity")
        assert await _next(answer) == (last.decode(), {})
        last = await redis.call("EVAL", many, 1, "gate:activity")
        assert await _next(answer) == (last.decode(), {})


async def test_a_stream_ends_with_its_session(gate, admin):
    """security 7"""
    (mine,) = json.loads(await (await admin.get("/_gate/admin/api/sessions")).text())["sessions"]
    async with _stream(gate, admin) as answer:
        await answer.content.readline()
        other = Browser(gate)
        await other.sign_in("root@example.com", PASSWORD)
        ended = await other.submit(f"/_gate/admin/sessions/{mine['id']}/end", {"why": "gone"})
        assert ended.status == 303
        async with asyncio.timeout(PATIENCE / 2):  # by itself it would end after LIFE
            await answer.content.read()


async def test_a_stream_keeps_nobodys_stay_alive(gate, admin):
    """security 22: idle 15 min"""
    gate.clock.advance(600)
    async with _stream(gate, admin) as answer:
        assert answer.status == 200
    gate.clock.advance(301)
    assert (await admin.get("/_gate/admin/")).status == 302
    async with _stream(gate, admin) as answer:
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "step-up-required")


async def test_strangers_and_others_get_no_stream(gate, admin, ada):
    """security 22"""
    for browser, status in ((Browser(gate), 401), (ada, 404)):
        async with _stream(gate, browser) as answer:
            assert answer.status == status


async def test_there_is_an_end_of_streams(gate, admin, monkeypatch):
    monkeypatch.setattr(live_views, "MOST_STREAMS", 1)
    async with _stream(gate, admin) as answer:
        await answer.content.readline()
        async with _stream(gate, admin) as second:
            assert (second.status, second.headers["Retry-After"]) == (503, "10")
    async with asyncio.timeout(PATIENCE):
        while True:  # whoever left is noticed a moment later
            async with _stream(gate, admin) as third:
                if third.status == 200:
                    break
