"""Other issuers' tokens: what is believed, and nothing else (RFC 8725, RFC 9068)."""

import asyncio
import base64
import json

import jwt
import pytest
from factories import NOW
from hypothesis import given
from hypothesis import strategies as st
from issuers import AUDIENCE, NAME, OtherIssuer

from gatekeeper.tokens.foreign import ForeignClaims, ForeignTokens, Issuer, account_of
from gatekeeper.tokens.issuer_keys import AGAIN, IssuerKeys
from policies.model import Reason

ALGORITHMS = ["EdDSA", "ES256", "RS256"]


def reading(*others, algorithms=ALGORITHMS, remembered=10, **claims):
    """A reader that accepts these issuers."""
    return ForeignTokens(
        [
            Issuer(other.name, frozenset({AUDIENCE, "second"}), IssuerKeys(other.name, other, algorithms), **claims)
            for other in others
        ],
        remembered=remembered,
    )


@pytest.fixture(scope="module")
def other():
    return OtherIssuer()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_good_token_says_who_asks(algorithm):
    issuer = OtherIssuer(algorithm=algorithm)
    told = {"email": "ada@example.com", "email_verified": True, "auth_time": int(NOW) - 5}
    found = await reading(issuer, roles_claim="roles", email_claim="email").read(
        issuer.token(roles=["staff", "admin"], **told),
        NOW,
    )
    assert isinstance(found, ForeignClaims)
    who = found.principal
    assert (who.subject, who.email, who.email_verified) == ("ada", "ada@example.com", True)
    assert (who.roles, who.issuer, who.until) == (frozenset({"staff", "admin"}), NAME, NOW + 600)
    assert (who.auth_time, who.mfa_time, who.acr) == (NOW - 5, 0.0, "1fa")
    assert who.session.startswith("f.")


async def test_roles_and_e_mail_count_only_where_the_configuration_names_their_claims(other):
    token = other.token(roles=["admin"], email="ada@example.com", email_verified=True)
    found = await reading(other).read(token, NOW)
    assert (found.principal.roles, found.principal.email, found.principal.email_verified) == (frozenset(), "", False)


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (["a", "b"], {"a", "b"}),
        ("a b", {"a", "b"}),
        ([], set()),
        (None, set()),
        (7, set()),
        ({"a": 1}, set()),
        (["a", 7], set()),
        (["a,admin"], set()),
        (["a\nb"], set()),
        (["a"] * 101, set()),
    ],
)
async def test_roles_are_texts_or_there_are_none(other, value, roles):
    found = await reading(other, roles_claim="realm.roles").read(other.token(realm={"roles": value}), NOW)
    assert found.principal.roles == roles


async def test_another_claim_may_name_the_token(other):
    tokens = reading(other, id_claim="uti")
    found = await tokens.read(other.token(jti=None, uti="abc"), NOW)
    assert found.jti == "abc"
    assert await tokens.read(other.token(), NOW) is Reason.TOKEN_INVALID


async def test_a_claim_whose_name_has_dots_is_found_before_what_is_inside_objects(other):
    token = other.token(**{"https://x.example/who": "grace", "a.b": "flat", "a": {"b": "deep"}})
    assert (await reading(other, subject_claim="https://x.example/who").read(token, NOW)).principal.subject == "grace"
    assert (await reading(other, subject_claim="a.b").read(token, NOW)).principal.subject == "flat"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": ["https://login.example/realms/one"]},
        {"aud": "other"},
        {"aud": []},
        {"aud": None},
        {"aud": {"reports": 1}},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 256},
        {"sub": None},
        {"sub": "a\nb"},
        {"sub": "x" * 256},
        {"exp": None},
        {"exp": "1900000000"},
        {"exp": True},
        {"exp": 1e400},
        {"exp": -1},
        {"iat": None},
        {"iat": int(NOW) + 1000},
        {"nbf": int(NOW) + 1000},
        {"nbf": "soon"},
    ],
    ids=str,
)
async def test_what_is_missing_mistyped_or_for_others_is_refused(other, changes):
    assert await reading(other).read(other.token(**changes), NOW) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "logout+jwt"},
        {"typ": "ID"},
        {"crit": ["x"]},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/x"},
        {"jwk": {"kty": "OKP"}},
        {"b64": False},
        {"kid": "unknown"},
    ],
    ids=str,
)
async def test_a_header_that_points_elsewhere_is_refused_without_a_look(header):
    """security 9"""
    issuer = OtherIssuer()
    tokens = reading(issuer)
    assert await tokens.read(issuer.token(header=header), NOW) is Reason.TOKEN_INVALID
    assert issuer.fetched <= 1


@pytest.mark.parametrize(
    "header", [{"typ": "JWT"}, {"typ": None}, {"typ": "application/at+jwt"}, {"x5t": "abc"}], ids=str
)
async def test_the_headers_of_common_issuers_are_taken(other, header):
    assert isinstance(await reading(other).read(other.token(header=header), NOW), ForeignClaims)


