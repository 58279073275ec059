"""New accounts: verified, invited, closed (security 15)."""

import asyncio
import json

import pytest
from factories import PASSWORD
from gates import bearer, running_gate
from second_factors import code, enrol_totp

from gatekeeper.app.mail import notifier_of
from gatekeeper.identity.links import Addresses
from gatekeeper.identity.registration import Invitations
from gatekeeper.store.mail_links import PostgresLinks
from gatekeeper.store.postgres import Postgres

ADA, BOB = "ada@example.com", "bob@example.com"
OTHER = "another battery horse 7"


async def _problem(answer, status, reason):
    assert answer.status == status, await answer.text()
    assert answer.headers["X-Gate-Reason"] == reason
    return json.loads(await answer.text())


async def _register(gate, email=ADA, password=PASSWORD, **body):
    return await gate.post("register", {"email": email, "password": password, **body})


def _settings(upstream, **registration):
    limits = dict.fromkeys(("login_per_ip", "register_per_ip", "otp_per_ip", "otp_per_account"), "10000/minute")
    return {
        "upstreams": {"api": {"targets": [upstream.address]}},
        "limits": limits,
        "otp": {"limit": "10000/minute"},
        "registration": registration,
    }


@pytest.fixture
async def verifying(postgres_dsn, redis_url, tmp_path, upstream):
    """A gate where an account works once its e-mail is confirmed."""
    settings = _settings(upstream, verify_email=True)
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        yield gate


@pytest.fixture
async def inviting(postgres_dsn, redis_url, tmp_path, upstream):
    """A gate where accounts are made by invitation."""
    settings = _settings(upstream, mode="invite")
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        yield gate


async def test_an_account_works_once_its_code_is_typed(verifying):
    answer = await _register(verifying)
    assert answer.status == 202
    asked = await answer.json()
    await _problem(await verifying.post("login", {"email": ADA, "password": PASSWORD}), 403, "email-unverified")
    body = {"challenge": asked["challenge"], "code": verifying.console.code(ADA, "verify-email")}
    confirmed = await verifying.post("email/verify", body)
    assert confirmed.status == 200, await confirmed.text()
    assert (await confirmed.json())["email_verified"] is True
    assert (await verifying.login(ADA))["user"]["email_verified"] is True


async def test_an_account_works_once_its_link_is_opened(verifying):
    await _register(verifying)
    token = verifying.console.token(ADA, "verify-email")
    assert (await verifying.post("email/verify", {"token": token, "password": PASSWORD})).status == 200
    await verifying.login(ADA)
    await _problem(await verifying.post("email/verify", {"token": token}), 400, "token-invalid")


async def test_a_link_opened_by_somebody_else_leaves_a_squatter_without_password(verifying):
    await _register(verifying, ADA, "the password of a squatter")
    token = verifying.console.token(ADA, "verify-email")
    assert (await verifying.post("email/verify", {"token": token})).status == 200
    answer = await verifying.post("login", {"email": ADA, "password": "the password of a squatter"})
    await _problem(answer, 401, "invalid-credentials")


async def test_a_wrong_password_does_not_spend_the_link(verifying):
    await _register(verifying)
    token = verifying.console.token(ADA, "verify-email")
    answer = await verifying.post("email/verify", {"token": token, "password": OTHER})
    await _problem(answer, 401, "invalid-credentials")
    assert (await verifying.post("email/verify", {"token": token, "password": PASSWORD})).status == 200
    await verifying.login(ADA)


async def test_the_code_may_log_in_at_once(verifying):
    challenge = (await (await _register(verifying)).json())["challenge"]
    code = verifying.console.code(ADA, "verify-email")
    answer = await verifying.post("otp/verify", {"challenge": challenge, "code": code})
    assert answer.status == 200, await answer.text()
    assert (await answer.json())["user"]["email_verified"] is True
    await verifying.login(ADA)


async def test_the_wrong_password_of_an_unverified_account_says_nothing(verifying):
    await _register(verifying)
    await _problem(await verifying.post("login", {"email": ADA, "password": OTHER}), 401, "invalid-credentials")


