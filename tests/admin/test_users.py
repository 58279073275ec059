"""Accounts in the panel: made with a password, with the API keys that act for them (issue 7.5, security 22)."""

import re

from factories import PASSWORD
from forms import Browser, text_of
from gates import bearer, running_gate
from second_factors import challenged, enrol_passkey, enrol_totp

NEW = "/_gate/admin/users/new"


async def _called(admin, method, path, body=None):
    headers = {"Cookie": f"gate={admin.cookies['gate']}", "Origin": admin.gate.url}
    kwargs = {} if body is None else {"json": body}
    return await admin.gate.call(method, f"/_gate/admin/api/{path}", headers=headers, **kwargs)


async def _with_key(gate):
    tokens = await gate.newcomer("ada@example.com")
    made = await gate.post("api-keys", {"name": "nightly", "scopes": ["/**"]}, headers=bearer(tokens))
    return tokens["user"]["id"], await made.json()


async def test_an_account_is_made_with_a_password_that_is_shown_this_once(gate, admin):
    fields = {"email": "Ada@Example.com", "name": "Ada", "roles": "staff, ops", "password": ""}
    page = await admin.submit(NEW, fields)
    text = await page.text()
    assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
    password = re.search(r"<code>([A-Za-z0-9_-]{20})</code>", text)[1]
    assert (await gate.login("ada@example.com", password))["user"]["roles"] == ["ops", "staff"]
    (change,) = await gate.rows("SELECT subject, after::text FROM audit_log WHERE action = 'user.add'")
    assert password not in change["after"]
    assert "ada@example.com" in change["after"]
    assert password not in await (await admin.get(f"/_gate/admin/users/{change['subject']}")).text()


async def test_a_chosen_password_is_not_shown_and_a_bad_one_makes_no_account(gate, admin):
    page = await admin.submit(NEW, {"email": "ada@example.com", "password": PASSWORD})
    assert PASSWORD not in await page.text()
    assert (await gate.login("ada@example.com"))["user"]["email"] == "ada@example.com"
    wrong = {
        "already": {"email": "ada@example.com", "password": PASSWORD},
        "at least 12": {"email": "bob@example.com", "password": "short"},
        "exactly one @": {"email": "bob", "password": PASSWORD},
        "A role is": {"email": "bob@example.com", "roles": "a/b", "password": PASSWORD},
        "A name is": {"email": "bob@example.com", "name": "x" * 201, "password": PASSWORD},
    }
    for said, fields in wrong.items():
        page = await admin.submit(NEW, fields)
        assert page.status == (409 if said == "already" else 422)
        assert said in await text_of(page)
        assert PASSWORD not in await page.text()
    assert len(await gate.rows("SELECT 1 AS one FROM users")) == 2


async def test_a_call_makes_an_account_and_reads_it(gate, admin):
    answer = await _called(admin, "POST", "users", {"email": "ada@example.com"})
    made = await answer.json()
    assert (await gate.login("ada@example.com", made["password"]))["user"]["id"] == made["id"]
    account = await (await _called(admin, "GET", f"users/{made['id']}")).json()
    assert (account["email"], account["api_keys"], len(account["sessions"])) == ("ada@example.com", [], 1)
    assert account["factors"] == {"totp": None, "passkeys": [], "recovery_codes": 0, "remembered_devices": 0}
    assert (await _called(admin, "GET", "users/nonsense")).status == 404


async def test_the_keys_of_an_account_are_listed_without_themselves_and_revoked(gate, admin):
    """security 12, 13"""
    user, made = await _with_key(gate)
    page = await (await admin.get(f"/_gate/admin/users/{user}")).text()
    assert "nightly" in page
    assert made["key"] not in page
    (listed,) = (await (await _called(admin, "GET", f"users/{user}")).json())["api_keys"]
    assert (listed["id"], listed["scopes"], "digest" in listed) == (made["id"], ["/**"], False)
    answer = await admin.submit(f"/_gate/admin/users/{user}/revoke-key", {"key": made["id"], "why": "leaked"})
    assert answer.headers["Location"] == f"/_gate/admin/users/{user}?done=key-revoked"
    (change,) = await gate.rows("SELECT subject, before, after FROM audit_log WHERE action = 'api-key.revoke'")
    assert (change["subject"], change["before"]["name"], change["after"]) == (made["id"], "nightly", {"why": "leaked"})
    assert "No API key acts" in await text_of(await admin.get(f"/_gate/admin/users/{user}"))


