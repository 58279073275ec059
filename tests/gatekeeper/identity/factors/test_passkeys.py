"""Passkeys against a software authenticator: every part of both ceremonies counts (WebAuthn 7.1, 7.2)."""

import asyncio
import json

import pytest
from authenticator import Authenticator, b64
from factories import PASSWORD
from fido2 import cbor
from gates import bearer
from hypothesis import given
from hypothesis import strategies as st
from second_factors import challenged, enrol_passkey

from gatekeeper.identity.factors.passkeys import Passkeys, _texts

EMAIL = "ada@example.com"


async def _options(gate, body=None, tokens=None):
    answer = await gate.post("passkey/options", body or {}, headers=bearer(tokens) if tokens else {})
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def _alone(gate, key, **changes):
    options = await _options(gate)
    body = {"challenge": options["challenge"], "response": key.get(options["public_key"], **changes)}
    return await gate.post("passkey/verify", body)


async def test_a_passkey_is_added_listed_and_removed(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    assert len(mine.recovery_codes) == 10
    listed = await (await gate.call("GET", "/_gate/auth/factors", headers=bearer(mine.tokens))).json()
    (passkey,) = listed["passkeys"]
    assert (passkey["name"], passkey["last_used_at"], passkey["id"]) == ("My phone", None, mine.passkey_id)
    path = f"/_gate/auth/factors/passkeys/{mine.passkey_id}"
    assert (await gate.call("DELETE", path, headers=bearer(mine.tokens))).status == 204
    assert (await gate.call("DELETE", path, headers=bearer(mine.tokens))).status == 404
    assert (await gate.login(EMAIL))["session_id"]


async def test_the_options_ask_for_a_discoverable_key_and_exclude_those_that_are_there(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    options = await (await gate.post("factors/passkeys/options", headers=bearer(mine.tokens))).json()
    asked = options["public_key"]
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert [one["id"] for one in asked["excludeCredentials"]] == [b64(mine.passkey.id)]
    assert asked["rp"]["id"] == "127.0.0.1"
    assert (asked["user"]["name"], EMAIL in asked["user"]["id"]) == (EMAIL, False)


async def test_a_passkey_alone_logs_in_with_two_factors(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    answer = await _alone(gate, mine.passkey)
    assert answer.status == 200, await answer.text()
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(await answer.json()))).json()
    assert (who["acr"], who["amr"], who["user"]["email"]) == ("2fa", ["hwk", "mfa"], EMAIL)
    (row,) = await gate.rows("SELECT * FROM login_logs WHERE method = 'passkey'")
    assert (row["result"], row["email"]) == ("success", EMAIL)


async def test_a_passkey_is_the_second_factor_after_a_password(gate):
    key = Authenticator(gate.url, verified=False, synced=True)
    await enrol_passkey(gate, await gate.newcomer(), key)
    problem = await challenged(gate, EMAIL, PASSWORD)
    assert problem["methods"] == ["passkey", "otp", "recovery-code"]
    options = await _options(gate, {"challenge": problem["challenge"]})
    assert [one["id"] for one in options["public_key"]["allowCredentials"]] == [b64(key.id)]
    body = {"challenge": problem["challenge"], "response": key.get(options["public_key"])}
    answer = await gate.post("passkey/verify", body)
    assert answer.status == 200, await answer.text()
    who = await (await gate.call("GET", "/_gate/auth/session", headers=bearer(await answer.json()))).json()
    assert (who["acr"], who["amr"]) == ("2fa", ["pwd", "swk", "mfa"])


async def test_a_passkey_steps_up(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    options = await _options(gate, {"purpose": "step-up"}, mine.tokens)
    body = {
        "method": "passkey",
        "challenge": options["challenge"],
        "response": mine.passkey.get(options["public_key"]),
    }
    assert (await gate.post("step-up", body, headers=bearer(mine.tokens))).status == 200
    assert (await gate.post("step-up", body, headers=bearer(mine.tokens))).status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"verified": False},
        {"present": False},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"rp_id": "evil.example"},
        {"kind": "webauthn.create"},
        {"challenge": b64(b"x" * 32)},
        {"cross_origin": True},
        {"signature": b"x" * 70},
        {"handle": b"x" * 16},
        {"handle": b""},
        {"counts": 0},
    ],
    ids=lambda changes: next(iter(changes.items())).__repr__(),
)
async def test_an_assertion_with_anything_wrong_is_refused_and_is_a_row(gate, changes):
    mine = await enrol_passkey(gate, await gate.newcomer())
    mine.passkey.count = 7
    assert (await _alone(gate, mine.passkey)).status == 200
    answer = await _alone(gate, mine.passkey, **changes)
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "invalid-credentials")
    (row,) = await gate.rows("SELECT * FROM login_logs WHERE result = 'failure'")
    assert (row["method"], row["reason"]) == ("passkey", "invalid-credentials")


