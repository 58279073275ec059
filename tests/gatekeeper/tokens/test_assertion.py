"""X-Gate-Assertion: signed from the first moment of a key on, cached, and about one principal only."""

from dataclasses import replace

import jwt
from factories import ISSUER, NOW, key_ring

from gatekeeper.tokens.assertion import LIFE, Assertions
from policies.model import Principal

ADA = Principal("ada", "ada@example.com", frozenset({"staff"}), "session", "jti")


def _claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_an_assertion_can_be_made_in_the_very_second_in_which_its_key_was():
    made_at = NOW + 0.75
    assertions = Assertions(key_ring(now=made_at), ISSUER)
    assert _claims(assertions.for_upstream(ADA, "api", made_at + 0.1))["iat"] == int(NOW)


def test_it_is_cached_until_a_tenth_of_its_life_is_left():
    assertions = Assertions(key_ring(), ISSUER)
    first = assertions.for_upstream(ADA, "api", NOW)
    assert assertions.for_upstream(ADA, "api", NOW + LIFE * 0.9 - 1) == first
    later = assertions.for_upstream(ADA, "api", NOW + LIFE * 0.9)
    assert _claims(later)["exp"] == int(NOW + LIFE * 1.9)


def test_another_audience_role_or_session_gets_its_own():
    assertions = Assertions(key_ring(), ISSUER)
    tokens = {
        assertions.for_upstream(who, audience, NOW)
        for who in (ADA, replace(ADA, roles=frozenset({"admin"})), replace(ADA, session="other"))
        for audience in ("api", "billing")
    }
    assert len(tokens) == 6
