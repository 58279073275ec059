"""The list of accounts in the panel: filters, files (issue 7.5, 7.10, security 22)."""

import csv
import io
import json

import pytest
from forms import text_of
from second_factors import enrol_totp

from admin.user_filters import said_values, users_asked
from admin.user_lists import Held, State, UserFilter
from gatekeeper.errors import Problem


def test_filters_are_read_strictly_and_said_in_words():
    query = {"state": "must-change", "factor": "app", "unseen": "30d", "text": " ada "}
    filters, wanted = users_asked(query, 3_000_000.0)
    assert wanted == UserFilter("ada", None, State.MUST_CHANGE, Held.APP, 3_000_000.0 - 30 * 86_400)
    assert {**filters, **said_values(filters)} == {
        "text": "ada",
        "state": "must change",
        "factor": "an app",
        "unseen": "for 30 days",
    }
    assert users_asked({"unseen": "ever"}, 9.0)[1].unseen_since == 0.0
    for name, value in (("state", "gone"), ("factor", "totp"), ("unseen", "soon"), ("unseen", "-1d")):
        with pytest.raises(Problem) as refused:
            users_asked({name: value}, 0.0)
        assert refused.value.extra["errors"][0]["pointer"] == f"/{name}"


async def test_accounts_are_listed_and_exported_by_what_they_lack(gate, admin):
    await enrol_totp(gate, await gate.newcomer("ada@example.com"))
    await gate.register("bob@example.com")
    await gate.register("=cmd@example.com")

    async def found(query):
        answer = await gate.call(
            "GET", f"/_gate/admin/api/users?{query}", headers={"Cookie": f"gate={admin.cookies['gate']}"}
        )
        return {user["email"].partition("@")[0] for user in (await answer.json())["users"]}

    assert await found("factor=none") == {"root", "bob", "=cmd"}
    assert await found("unseen=ever&factor=none") == {"bob", "=cmd"}
    assert await found("factor=app") == {"ada"}
    page = await admin.get("/_gate/admin/users?unseen=ever&factor=none")
    text = await text_of(page)
    assert "No sign-in never signed in" in text
    assert "/_gate/admin/users.csv?factor=none&amp;unseen=ever" in await page.text()
    file = await admin.get("/_gate/admin/users.csv?unseen=ever")
    assert file.headers["Content-Disposition"] == 'attachment; filename="users.csv"'
    rows = list(csv.DictReader(io.StringIO(await file.text())))
    assert sorted((row["email"], row["last_login"], row["app"]) for row in rows) == [
        ("'=cmd@example.com", "", "false"),  # no cell starts a formula
        ("bob@example.com", "", "false"),
    ]
    lines = (await (await admin.get("/_gate/admin/users.jsonl?factor=app")).text()).splitlines()
    assert [json.loads(line)["second_factors"] for line in lines] == [1]
    assert "This is one of active, locked" in await text_of(await admin.get("/_gate/admin/users?state=gone"))


async def test_the_file_of_accounts_goes_on_behind_its_portions(gate, admin, monkeypatch):
    monkeypatch.setattr("admin.views.user_files.AT_ONCE", 2)
    for name in ("a", "b", "c", "d"):
        gate.clock.advance(1)
        await gate.register(f"{name}@example.com")
    rows = list(csv.DictReader(io.StringIO(await (await admin.get("/_gate/admin/users.csv")).text())))
    assert [row["email"].partition("@")[0] for row in rows] == ["d", "c", "b", "a", "root"]
