"""A JWKS as it is taken in: what may verify, with one algorithm each (RFC 7517, RFC 8725)."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from issuers import OtherIssuer
from jwt.algorithms import RSAAlgorithm

from gatekeeper.tokens.issuer_keys import KeysUnavailable, parse_jwks

ALL = ["EdDSA", "ES256", "RS256", "PS256"]


def kids(*jwks, algorithms=ALL):
    """Names and algorithms of the usable ones."""
    found = parse_jwks(json.dumps({"keys": list(jwks)}).encode(), algorithms)
    return {kid: key.verification.algorithm for kid, key in found.items()}


@pytest.fixture(scope="module")
def jwk():
    """A JWK of each algorithm."""
    issuer = OtherIssuer()
    return {algorithm: issuer.jwk(issuer.make_key(algorithm, algorithm)) for algorithm in ("EdDSA", "ES256", "RS256")}


def test_each_key_has_the_algorithm_that_it_names(jwk):
    assert kids(*jwk.values()) == {"EdDSA": "EdDSA", "ES256": "ES256", "RS256": "RS256"}


def test_a_key_that_names_none_has_the_first_that_fits(jwk):
    nameless = {name: value for name, value in jwk["RS256"].items() if name != "alg"}
    assert kids(nameless) == {"RS256": "RS256"}
    assert kids(nameless, algorithms=["ES256", "PS256", "RS256"]) == {"RS256": "PS256"}
    assert kids(nameless, algorithms=["ES256"]) == {}


def test_what_may_not_verify_is_left_out(jwk):
    small = {**RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True), "kid": "small"}
    symmetric = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256", "kid": "symmetric"}
    for refused in (
        small,
        symmetric,
        jwk["ES256"] | {"use": "enc"},
        jwk["ES256"] | {"key_ops": ["sign"]},
        jwk["ES256"] | {"alg": "ES384"},
        jwk["ES256"] | {"crv": "P-384"},
        jwk["ES256"] | {"x": "AAAA"},
        jwk["ES256"] | {"kid": 7},
        jwk["EdDSA"] | {"alg": "none"},
        "text",
        None,
    ):
        assert kids(refused, jwk["RS256"], algorithms=[*ALL, "ES384"]) == {"RS256": "RS256"}, refused


def test_a_name_that_stands_for_two_keys_stands_for_none(jwk):
    assert kids(jwk["ES256"] | {"kid": "x"}, jwk["RS256"] | {"kid": "x"}, jwk["EdDSA"]) == {"EdDSA": "EdDSA"}


def test_private_members_are_not_taken_in():
    whole = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True) | {
        "kid": "a",
        "key_ops": ["verify"],
    }
    (key,) = parse_jwks(json.dumps({"keys": [whole]}).encode(), ALL).values()
    assert not hasattr(key.verification.key, "private_numbers")
    assert whole["d"] not in key.text


@pytest.mark.parametrize(
    "document",
    [b"", b"no", b"[]", b"{}", b'{"keys": {}}', b"\xff", b"[" * 100_000, b'{"keys": [%s]}' % b",".join([b"1"] * 101)],
)
def test_what_is_no_jwk_set_is_refused(document):
    with pytest.raises(KeysUnavailable):
        parse_jwks(document, ALL)