async def test_a_key_is_revoked_only_as_its_owners(gate, admin):
    _, made = await _with_key(gate)
    other = (await gate.register("bob@example.com"))["id"]
    answer = await admin.submit(f"/_gate/admin/users/{other}/revoke-key", {"key": made["id"], "why": "x"})
    assert answer.status == 404
    assert "has no such API key" in await text_of(answer)
    (row,) = await gate.rows("SELECT revoked_at FROM api_keys")
    assert row["revoked_at"] is None


async def test_the_owner_is_told_that_an_admin_reset_their_factors(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    await admin.submit(f"/_gate/admin/users/{user}/reset-factors", {"why": "new phone"})
    assert len(await gate.rows("SELECT 1 AS one FROM mail_links WHERE purpose = 'not-me'")) == 1


async def test_a_new_password_can_be_forced_at_the_first_login_and_later(gate, admin):
    page = await admin.submit(NEW, {"email": "ada@example.com", "password": PASSWORD, "must_change": "1"})
    user = re.search(r"users/([0-9a-f-]{36})", await page.text())[1]
    answer = await gate.post("login", {"email": "ada@example.com", "password": PASSWORD})
    token = (await answer.json(content_type=None))["token"]
    assert (await gate.post("password/reset", {"token": token, "password": "another long one"})).status == 200
    tokens = await gate.login("ada@example.com", "another long one")
    answer = await admin.submit(f"/_gate/admin/users/{user}/expire-password", {"why": "seen in a leak"})
    assert "has to choose another first" in await text_of(await admin.get(answer.headers["Location"]))
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).status == 401
    assert "has to be replaced" in await text_of(await admin.get(f"/_gate/admin/users/{user}"))
    (change,) = await gate.rows("SELECT subject, after FROM audit_log WHERE action = 'user.expire-password'")
    assert (change["subject"], change["after"]["why"]) == (user, "seen in a leak")


async def test_only_admins_make_accounts(gate, admin, ada):
    """security 22"""
    for browser, status in ((ada, 404), (Browser(gate), 303)):
        answer = await browser.submit(NEW, {"email": "eve@example.com", "password": PASSWORD})
        assert answer.status == status
    assert await gate.rows("SELECT 1 AS one FROM users WHERE email = 'eve@example.com'") == []


async def test_one_factor_goes_and_the_others_stay(postgres_dsn, redis_url, tmp_path):
    """security 12, 22"""
    mfa = {"require_for_roles": []}
    async with running_gate(postgres_dsn, redis_url, tmp_path, mfa=mfa, host="localhost") as gate:
        admin = Browser(gate)
        await admin.submit(f"/_gate/setup/{gate.setup_token}", {"email": "root@example.com", "password": PASSWORD})
        await _one_factor_goes(gate, admin)


async def _one_factor_goes(gate, admin):
    enrolled = await enrol_passkey(gate, (await enrol_totp(gate, await gate.newcomer())).tokens)
    user, path = enrolled.tokens["user"]["id"], "/_gate/admin/users/{}/remove-factor"
    told = "SELECT 1 AS one FROM mail_links WHERE purpose = 'not-me'"
    before = len(await gate.rows(told))
    page = await (await admin.get(f"/_gate/admin/users/{user}")).text()
    assert f'name="factor" value="{enrolled.passkey_id}"' in page
    answer = await admin.submit(path.format(user), {"factor": enrolled.passkey_id, "why": "lost phone"})
    assert "the owner is told" in await text_of(await admin.get(answer.headers["Location"]))
    assert (await gate.call("GET", "/_gate/auth/session", headers=bearer(enrolled.tokens))).status == 401
    (change,) = await gate.rows("SELECT subject, before, after FROM audit_log WHERE action = 'user.remove-factor'")
    assert (change["subject"], change["before"]["passkeys"], change["before"]["totp"]) == (user, ["My phone"], True)
    assert change["after"] == {
        "passkeys": [],
        "totp": True,
        "recovery_codes": 10,
        "remembered_devices": 0,
        "why": "lost phone",
    }
    assert len(await gate.rows(told)) == before + 1
    assert "passkey" not in (methods := (await challenged(gate, "ada@example.com", PASSWORD))["methods"])
    assert "totp" in methods
    for factor, of in (
        (enrolled.passkey_id, user),
        ("x", user),
        ("totp", (await gate.register("b@example.com"))["id"]),
    ):
        gone = await admin.submit(path.format(of), {"factor": factor, "why": "again"})
        assert (gone.status, "has no such second factor" in await text_of(gone)) == (404, True)
    done = await _called(admin, "POST", f"users/{user}/remove-factor", {"factor": "totp", "why": "lost"})
    assert await done.json() == {"done": "user-factor", "id": user}
    account = await (await _called(admin, "GET", f"users/{user}")).json()
    assert account["factors"] == {"totp": None, "passkeys": [], "recovery_codes": 0, "remembered_devices": 0}