async def test_a_taken_email_is_answered_like_a_free_one_and_its_owner_told(verifying):
    """security 15"""
    await _register(verifying)
    token = verifying.console.token(ADA, "verify-email")
    await verifying.post("email/verify", {"token": token, "password": PASSWORD})
    verifying.clock.advance(31)
    taken, free = await _register(verifying, ADA, OTHER), await _register(verifying, BOB, OTHER)
    assert taken.status == free.status == 202
    one, other = await taken.json(), await free.json()
    assert one.keys() == other.keys()
    assert (one["expires_in"], one["resend_after"]) == (other["expires_in"], other["resend_after"])
    skipped = {"X-Request-Id", "Date"}
    assert {k: v for k, v in taken.headers.items() if k not in skipped} == {
        k: v for k, v in free.headers.items() if k not in skipped
    }
    assert any(line.startswith(f"Link for {ADA} (email-taken): ") for line in verifying.console.lines)
    await verifying.login(ADA, PASSWORD)


async def test_of_two_who_claim_an_unverified_email_neither_gets_the_others_password(verifying):
    await _register(verifying, ADA, "the password of a squatter")
    verifying.clock.advance(31)
    await _register(verifying, ADA, PASSWORD)
    await verifying.post("email/verify", {"token": verifying.console.token(ADA, "verify-email")})
    for password in ("the password of a squatter", PASSWORD):
        await _problem(await verifying.post("login", {"email": ADA, "password": password}), 401, "invalid-credentials")


async def test_registering_again_with_the_same_password_sends_the_link_again(verifying):
    await _register(verifying)
    verifying.clock.advance(31)
    await _register(verifying)
    token = verifying.console.token(ADA, "verify-email")
    await verifying.post("email/verify", {"token": token, "password": PASSWORD})
    await verifying.login(ADA)


async def test_a_login_by_code_leaves_a_squatter_without_password(verifying):
    await _register(verifying, ADA, "the password of a squatter")
    asked = await (await verifying.post("otp/request", {"email": ADA, "purpose": "login"})).json()
    body = {"challenge": asked["challenge"], "code": verifying.console.code(ADA, "login")}
    assert (await verifying.post("otp/verify", body)).status == 200
    answer = await verifying.post("login", {"email": ADA, "password": "the password of a squatter"})
    await _problem(answer, 401, "invalid-credentials")


async def test_link_and_code_are_sent_again_on_request(verifying):
    await _register(verifying)
    first = verifying.console.token(ADA, "verify-email")
    verifying.clock.advance(31)
    answer = await verifying.post("email/resend", {"email": ADA})
    assert answer.status == 202
    second = verifying.console.token(ADA, "verify-email")
    assert second != first
    await _problem(await verifying.post("email/verify", {"token": first}), 400, "token-invalid")
    unknown = await verifying.post("email/resend", {"email": BOB})
    assert (unknown.status, (await unknown.json()).keys()) == (202, (await answer.json()).keys())
    assert (await verifying.post("email/verify", {"token": second})).status == 200
    verifying.clock.advance(31)
    shown = len(verifying.console.lines)
    assert (await verifying.post("email/resend", {"email": ADA})).status == 202
    assert len(verifying.console.lines) == shown


