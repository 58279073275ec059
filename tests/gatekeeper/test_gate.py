"""The straight line: every refusal in its order, every kind of credential (security 8, 12, 14)."""

from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from factories import ISSUER, NOW, access_tokens, ban_list, inbound, key_ring, refresh_tokens, rule_book, session, user
from fakes import MemoryKeys, MemoryRecords, MemorySessions

from gatekeeper.authenticator import Authenticator
from gatekeeper.bans.door import Door
from gatekeeper.gate import Gate
from gatekeeper.inbound import HostList
from gatekeeper.tokens.api_keys import KeyReader, KeyUses
from gatekeeper.tokens.codec import AccessTokens
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.durable import SessionOrigin
from gatekeeper.tokens.sessions import Session, Sessions, TokenPair, UserState
from policies.model import Reason, Verdict
from policies.rates import Limit

ORIGIN = SessionOrigin(ip_address("192.0.2.1"), None, "test")
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Scene:
    gate: Gate
    store: MemorySessions
    sessions: Sessions
    tokens: AccessTokens

    async def login(self, owner: UserState, now=NOW) -> TokenPair:
        return await self.sessions.open(owner, ORIGIN, amr=("pwd",), acr="1fa", now=now)

    async def ask(self, *args, **kwargs):
        return await self.gate.decide(inbound(*args, **kwargs))


@pytest.fixture
def scene() -> Scene:
    rules = rule_book(
        {"path": "/health", "allow": "anyone"},
        {"path": "/admin/**", "allow": {"roles": ["admin"]}},
        {"path": "/things/**", "allow": "authenticated"},
        {"path": "/few/**", "allow": "authenticated", "limit": {"rate": "2/minute", "by": "user"}},
        {"path": "/vault", "allow": "authenticated", "step_up": "10m"},
        {"path": "/two", "allow": "authenticated", "mfa": True},
        {"path": "/both", "allow": "authenticated", "mfa": True, "step_up": "10m"},
        {"path": "/open/**", "allow": "anyone", "limit": {"rate": "2/minute"}},
    )
    store, tokens, refresh, cookies = (
        MemorySessions(),
        access_tokens(key_ring()),
        refresh_tokens(),
        Cookies(secure=False),
    )
    sessions = Sessions(
        store, MemoryRecords(), tokens, refresh, refresh_ttl=30 * 86400, idle_ttl=7 * 86400, reuse_window=10
    )
    keys = KeyReader(store, MemoryKeys(), KeyUses())
    authenticator = Authenticator(tokens, refresh, store, sessions, cookies, bans := ban_list(), keys)
    gate = Gate(rules, HostList(ISSUER), authenticator, store, cookies, Limit("default", 100, 60), Door(bans))
    return Scene(gate, store, sessions, tokens)


def _bearer(pair: TokenPair) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair.access}"}


async def test_a_good_token_passes_and_names_the_rule_and_the_principal(scene):
    owner = user()
    decision = await scene.ask(headers=_bearer(await scene.login(owner)))
    assert (decision.verdict, decision.rule.name, decision.principal.subject) == (Verdict.ALLOW, "rule-2", owner.id)


