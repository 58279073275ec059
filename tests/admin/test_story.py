"""The story of an account: everything that happened, in one order, without gap or repetition (issue 7.5)."""

from forms import text_of
from gates import bearer

from admin.lists import ChangeRow
from admin.story import told

NOW = 1_800_000_000.0


def _change(number, time):
    return ChangeRow(number, time, "ada", None, "user.name", "ada", None, None, None, None, None)


def test_a_page_is_never_cut_within_a_moment():
    changes = [_change(4, NOW), _change(3, NOW - 1), _change(2, NOW - 1), _change(1, NOW - 2)]
    shown, rest = told([], changes, [], count=2)
    assert ([event.change.id for event in shown], rest) == ([4, 3, 2], NOW - 1)
    shown, rest = told([], changes[3:], [], count=2)
    assert ([event.change.id for event in shown], rest) == ([1], None)


async def _told(gate, admin, user, query=""):
    headers = {"Cookie": f"gate={admin.cookies['gate']}"}
    answer = await gate.call("GET", f"/_gate/admin/api/users/{user}/story{query}", headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def _eventful(gate, admin):
    """A user with logins, a key that an admin revokes, a session that ends and roles that change."""
    user = (await gate.register("ada@example.com"))["id"]
    tokens = await gate.login("ada@example.com")
    made = await gate.post("api-keys", {"name": "nightly", "scopes": ["/**"]}, headers=bearer(tokens))
    gate.clock.advance(1)
    await gate.post("login", {"email": "ada@example.com", "password": "wrong horse battery 9"})
    gate.clock.advance(1)
    key = (await made.json())["id"]
    await admin.submit(f"/_gate/admin/users/{user}/revoke-key", {"key": key, "why": "leaked"})
    gate.clock.advance(1)
    await gate.post("logout", {"scope": "this"}, headers=bearer(tokens))
    gate.clock.advance(1)
    await admin.submit(f"/_gate/admin/users/{user}/roles", {"roles": "staff", "why": "new job"})
    return user


async def test_all_that_happened_stands_in_one_order(gate, admin):
    user = await _eventful(gate, admin)
    events = (await _told(gate, admin, user))["events"]
    assert [event["time"] for event in events] == sorted((event["time"] for event in events), reverse=True)
    kinds = [event["kind"] for event in events]
    assert kinds[:3] == ["change", "session", "change"]
    actions = [event["change"]["action"] for event in events if event["kind"] == "change"]
    assert actions[:2] == ["user.role", "api-key.revoke"]
    assert "api-key.add" in actions
    assert {event["login"]["result"] for event in events if event["kind"] == "login"} == {"success", "failure"}
    page = await text_of(await admin.get(f"/_gate/admin/users/{user}/story"))
    assert "Session ended" in page
    assert "api-key.revoke by root@example.com" in page
    assert "“leaked”" in page


async def test_the_story_is_told_by_kind(gate, admin):
    user = await _eventful(gate, admin)
    for kind, expected in (("logins", "login"), ("changes", "change"), ("sessions", "session")):
        assert {event["kind"] for event in (await _told(gate, admin, user, f"?kind={kind}"))["events"]} == {expected}
    assert (await _told(gate, admin, user, "?kind=signals"))["events"] == []
    assert (await admin.get(f"/_gate/admin/users/{user}/story?kind=odd")).status == 422
    assert (await admin.get("/_gate/admin/users/nonsense/story")).status == 404
    assert "Nothing of this kind" in await text_of(await admin.get(f"/_gate/admin/users/{user}/story?kind=signals"))


async def test_a_long_story_goes_on_without_gap_or_repetition(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    await gate.rows(
        f"INSERT INTO audit_log (time, actor, action, subject) SELECT to_timestamp({NOW} + n), 'cli:root',"
        f" 'user.role', '{user}' FROM generate_series(1, 100) AS n RETURNING 1 AS one"
    )
    gate.clock.advance(200)
    found, after = [], ""
    while True:
        told_now = await _told(gate, admin, user, f"?kind=changes{after}")
        found += [event["change"]["id"] for event in told_now["events"]]
        if told_now["next"] is None:
            break
        after = f"&after={told_now['next']}"
    assert len(found) == len(set(found)) >= 100