async def test_nobody_takes_away_their_own_factor_in_the_panel(gate, admin):
    mine = (await gate.rows("SELECT id FROM users"))[0]["id"]
    for act, fields in (("remove-factor", {"factor": "totp"}), ("reset-factors", {})):
        refused = await admin.submit(f"/_gate/admin/users/{mine}/{act}", {**fields, "why": "x"})
        assert (refused.status, "your account page" in await text_of(refused)) == (422, True)


async def test_an_admin_names_an_account_and_takes_the_name_away(gate, admin):
    user = (await gate.register("ada@example.com"))["id"]
    path = f"/_gate/admin/users/{user}/rename"
    answer = await admin.submit(path, {"name": " Ada Lovelace ", "why": "married"})
    assert answer.headers["Location"] == f"/_gate/admin/users/{user}?done=user-renamed"
    assert "Name Ada Lovelace" in await text_of(await admin.get(f"/_gate/admin/users/{user}"))
    assert (await gate.login("ada@example.com"))["user"]["name"] == "Ada Lovelace"
    refused = await admin.submit(path, {"name": "a\u202eb", "why": "x"})
    assert (refused.status, "A name is one printable line" in await text_of(refused)) == (422, True)
    assert (await _called(admin, "POST", f"users/{user}/rename", {"why": "x"})).status == 200
    changes = await gate.rows("SELECT before, after FROM audit_log WHERE action = 'user.rename' ORDER BY id")
    assert [(change["before"]["name"], change["after"].get("name")) for change in changes] == [
        (None, "Ada Lovelace"),
        ("Ada Lovelace", None),
    ]


async def test_an_admin_begins_a_change_of_email_and_its_owner_ends_it(gate, admin):
    """security 18, 21"""
    tokens = await gate.newcomer("ada@example.com")
    user, path = tokens["user"]["id"], "/_gate/admin/users/{}/change-email"
    answer = await admin.submit(path.format(user), {"email": "Lovelace@Example.com", "why": "married"})
    assert "A mail is on its way" in await text_of(await admin.get(answer.headers["Location"]))
    assert (await gate.login("ada@example.com"))["user"]["email"] == "ada@example.com"  # nobody has confirmed it
    told = await gate.rows("SELECT email FROM mail_links WHERE purpose = 'not-me'")
    assert [row["email"] for row in told] == ["ada@example.com"]
    token = gate.console.token("lovelace@example.com", "change-email")
    assert (await gate.post("email/verify", {"token": token})).status == 200
    assert (await gate.login("lovelace@example.com"))["user"]["email_verified"] is True
    changes = await gate.rows("SELECT action, actor, after FROM audit_log WHERE action LIKE 'user.email%' ORDER BY id")
    assert [change["action"] for change in changes] == ["user.email-change-asked", "user.email"]
    assert (changes[0]["after"]["why"], changes[1]["actor"]) == ("married", user)
    mine = (await gate.rows("SELECT id FROM users WHERE email = 'root@example.com'"))[0]["id"]
    wrong = {
        (user, "root@example.com"): (409, "There is an account with this e-mail already"),
        (user, "lovelace@example.com"): (422, "the account's e-mail already"),
        (user, "nobody"): (422, "exactly one @"),
        (mine, "other@example.com"): (422, "your account page"),
    }
    for (whose, email), (status, said) in wrong.items():
        refused = await admin.submit(path.format(whose), {"email": email, "why": "x"})
        assert (refused.status, said in await text_of(refused)) == (status, True), email