async def test_a_decision_built_without_arguments_denies():
    from policies.model import Decision

    assert Decision().verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("path", "headers", "reason", "verdict"),
    [
        ("/things", {}, Reason.CREDENTIALS_MISSING, Verdict.LOGIN),
        ("/admin/x", {}, Reason.CREDENTIALS_MISSING, Verdict.LOGIN),
        ("/elsewhere", {}, Reason.NO_RULE, Verdict.DENY),
        ("/things", {"Authorization": "Bearer x"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/things", {"Authorization": "Bearer "}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/things", {"Authorization": "bearer"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/elsewhere", {"Authorization": "Bearer x"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/things", {"X-Api-Key": "gk_live_x"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/things", {"Authorization": "Basic eDp5"}, Reason.CREDENTIALS_MISSING, Verdict.LOGIN),
        ("/things", {"Cookie": "gate=x"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/things", {"Cookie": "gate-refresh=x"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
        ("/things", {"Cookie": "gate=x; gate=y"}, Reason.TOKEN_INVALID, Verdict.LOGIN),
    ],
)
async def test_each_kind_of_missing_or_bad_credentials_has_its_reason(scene, path, headers, reason, verdict):
    decision = await scene.ask(path=path, headers=headers)
    assert (decision.reason, decision.verdict) == (reason, verdict)


async def test_an_unknown_host_is_refused_before_anything_else(scene):
    pair = await scene.login(user())
    target = replace(inbound().target, host="evil.example")
    decision = await scene.ask(headers=_bearer(pair), target=target)
    assert decision.reason is Reason.UNKNOWN_HOST


async def test_a_bad_bearer_never_falls_back_to_a_good_cookie(scene):
    pair = await scene.login(user())
    headers = {"Authorization": "Bearer x", "Cookie": f"gate={pair.access}"}
    assert (await scene.ask(headers=headers)).reason is Reason.TOKEN_INVALID


async def test_a_role_rule_denies_who_lacks_the_role_and_roles_are_read_live(scene):
    """security 12: a role change is in force on the next request, the token's own roles do not count"""
    owner = user(roles=())
    pair = await scene.login(owner)
    assert (await scene.ask(path="/admin/x", headers=_bearer(pair))).reason is Reason.RULE_DENIED
    await scene.store.put_user(replace(owner, roles=("admin",), version=2))
    assert (await scene.ask(path="/admin/x", headers=_bearer(pair))).verdict is Verdict.ALLOW


async def _ended(scene: Scene, pair: TokenPair, owner: UserState, how: str) -> None:
    family: Session = pair.session
    match how:
        case "logout":
            await scene.store.end([family.id])
        case "blacklist":
            claims = scene.tokens.read(pair.access, NOW)
            await scene.store.blacklist(family.id, claims.jti, until=NOW + 900, now=NOW)
        case "lock":
            await scene.store.put_user(replace(owner, locked=True, epoch=2, version=2))
        case "lock-without-epoch":
            await scene.store.put_user(replace(owner, locked=True, version=2))
        case "log out everywhere":
            await scene.store.put_user(replace(owner, epoch=2, version=2))
        case "flush":
            scene.store.sessions.clear()
            scene.store.users.clear()
        case "lost user":
            scene.store.users.clear()
        case "another's session":
            scene.store.sessions[family.id] = session(user(), id=family.id)


@pytest.mark.parametrize(
    "how",
    [
        "logout",
        "blacklist",
        "lock",
        "lock-without-epoch",
        "log out everywhere",
        "flush",
        "lost user",
        "another's session",
    ],
)
async def test_every_way_a_session_ends_denies_the_next_request(scene, how):
    """security 12, 14"""
    owner = user()
    pair = await scene.login(owner)
    assert (await scene.ask(headers=_bearer(pair))).verdict is Verdict.ALLOW
    await _ended(scene, pair, owner, how)
    assert (await scene.ask(headers=_bearer(pair))).reason is Reason.SESSION_ENDED


async def test_an_idle_session_has_ended(scene):
    pair = await scene.login(user())
    scene.store.sessions[pair.session.id] = replace(pair.session, seen_at=NOW - 7 * 86400)
    assert (await scene.ask(headers=_bearer(pair))).reason is Reason.SESSION_ENDED


async def test_with_redis_gone_tokens_are_refused_and_public_routes_go_on(scene):
    """security 23"""
    pair = await scene.login(user())
    scene.store.down = True
    assert (await scene.ask(headers=_bearer(pair))).reason is Reason.STORE_UNAVAILABLE
    public = await scene.ask(path="/health", headers=_bearer(pair))
    assert (public.verdict, public.principal) == (Verdict.ALLOW, None)


async def test_bad_credentials_on_a_public_rule_mean_anonymous(scene):
    decision = await scene.ask(path="/health", headers={"Authorization": "Bearer x"})
    assert (decision.verdict, decision.principal) == (Verdict.ALLOW, None)


async def test_good_credentials_on_a_public_rule_are_known_to_the_upstream(scene):
    owner = user()
    decision = await scene.ask(path="/health", headers=_bearer(await scene.login(owner)))
    assert decision.principal.subject == owner.id


def _cookies(pair: TokenPair) -> dict[str, str]:
    return {"Cookie": f"theme=dark; gate={pair.access}; gate-refresh={pair.refresh}"}


async def test_an_expired_access_cookie_is_renewed_in_passing(scene):
    pair = await scene.login(user())
    decision = await scene.ask(headers=_cookies(pair), now=NOW + 901)
    assert decision.verdict is Verdict.ALLOW
    assert decision.set_cookie.startswith("gate=ey")
    assert "gate-refresh" not in decision.set_cookie
    assert scene.store.sessions[pair.session.id].generation == 1


async def test_an_absent_access_cookie_is_renewed_in_passing(scene):
    pair = await scene.login(user())
    decision = await scene.ask(headers={"Cookie": f"gate-refresh={pair.refresh}"})
    assert decision.set_cookie is not None


async def test_a_good_access_cookie_is_not_renewed(scene):
    pair = await scene.login(user())
    assert (await scene.ask(headers=_cookies(pair))).set_cookie is None


async def test_an_expired_bearer_token_is_not_renewed(scene):
    pair = await scene.login(user())
    headers = _bearer(pair) | {"Cookie": f"gate-refresh={pair.refresh}"}
    assert (await scene.ask(headers=headers, now=NOW + 901)).reason is Reason.TOKEN_EXPIRED


async def test_an_access_token_is_no_refresh_cookie_nor_the_other_way_round(scene):
    """security 10"""
    pair = await scene.login(user())
    assert (await scene.ask(headers={"Cookie": f"gate={pair.refresh}"})).reason is Reason.TOKEN_INVALID
    assert (await scene.ask(headers={"Cookie": f"gate-refresh={pair.access}"})).reason is Reason.TOKEN_INVALID
    assert (await scene.ask(headers={"Authorization": f"Bearer {pair.refresh}"})).reason is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, False),
        ({"Origin": "http://127.0.0.1:8080"}, True),
        ({"Origin": "http://127.0.0.1:8081"}, False),
        ({"Origin": "https://127.0.0.1:8080"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_cookie_acts_only_from_the_same_origin(scene, method, headers, passes):
    """security 8"""
    pair = await scene.login(user())
    decision = await scene.ask(method, headers=_cookies(pair) | headers)
    assert (decision.reason is None) == passes
    assert passes or decision.reason is Reason.CSRF


async def test_a_bearer_token_needs_no_origin(scene):
    pair = await scene.login(user())
    assert (await scene.ask("POST", headers=_bearer(pair))).verdict is Verdict.ALLOW


async def test_a_websocket_with_a_cookie_needs_the_same_origin(scene):
    """security 7, 8"""
    pair = await scene.login(user())
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert (await scene.ask(headers=_cookies(pair) | upgrade)).reason is Reason.CSRF
    assert (await scene.ask(headers=_cookies(pair) | upgrade | SAME_ORIGIN)).verdict is Verdict.ALLOW


async def test_the_address_limit_comes_before_credentials(scene):
    pair = await scene.login(user())
    for _ in range(100):
        assert (await scene.ask(headers=_bearer(pair))).verdict is Verdict.ALLOW
    for headers in ({}, _bearer(pair), {"Authorization": "Bearer x"}):
        decision = await scene.ask(headers=headers)
        assert (decision.reason, decision.verdict) == (Reason.RATE_LIMITED, Verdict.DENY)
        assert 0 < decision.retry_after <= 60
    assert (await scene.ask(headers=_bearer(pair), client=ip_address("192.0.2.2"))).verdict is Verdict.ALLOW


async def test_an_ipv6_subscriber_is_counted_by_its_64(scene):
    """security 5"""
    for host in range(100):
        await scene.ask(path="/health", client=ip_address(f"2001:db8::{host:x}"))
    assert (await scene.ask(path="/health", client=ip_address("2001:db8::ffff"))).reason is Reason.RATE_LIMITED
    assert (await scene.ask(path="/health", client=ip_address("2001:db8:0:1::1"))).reason is None


async def test_a_rule_s_limit_by_user_counts_over_all_sessions_and_says_so(scene):
    owner = user()
    pairs = [await scene.login(owner) for _ in range(3)]
    decisions = [await scene.ask(path="/few/x", headers=_bearer(pair)) for pair in pairs]
    assert [decision.reason for decision in decisions] == [None, None, Reason.RATE_LIMITED]
    assert [decision.standing.remaining for decision in decisions] == [1, 0, 0]
    assert decisions[2].retry_after > 0
    other = await scene.login(user())
    assert (await scene.ask(path="/few/x", headers=_bearer(other))).verdict is Verdict.ALLOW


async def test_a_rule_s_limit_counts_renewals_in_passing_too(scene):
    pair = await scene.login(user())
    headers = {"Cookie": f"gate-refresh={pair.refresh}"}
    reasons = [(await scene.ask(path="/few/x", headers=headers)).reason for _ in range(3)]
    assert reasons == [None, None, Reason.RATE_LIMITED]


async def test_csrf_comes_before_the_rule_s_limit(scene):
    pair = await scene.login(user())
    for _ in range(4):
        assert (await scene.ask("POST", path="/few/x", headers=_cookies(pair))).reason is Reason.CSRF


async def test_without_redis_limits_are_counted_locally(scene):
    """security 23"""
    scene.store.down = True
    assert [(await scene.ask(path="/open/x")).reason for _ in range(3)] == [None, None, Reason.RATE_LIMITED]
    for _ in range(97):
        await scene.ask(path="/health")
    assert (await scene.ask(path="/health")).reason is Reason.RATE_LIMITED
    assert (await scene.ask()).reason is Reason.RATE_LIMITED


async def test_a_login_counts_as_step_up_while_it_is_young(scene):
    pair = await scene.login(user())
    assert (await scene.ask(path="/vault", headers=_bearer(pair), now=NOW + 600)).verdict is Verdict.ALLOW
    late = await scene.ask(path="/vault", headers=_bearer(pair), now=NOW + 601)
    assert (late.verdict, late.reason, late.step_up.max_age) == (Verdict.STEP_UP, Reason.STEP_UP_REQUIRED, 600)


async def test_a_password_alone_does_not_satisfy_a_rule_that_asks_for_two_factors(scene):
    decision = await scene.ask(path="/two", headers=_bearer(await scene.login(user())))
    assert (decision.verdict, decision.reason) == (Verdict.STEP_UP, Reason.MFA_REQUIRED)
    assert (decision.step_up.acr_values, decision.step_up.max_age) == ("2fa", None)


async def test_a_step_up_of_the_session_does_not_raise_what_an_older_token_is_worth(scene):
    pair = await scene.login(user())
    live = scene.store.sessions[pair.session.id]
    scene.store.sessions[live.id] = replace(live, auth_time=NOW + 700, mfa_time=NOW + 700, acr="2fa")
    for path in ("/vault", "/two"):
        assert (await scene.ask(path=path, headers=_bearer(pair), now=NOW + 701)).verdict is Verdict.STEP_UP


async def test_an_older_token_of_two_factors_does_not_gain_a_later_use_of_the_second(scene):
    pair = await scene.sessions.open(user(), ORIGIN, amr=("pwd", "otp"), acr="2fa", now=NOW)
    live = scene.store.sessions[pair.session.id]
    scene.store.sessions[live.id] = replace(live, auth_time=NOW + 700, mfa_time=NOW + 700)
    decision = await scene.ask(path="/both", headers=_bearer(pair), now=NOW + 701)
    assert decision.reason is Reason.STEP_UP_REQUIRED


async def test_a_session_that_was_set_back_is_not_worth_what_its_tokens_say(scene):
    pair = await scene.login(user())
    live = scene.store.sessions[pair.session.id]
    scene.store.sessions[live.id] = replace(live, auth_time=0.0)
    assert (await scene.ask(path="/vault", headers=_bearer(pair))).reason is Reason.STEP_UP_REQUIRED


async def test_who_must_enrol_reaches_only_what_is_public_and_there_as_nobody(scene):
    pair = await scene.login(user())
    live = scene.store.sessions[pair.session.id]
    scene.store.sessions[live.id] = replace(live, must_enrol=True)
    refused = await scene.ask(headers=_bearer(pair))
    assert (refused.verdict, refused.reason, refused.step_up.acr_values) == (
        Verdict.STEP_UP,
        Reason.MFA_REQUIRED,
        "2fa",
    )
    public = await scene.ask(path="/health", headers=_bearer(pair))
    assert (public.verdict, public.principal) == (Verdict.ALLOW, None)


async def test_a_foreign_page_cannot_lead_anyone_to_a_step_up(scene):
    pair = await scene.login(user())
    headers = {"Cookie": f"gate={pair.access}", "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    decision = await scene.ask("POST", "/vault", headers=headers, now=NOW + 700)
    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.CSRF)
