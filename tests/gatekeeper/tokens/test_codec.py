"""Access tokens: what is minted is read back, and nothing else is (security 9, 10)."""

import json
from dataclasses import replace

import pytest
from factories import ISSUER, NOW, SECRET, access_tokens, key_ring, session, user
from jwt.utils import base64url_decode, base64url_encode

from gatekeeper.tokens.codec import AccessClaims, sign
from gatekeeper.tokens.keyring import KeyRing, generate, unseal
from gatekeeper.tokens.sessions import principal_claims
from policies.model import Reason


def _claims(**changes) -> AccessClaims:
    owner = user()
    return replace(principal_claims(session(owner), owner, now=NOW, ttl=900), **changes)


def _payload(token):
    return json.loads(base64url_decode(token.split(".")[1].encode()))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "HS256"])
def test_a_minted_token_reads_back_under_every_algorithm(algorithm):
    tokens = access_tokens(key_ring(algorithm))
    claims = _claims()
    assert tokens.read(tokens.mint(claims, NOW), NOW) == claims


def test_the_header_names_the_type_and_the_key():
    ring = key_ring()
    token = access_tokens(ring).mint(_claims(), NOW)
    header = json.loads(base64url_decode(token.split(".")[0].encode()))
    assert header == {"alg": "EdDSA", "typ": "at+jwt", "kid": ring.signer("access", NOW).kid}


def test_a_token_expires_on_the_second_even_when_its_signature_is_remembered():
    tokens = access_tokens()
    token = tokens.mint(_claims(), NOW)
    assert isinstance(tokens.read(token, NOW + 899), AccessClaims)
    assert tokens.read(token, NOW + 900) is Reason.TOKEN_EXPIRED


def test_a_token_of_another_gate_s_key_is_invalid():
    token = access_tokens(key_ring()).mint(_claims(), NOW)
    assert access_tokens(key_ring()).read(token, NOW) is Reason.TOKEN_INVALID


def test_a_retired_key_verifies_nothing_although_its_tokens_were_remembered():
    """security 13"""
    old, new = (unseal(generate("EdDSA", "access", SECRET, NOW), SECRET) for _ in range(2))
    ring = KeyRing([old])
    tokens = access_tokens(ring)
    token = tokens.mint(_claims(), NOW)
    assert isinstance(tokens.read(token, NOW), AccessClaims)
    tokens.forget(ring.replace([new]))
    assert tokens.read(token, NOW) is Reason.TOKEN_INVALID


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "auth_time", "acr", "email"])
def test_every_claim_is_required(name):
    """security 10"""
    ring = key_ring()
    tokens = access_tokens(ring)
    payload = _payload(tokens.mint(_claims(), NOW))
    del payload[name]
    assert tokens.read(sign(ring.signer("access", NOW), "at+jwt", payload), NOW) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exp", "1900000000"),
        ("exp", True),
        ("exp", 1.9e9),
        ("iat", None),
        ("aud", ["gate"]),
        ("aud", "another"),
        ("iss", ISSUER + "/"),
        ("sub", 7),
        ("sid", ""),
        ("roles", "admin"),
        ("amr", [1]),
        ("email_verified", "true"),
    ],
)
def test_every_claim_is_typed(name, value):
    """security 10"""
    ring = key_ring()
    tokens = access_tokens(ring)
    payload = _payload(tokens.mint(_claims(), NOW)) | {name: value}
    assert tokens.read(sign(ring.signer("access", NOW), "at+jwt", payload), NOW) is Reason.TOKEN_INVALID


@pytest.mark.parametrize("typ", ["JWT", "", "gate-assertion+jwt"])
def test_a_token_of_another_type_is_not_an_access_token(typ):
    """security 10"""
    ring = key_ring()
    tokens = access_tokens(ring)
    payload = _payload(tokens.mint(_claims(), NOW))
    assert tokens.read(sign(ring.signer("access", NOW), typ, payload), NOW) is Reason.TOKEN_INVALID


def test_an_assertion_key_signs_no_access_token():
    """security 10"""
    ring = key_ring()
    tokens = access_tokens(ring)
    payload = _payload(tokens.mint(_claims(), NOW))
    assert tokens.read(sign(ring.signer("assertion", NOW), "at+jwt", payload), NOW) is Reason.TOKEN_INVALID


def test_the_public_key_as_an_hmac_secret_forges_nothing():
    """security 9: key confusion"""
    import hashlib
    import hmac

    ring = key_ring("RS256")
    tokens = access_tokens(ring)
    key = ring.signer("access", NOW)
    from cryptography.hazmat.primitives import serialization

    pem = key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    payload = _payload(tokens.mint(_claims(), NOW))
    head = base64url_encode(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}).encode())
    signing_input = head + b"." + base64url_encode(json.dumps(payload).encode())
    mac = base64url_encode(hmac.new(pem, signing_input, hashlib.sha256).digest())
    assert tokens.read((signing_input + b"." + mac).decode(), NOW) is Reason.TOKEN_INVALID


def test_alg_none_is_invalid():
    """security 9"""
    ring = key_ring()
    tokens = access_tokens(ring)
    kid = ring.signer("access", NOW).kid
    head = base64url_encode(json.dumps({"alg": "none", "typ": "at+jwt", "kid": kid}).encode()).decode()
    body = tokens.mint(_claims(), NOW).split(".")[1]
    assert tokens.read(f"{head}.{body}.", NOW) is Reason.TOKEN_INVALID
    assert tokens.read(f"{head}.{body}.AA", NOW) is Reason.TOKEN_INVALID


def test_a_token_from_the_future_is_invalid_beyond_the_skew():
    tokens = access_tokens()
    token = tokens.mint(_claims(issued_at=int(NOW) + 91, not_before=int(NOW) + 91), NOW)
    assert tokens.read(token, NOW) is Reason.TOKEN_INVALID
    assert isinstance(tokens.read(token, NOW + 1), AccessClaims)


def test_the_memory_of_signatures_is_bounded():
    tokens = access_tokens(cache_size=10)
    for _ in range(50):
        tokens.read(tokens.mint(_claims(jti=str(_)), NOW), NOW)
    assert len(tokens._verified) == 10
