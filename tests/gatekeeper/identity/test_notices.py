"""Owners are told of every change of what opens their account, and wrong proofs of all kinds count towards a ban."""

from ipaddress import ip_address

import pytest
from factories import NOW, PASSWORD
from gates import bearer, running_gate
from second_factors import challenged, enrol_passkey, enrol_totp

from gatekeeper.identity.notices import seen
from gatekeeper.tokens.durable import SessionOrigin

ADA = "ada@example.com"
WRONG = "000000"


@pytest.fixture
async def strict(postgres_dsn, redis_url, tmp_path):
    settings = {"bans": {"after": 3, "allow": []}, "limits": {"login_per_account": "100/minute"}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, host="localhost", **settings) as running:
        yield running


def _notices(gate):
    start = f"Notice for {ADA}: "
    return [line.removeprefix(start) for line in gate.console.lines if line.startswith(start)]


def test_a_request_is_told_by_what_the_gate_knows_and_never_by_its_own_words():
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 call +1 555 0100"
    facts = seen(SessionOrigin(ip_address("192.0.2.7"), "DE", agent), NOW)
    assert (facts["device"], facts["place"], facts["from_address"]) == ("Firefox 140 on Linux", "DE", "192.0.2.7")
    assert facts["when"].endswith(" UTC")
    nobody = seen(SessionOrigin(ip_address("2001:db8::1"), None, "\r\nBcc: eve@example.com"), NOW)
    assert (nobody["device"], nobody["place"]) == ("unknown", "unknown")


async def test_the_owner_is_told_of_every_changed_factor(strict):
    tokens = await strict.newcomer()
    app = await enrol_totp(strict, tokens)
    assert _notices(strict) == ["factor-added"]
    key = await enrol_passkey(strict, app.tokens)
    headers = bearer(key.tokens)
    assert (await strict.post("factors/recovery-codes", headers=headers)).status == 200
    path = f"/_gate/auth/factors/passkeys/{key.passkey_id}"
    assert (await strict.call("DELETE", path, headers=headers)).status == 204
    assert (await strict.call("DELETE", "/_gate/auth/factors/totp", headers=headers)).status == 204
    told = ["factor-added", "factor-added", "recovery-codes-renewed", "factor-removed", "factor-removed"]
    assert _notices(strict) == told


async def _by_second_factor(gate, mine):
    challenge = (await challenged(gate, ADA, PASSWORD))["challenge"]
    return await gate.post("totp/verify", {"challenge": challenge, "code": WRONG})


async def _by_recovery_code(gate, mine):
    challenge = (await challenged(gate, ADA, PASSWORD))["challenge"]
    return await gate.post("recovery-code/verify", {"challenge": challenge, "code": "aaaa-aaaa-aaaa"})


async def _by_passkey(gate, mine):
    options = await (await gate.post("passkey/options", {})).json()
    response = {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {}}
    return await gate.post("passkey/verify", {"challenge": options["challenge"], "response": response})


async def _by_step_up(gate, mine):
    body = {"method": "totp", "code": WRONG}
    return await gate.post("step-up", body, headers=bearer(mine.tokens))


async def _by_password_again(gate, mine):
    body = {"method": "password", "password": "not that one, I think"}
    return await gate.post("step-up", body, headers=bearer(mine.tokens))


async def _by_verification(gate, mine):
    asked = await (await gate.post("email/resend", {"email": ADA})).json()
    return await gate.post("email/verify", {"challenge": asked["challenge"], "code": WRONG})


@pytest.mark.parametrize(
    ("attempt", "source"),
    [
        (_by_second_factor, "otp"),
        (_by_recovery_code, "otp"),
        (_by_passkey, "otp"),
        (_by_step_up, "otp"),
        (_by_password_again, "failures"),
        (_by_verification, "otp"),
    ],
)
async def test_three_wrong_proofs_of_any_kind_ban_the_address(strict, attempt, source):
    mine = await enrol_totp(strict, await strict.newcomer())
    for _ in range(3):
        answer = await attempt(strict, mine)
        assert answer.status == 401, await answer.text()
    assert [row["source"] for row in await strict.rows("SELECT source FROM bans")] == [source]
