"""Attack vectors against signature verification (security 9)."""

import json
from pathlib import Path

import pytest

from gatekeeper.tokens import jws

VECTORS = Path(__file__).parents[2] / "data" / "wycheproof" / "json_web_signature_test.json"
DISPUTED = {367, 370, 372, 373}
ONLY_THE_LABEL = {346, 347, 350, 351}  # keys labelled with another algorithm than the token's


def _cases():
    for group in json.loads(VECTORS.read_text())["testGroups"]:
        for case in group["tests"]:
            if case["tcId"] not in DISPUTED | ONLY_THE_LABEL:
                yield pytest.param(
                    group.get("public") or group["private"], case["jws"], case["result"], id=f"{case['tcId']}"
                )


def _verifies(jwk, token):
    header = jws.read_header(token)
    if header is None:
        return False
    # A key without a label gets the algorithm that its owner would configure for its type.
    default = {"RSA": "RS256", "EC": "ES256", "oct": "HS256", "OKP": "EdDSA"}[jwk["kty"]]
    key = jws.VerificationKey.from_jwk(jwk, None if "alg" in jwk else default)
    return key is not None and jws.verify(token, header, key) is not None


@pytest.mark.parametrize(("jwk", "token", "result"), list(_cases()))
def test_wycheproof_verdicts_hold(jwk, token, result):
    """security 9"""
    assert _verifies(jwk, token) == (result == "valid")


def test_the_corpus_has_valid_and_invalid_cases():
    results = [case.values[2] for case in _cases()]
    assert results.count("valid") > 30
    assert results.count("invalid") > 300


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA", "crit": ["exp"], "exp": 1},
        {"alg": "EdDSA", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "jku": "http://127.0.0.1:1/keys"},
        {"alg": "EdDSA", "x5u": "http://127.0.0.1:1/cert"},
        {"alg": "EdDSA", "jwk": {"kty": "oct", "k": "AA"}},
        {"alg": ["EdDSA"]},
        {"alg": "EdDSA", "kid": 1},
    ],
)
def test_a_header_that_points_elsewhere_is_refused_unread(header):
    """security 9"""
    from jwt.utils import base64url_encode

    token = b".".join([base64url_encode(json.dumps(header).encode()), b"e30", b"AA"]).decode()
    assert jws.read_header(token) is None


def test_a_token_over_8_kib_is_refused_before_decoding():
    """security 10"""
    assert jws.read_header("e30." + "A" * 8192 + ".AA") is None


def test_a_doubled_header_member_is_refused():
    """security 9"""
    from jwt.utils import base64url_encode

    header = base64url_encode(b'{"alg":"EdDSA","alg":"none"}').decode()
    assert jws.read_header(f"{header}.e30.AA") is None