async def test_a_reset_verifies_too(verifying):
    await _register(verifying)
    await verifying.post("password/forgot", {"email": ADA})
    token = verifying.console.token(ADA, "password-reset")
    assert (await verifying.post("password/reset", {"token": token, "password": OTHER})).status == 200
    await verifying.login(ADA, OTHER)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/token"),
        ({"challenge": "x"}, "/code"),
        ({"code": "123456"}, "/challenge"),
        ({"token": "x", "code": "123456"}, "/token"),
    ],
)
async def test_verification_names_what_is_missing(verifying, body, pointer):
    problem = await _problem(await verifying.post("email/verify", body), 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def _invite(gate, email=ADA, roles=("staff",), life=86_400.0):
    postgres = Postgres(gate.dsn, size=1, timeout=30.0)
    try:
        notifier = notifier_of(gate.config, postgres, gate.config.storage.secret.get_secret_value(), gate.console)
        addresses = Addresses(gate.config.public_url, gate.config.prefix)
        invitations = Invitations(PostgresLinks(postgres), notifier, addresses)
        link = await invitations.make(email, roles, life, "cli:test", gate.clock.now())
    finally:
        await postgres.close()
    return link.partition("invite=")[2]


async def test_an_invitation_makes_one_verified_account_with_its_roles(inviting):
    token = await _invite(inviting)
    assert inviting.console.token(ADA, "invitation") == token
    answer = await _register(inviting, invite=token)
    assert answer.status == 201, await answer.text()
    user = await answer.json()
    assert (user["email"], user["email_verified"], user["roles"]) == (ADA, True, ["staff"])
    await inviting.login(ADA)
    await _problem(await _register(inviting, invite=token), 403, "registration-closed")


async def test_of_ten_who_accept_an_invitation_at_once_one_does(inviting):
    token = await _invite(inviting)
    answers = await asyncio.gather(*(_register(inviting, invite=token) for _ in range(10)))
    assert min(answer.status for answer in answers) == 201
    assert sum(answer.status == 201 for answer in answers) == 1
    assert {answer.status for answer in answers} <= {201, 403, 409}


async def test_nobody_registers_uninvited(inviting):
    await _problem(await _register(inviting), 403, "registration-closed")
    await _problem(await _register(inviting, invite="x"), 403, "registration-closed")
    await _problem(await _register(inviting, invite="a" * 43), 403, "registration-closed")
    assert await inviting.rows("SELECT id FROM users") == []


async def test_an_invitation_is_for_one_address_and_for_a_while(inviting):
    token = await _invite(inviting, life=60.0)
    problem = await _problem(await _register(inviting, BOB, invite=token), 422, "validation")
    assert [error["pointer"] for error in problem["errors"]] == ["/email"]
    inviting.clock.advance(60)
    await _problem(await _register(inviting, invite=token), 403, "registration-closed")


async def test_a_newer_invitation_ends_the_older_one(inviting):
    first, second = await _invite(inviting), await _invite(inviting, roles=())
    await _problem(await _register(inviting, invite=first), 403, "registration-closed")
    assert (await _register(inviting, invite=second)).status == 201


async def test_an_invitation_to_a_taken_email_makes_none(inviting):
    token = await _invite(inviting)
    assert (await _register(inviting, invite=token)).status == 201
    again = await _invite(inviting)
    await _problem(await _register(inviting, invite=again), 409, "email-taken")
    rows = await inviting.rows("SELECT purpose FROM mail_links")
    assert len(rows) == 1


async def test_a_closed_gate_takes_no_invitation_either(postgres_dsn, redis_url, tmp_path, upstream):
    settings = _settings(upstream, mode="closed")
    async with running_gate(postgres_dsn, redis_url, tmp_path, **settings) as gate:
        token = await _invite(gate)
        await _problem(await _register(gate, invite=token), 403, "registration-closed")


async def test_both_addresses_learn_of_a_change_and_the_new_one_confirms_it(inviting):
    gate = inviting
    await _register(gate, invite=await _invite(gate))
    tokens = await gate.login(ADA)
    answer = await gate.post("email/change", {"email": BOB}, headers=bearer(tokens))
    assert answer.status == 202, await answer.text()
    assert f"Notice for {ADA}: email-changing" in gate.console.lines
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).json()
    assert who["user"]["email"] == ADA
    body = {"challenge": (await answer.json())["challenge"], "code": gate.console.code(BOB, "change-email")}
    confirmed = await gate.post("email/verify", body)
    assert confirmed.status == 200, await confirmed.text()
    assert ((await confirmed.json())["email"], (await confirmed.json())["email_verified"]) == (BOB, True)
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(tokens))).json()
    assert who["user"]["email"] == BOB
    assert {f"Notice for {email}: email-changed" for email in (ADA, BOB)} <= set(gate.console.lines)
    await gate.login(BOB)
    await _problem(await gate.post("login", {"email": ADA, "password": PASSWORD}), 401, "invalid-credentials")
    token = gate.console.token(BOB, "change-email")
    await _problem(await gate.post("email/verify", {"token": token}), 400, "token-invalid")