async def test_a_counter_that_goes_back_is_a_cloned_key_and_one_that_stays_zero_is_a_synced_one(gate):
    mine = await enrol_passkey(gate, await gate.newcomer(), Authenticator(gate.url, synced=True))
    assert (await _alone(gate, mine.passkey, counts=0)).status == 200
    assert (await _alone(gate, mine.passkey, counts=0)).status == 200
    assert (await _alone(gate, mine.passkey, counts=5)).status == 200
    assert (await _alone(gate, mine.passkey, counts=-1)).status == 401


async def test_an_answer_counts_once_however_many_send_it(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    options = await _options(gate)
    body = {"challenge": options["challenge"], "response": mine.passkey.get(options["public_key"])}
    answers = await asyncio.gather(*(gate.post("passkey/verify", body) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401, 401]
    assert (await gate.post("passkey/verify", body)).status == 401


async def test_a_challenge_is_for_one_purpose_user_and_session(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    eve = await enrol_passkey(gate, await gate.newcomer("eve@example.com"))
    problem = await challenged(gate, EMAIL, PASSWORD)
    of_ada = await _options(gate, {"challenge": problem["challenge"]})
    by_eve = {"challenge": problem["challenge"], "response": eve.passkey.get(of_ada["public_key"])}
    assert (await gate.post("passkey/verify", by_eve)).status == 401
    alone = await _options(gate)
    stepping = await _options(gate, {"purpose": "step-up"}, mine.tokens)
    for options, path in ((alone, "step-up"), (stepping, "verify")):
        response = mine.passkey.get(options["public_key"])
        body = {"challenge": options["challenge"], "response": response}
        if path == "step-up":
            answer = await gate.post("step-up", {**body, "method": "passkey"}, headers=bearer(mine.tokens))
        else:
            answer = await gate.post("passkey/verify", body)
        assert answer.status == 401, path
    other = await _options(gate, {"purpose": "step-up"}, mine.tokens)
    body = {"method": "passkey", "challenge": other["challenge"], "response": eve.passkey.get(other["public_key"])}
    assert (await gate.post("step-up", body, headers=bearer(eve.tokens))).status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"present": False},
        {"origin": "https://evil.example"},
        {"rp_id": "evil.example"},
        {"kind": "webauthn.get"},
        {"challenge": b64(b"x" * 32)},
        {"cross_origin": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_registration_with_anything_wrong_adds_nothing(gate, changes):
    tokens = await gate.newcomer()
    options = await (await gate.post("factors/passkeys/options", headers=bearer(tokens))).json()
    response = Authenticator(gate.url).create(options["public_key"], **changes)
    body = {"challenge": options["challenge"], "response": response}
    answer = await gate.post("factors/passkeys", body, headers=bearer(tokens))
    assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "mfa-invalid")
    assert await gate.rows("SELECT * FROM passkeys") == []


async def test_a_key_that_somebody_has_cannot_be_added_again(gate):
    mine = await enrol_passkey(gate, await gate.newcomer())
    tokens = await gate.newcomer("eve@example.com")
    options = await (await gate.post("factors/passkeys/options", headers=bearer(tokens))).json()
    stolen = Authenticator(gate.url, id=mine.passkey.id)
    body = {"challenge": options["challenge"], "response": stolen.create(options["public_key"])}
    assert (await gate.post("factors/passkeys", body, headers=bearer(tokens))).status == 401
    assert (await _alone(gate, mine.passkey)).status == 200


@pytest.mark.parametrize("wrong_id", ["x", "00000000-0000-4000-8000-000000000000", "%00"])
async def test_somebody_elses_or_no_passkey_cannot_be_removed(gate, wrong_id):
    eve = await enrol_passkey(gate, await gate.newcomer("eve@example.com"))
    mine = await enrol_passkey(gate, await gate.newcomer())
    for wrong in (wrong_id, eve.passkey_id):
        answer = await gate.call("DELETE", f"/_gate/auth/factors/passkeys/{wrong}", headers=bearer(mine.tokens))
        assert answer.status in {400, 404}
    assert len(await gate.rows("SELECT * FROM passkeys")) == 2


async def test_malformed_answers_are_refused_like_wrong_ones(gate):
    """security 28"""
    mine = await enrol_passkey(gate, await gate.newcomer())
    good = mine.passkey.get((await _options(gate))["public_key"])
    inner = good["response"]
    broken = [
        {},
        {"rawId": 7},
        {**good, "rawId": "!!"},
        {**good, "id": "x"},
        {**good, "response": []},
        {**good, "response": {**inner, "authenticatorData": ""}},
        {**good, "response": {**inner, "authenticatorData": inner["authenticatorData"][:20]}},
        {**good, "response": {**inner, "clientDataJSON": b64(b"[]")}},
        {**good, "response": {**inner, "clientDataJSON": b64(b"{")}},
        {**good, "response": {**inner, "signature": None}},
    ]
    for response in broken:
        options = await _options(gate)
        body = {"challenge": options["challenge"], "response": response}
        answer = await gate.post("passkey/verify", body)
        assert (answer.status, answer.headers["X-Gate-Reason"]) == (401, "invalid-credentials"), response
        assert "Traceback" not in json.dumps(await answer.json(content_type=None))


class _NoKeys:
    """A store in which every credential is a known one, with whatever bytes."""

    async def passkey(self, credential):
        return None

    async def passkeys(self, user):
        return []

    async def add_passkey(self, passkey):
        return True


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=40).map(b64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
_inner = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"), _json
    ),
)