async def test_no_token_chooses_its_algorithm():
    """security 9: not none, not HMAC with a public key, not another one of the same key."""
    issuer = OtherIssuer(algorithm="RS256")
    (kid,) = issuer.keys
    claims, key = issuer.claims(), issuer.keys[kid][1]
    tokens = reading(issuer)
    assert isinstance(await tokens.read(issuer.token(), NOW), ForeignClaims)
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    ]
    public = json.dumps(issuer.jwk(kid))
    for token in (
        ".".join([*parts, "x"]),
        ".".join([*parts, ""]),
        jwt.encode(claims, public * 2, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, key, algorithm="PS256", headers={"kid": kid}),
        jwt.encode(claims, key, algorithm="RS512", headers={"kid": kid}),
    ):
        assert await tokens.read(token, NOW) is Reason.TOKEN_INVALID
    assert await reading(issuer, algorithms=["ES256"]).read(issuer.token(), NOW) is Reason.TOKEN_INVALID


async def test_one_issuer_s_key_signs_nothing_for_another(other):
    second = OtherIssuer("https://second.example")
    tokens = reading(other, second)
    (kid,) = second.keys
    other_s_name = jwt.encode(second.claims(iss=NAME), second.keys[kid][1], algorithm="EdDSA", headers={"kid": kid})
    assert await tokens.read(other_s_name, NOW) is Reason.TOKEN_INVALID
    one, two = await tokens.read(other.token(jti="same"), NOW), await tokens.read(second.token(jti="same"), NOW)
    assert one.session != two.session
    assert account_of(one) != account_of(two)


async def test_a_token_ends_with_its_time_and_is_not_yet_one_before_it(other):
    tokens, token = reading(other), other.token()
    assert isinstance(await tokens.read(token, NOW), ForeignClaims)
    assert isinstance(await tokens.read(token, NOW + 599), ForeignClaims)
    assert await tokens.read(token, NOW + 600) is Reason.TOKEN_EXPIRED
    assert await tokens.read(token, NOW - 100) is Reason.TOKEN_INVALID


async def test_a_signature_is_verified_once_and_as_long_as_its_key_is_there():
    issuer = OtherIssuer()
    tokens, token = reading(issuer), issuer.token()
    first = await tokens.read(token, NOW)
    assert await tokens.read(token, NOW) is first
    (keys,) = [one.keys for one in tokens.issuers]
    await keys.refresh(NOW)
    assert await tokens.read(token, NOW) is first  # the same key was read again
    issuer.keys.clear()
    issuer.make_key()
    await keys.refresh(NOW)
    assert await tokens.read(token, NOW) is Reason.TOKEN_INVALID


async def test_what_is_remembered_is_bounded(other):
    tokens = reading(other, remembered=3)
    for _ in range(10):
        await tokens.read(other.token(), NOW)
    assert len(tokens._verified) == 3


async def test_an_unknown_key_is_looked_for_at_once_and_once_a_minute_at_most():
    issuer = OtherIssuer()
    tokens = reading(issuer)
    old = issuer.token()
    assert isinstance(await tokens.read(old, NOW), ForeignClaims)
    issuer.make_key()
    new = issuer.token()
    assert await tokens.read(new, NOW + 1) is Reason.TOKEN_INVALID  # within the minute
    assert isinstance(await tokens.read(new, NOW + AGAIN), ForeignClaims)
    assert issuer.fetched == 2
    unknown = [issuer.token(header={"kid": f"k{number}"}) for number in range(50)]
    found = await asyncio.gather(*(tokens.read(token, NOW + 2 * AGAIN) for token in unknown))
    assert (set(found), issuer.fetched) == ({Reason.TOKEN_INVALID}, 3)


async def test_keys_that_were_never_had_are_an_outage_and_known_ones_stay_in_force():
    """security 23: closed, and said as what it is."""
    issuer = OtherIssuer()
    issuer.answers = False
    tokens, token = reading(issuer), issuer.token()
    assert await tokens.read(token, NOW) is Reason.STORE_UNAVAILABLE
    issuer.answers = True
    assert await tokens.read(token, NOW + 1) is Reason.STORE_UNAVAILABLE  # not asked again so soon
    assert isinstance(await tokens.read(token, NOW + AGAIN), ForeignClaims)
    issuer.answers = False
    (keys,) = [one.keys for one in tokens.issuers]
    await keys.refresh(NOW + 2 * AGAIN)
    assert isinstance(await tokens.read(token, NOW + 61), ForeignClaims)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["iss", "aud", "sub", "jti", "iat", "exp", "nbf", "auth_time", "amr", "roles", "email", "email_verified"]
SIGNER = OtherIssuer()


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_an_issuer_signs_is_taken_or_refused_and_never_a_fault(changes):
    """security 28"""
    tokens = reading(SIGNER, roles_claim="roles", email_claim="email")
    found = asyncio.run(tokens.read(SIGNER.token(**changes), NOW))
    assert isinstance(found, ForeignClaims | Reason)
    if isinstance(found, ForeignClaims):
        who = found.principal
        assert all(text.isprintable() for text in (who.subject, who.email, found.jti, *who.roles, *who.amr))
        assert NOW < who.until