async def test_a_change_by_link_works_once(inviting):
    gate = inviting
    await _register(gate, invite=await _invite(gate))
    tokens = await gate.login(ADA)
    await gate.post("email/change", {"email": BOB}, headers=bearer(tokens))
    token = gate.console.token(BOB, "change-email")
    assert (await gate.post("email/verify", {"token": token})).status == 200
    await _problem(await gate.post("email/verify", {"token": token}), 400, "token-invalid")


async def test_a_change_to_a_taken_email_looks_the_same_and_changes_nothing(inviting):
    gate = inviting
    for email in (ADA, BOB):
        await _register(gate, email, invite=await _invite(gate, email))
    tokens = await gate.login(ADA)
    taken = await gate.post("email/change", {"email": BOB}, headers=bearer(tokens))
    free = await gate.post("email/change", {"email": "carol@example.com"}, headers=bearer(tokens))
    assert (taken.status, free.status) == (202, 202)
    assert (await taken.json()).keys() == (await free.json()).keys()
    assert not any("OTP for bob" in line for line in gate.console.lines)
    assert any(line.startswith(f"Link for {BOB} (email-taken): ") for line in gate.console.lines)


async def test_an_email_that_was_taken_meanwhile_is_a_conflict(inviting):
    gate = inviting
    await _register(gate, invite=await _invite(gate))
    tokens = await gate.login(ADA)
    await gate.post("email/change", {"email": BOB}, headers=bearer(tokens))
    token = gate.console.token(BOB, "change-email")
    await _register(gate, BOB, invite=await _invite(gate, BOB))
    await _problem(await gate.post("email/verify", {"token": token}), 409, "email-taken")


async def test_two_users_who_want_one_email_have_challenges_of_their_own(inviting):
    gate = inviting
    asked = []
    for email in (ADA, "eve@example.com"):
        await _register(gate, email, invite=await _invite(gate, email))
        tokens = await gate.login(email)
        answer = await gate.post("email/change", {"email": BOB}, headers=bearer(tokens))
        asked.append((await answer.json())["challenge"])
    assert asked[0] != asked[1]


async def test_an_email_is_changed_only_soon_after_a_login(inviting):
    gate = inviting
    await _register(gate, invite=await _invite(gate))
    tokens = await gate.login(ADA)
    gate.clock.advance(301)
    tokens = await (await gate.post("refresh", {"refresh_token": tokens["refresh_token"]})).json()
    answer = await gate.post("email/change", {"email": BOB}, headers=bearer(tokens))
    assert (await _problem(answer, 401, "step-up-required"))["max_age"] == 300


async def test_whoever_has_a_second_factor_changes_the_email_by_it_and_not_by_a_password(inviting):
    gate = inviting
    await _register(gate, invite=await _invite(gate))
    mine = await enrol_totp(gate, await gate.login(ADA))
    gate.clock.advance(301)
    for shown, status in (({"password": PASSWORD}, 401), ({"code": code(mine.secret, gate)}, 202)):
        body = {"method": "password" if "password" in shown else "totp", **shown}
        stepped = await (await gate.post("step-up", body, headers=bearer(mine.tokens))).json()
        answer = await gate.post("email/change", {"email": BOB}, headers=bearer(stepped))
        assert answer.status == status, await answer.text()


async def test_ones_own_email_is_no_change(inviting):
    gate = inviting
    await _register(gate, invite=await _invite(gate))
    tokens = await gate.login(ADA)
    answer = await gate.post("email/change", {"email": ADA.upper()}, headers=bearer(tokens))
    await _problem(answer, 422, "validation")
