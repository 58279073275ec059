"""Keys: sealed at rest, published without private members (security 13)."""

from dataclasses import replace

import pytest
from factories import NOW, SECRET, key_ring

from gatekeeper.errors import StartupError
from gatekeeper.tokens.keyring import KeyRing, generate, unseal


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_jwks_shows_public_members_only(algorithm):
    """security 13"""
    for key in key_ring(algorithm).jwks(NOW)["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys()
        assert {"kty", "kid", "alg", "use"} <= key.keys()


def test_a_symmetric_key_is_not_published():
    """security 13"""
    assert [key["alg"] for key in key_ring("HS256").jwks(NOW)["keys"]] == ["EdDSA"]


def test_a_sealed_key_opens_only_with_its_secret():
    sealed = generate("EdDSA", "access", SECRET, NOW)
    assert unseal(sealed, SECRET).kid == sealed.kid
    with pytest.raises(StartupError, match=r"storage\.secret"):
        unseal(sealed, SECRET + "x")


def test_a_sealed_key_cannot_pose_as_another():
    with pytest.raises(StartupError):
        unseal(replace(generate("EdDSA", "access", SECRET, NOW), kid="another"), SECRET)


def test_the_private_key_is_not_in_what_rests():
    sealed = generate("HS256", "access", SECRET, NOW)
    assert unseal(sealed, SECRET).private not in sealed.sealed
    assert "private" not in repr(unseal(sealed, SECRET))


def test_a_new_key_is_published_before_it_signs():
    """security 13"""
    old = unseal(generate("EdDSA", "access", SECRET, NOW), SECRET)
    new = unseal(replace(generate("EdDSA", "access", SECRET, NOW), not_before=NOW + 60), SECRET)
    ring = KeyRing([old, new])
    assert ring.signer("access", NOW) is old
    assert ring.signer("access", NOW + 60) is new
    assert {key["kid"] for key in ring.jwks(NOW)["keys"]} == {old.kid, new.kid}


def test_a_retired_key_is_found_until_it_retires():
    """security 13"""
    key = replace(unseal(generate("EdDSA", "access", SECRET, NOW), SECRET), retired_at=NOW + 60)
    ring = KeyRing([key])
    assert ring.find(key.kid, "access", NOW + 59) is key
    assert ring.find(key.kid, "access", NOW + 60) is None
    assert ring.jwks(NOW + 60) == {"keys": []}


def test_a_key_made_by_a_gate_whose_clock_is_ahead_signs_at_once():
    """security 25: two gates' clocks differ, and the first requests come in the second in which the key was made"""
    key = unseal(generate("EdDSA", "access", SECRET, NOW + 60), SECRET)
    assert KeyRing([key]).signer("access", NOW) is key


def test_a_retired_key_does_not_sign():
    key = replace(unseal(generate("EdDSA", "access", SECRET, NOW), SECRET), retired_at=NOW)
    with pytest.raises(StartupError, match="no signing key"):
        KeyRing([key]).signer("access", NOW)