@pytest.mark.parametrize(
    "where", ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]
)
def test_a_number_for_text_is_never_taken_for_a_buffer_of_that_size(where):
    """security 28: fido2 would make ``bytes(number)`` of it, and the gate would end for want of memory."""
    answer = {"id": "aaaa", "rawId": "aaaa", "type": "public-key", "response": {where: 1 << 31}}
    with pytest.raises(ValueError, match="not text"):
        _texts(answer)
    with pytest.raises(ValueError, match="not text"):
        _texts({**answer, "rawId": 1 << 31, "response": {}})


def test_a_number_for_authenticator_data_is_refused_before_it_is_read():
    attested = b64(cbor.encode({"fmt": "none", "attStmt": {}, "authData": 1 << 31}))
    with pytest.raises(ValueError, match="without authenticator data"):
        _texts({"id": "aaaa", "rawId": "aaaa", "response": {"attestationObject": attested}})


@given(st.fixed_dictionaries({}, optional={"id": _json, "rawId": _json, "type": _json, "response": _json | _inner}))
def test_no_answer_however_odd_is_a_fault(response):
    passkeys = Passkeys(_NoKeys(), b"k" * 32, public_url="https://app.example.org", serves=lambda *_: True)

    async def both():
        assert await passkeys.register("c", "00000000-0000-4000-8000-000000000000", "n", response, 0.0) is None
        assert await passkeys.verify("c", None, response, 0.0) is None

    asyncio.run(both())


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("https://app.example.org", True),
        ("https://a.app.example.org", True),
        ("https://other.example.org", False),
        ("http://app.example.org", False),
        ("https://app.example.org:8443", False),
        ("https://app.example.org/", False),
        ("https://user@app.example.org", False),
        ("https://xapp.example.org", False),
        ("https://app.example.org.evil.example", False),
        ("null", False),
        ("https://[", False),
    ],
)
def test_an_origin_is_ours_at_or_below_the_public_host_where_it_is_served(origin, ours):
    from gatekeeper.inbound import HostList

    serves = HostList("https://app.example.org", ["*.app.example.org", "other.example.org"]).serves
    passkeys = Passkeys(_NoKeys(), b"k" * 32, public_url="https://app.example.org", serves=serves)
    assert passkeys._is_ours(origin) is ours
