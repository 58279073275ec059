"""API keys: their form, and whom they stand for at the gate, in one round trip."""

import asyncio
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

import pytest
from factories import ISSUER, NOW, access_tokens, api_key, ban_list, inbound, key_ring, refresh_tokens, rule_book, user
from fakes import MemoryKeys, MemoryRecords, MemorySessions

from gatekeeper.authenticator import Authenticator
from gatekeeper.bans.door import Door
from gatekeeper.gate import Gate
from gatekeeper.inbound import HostList
from gatekeeper.tokens.api_keys import KeyReader, KeyUses, digest_of, new_key
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.tokens.sessions import SessionOrigin, Sessions
from policies.model import Reason, Verdict
from policies.rates import Limit


def test_keys_differ_and_have_the_form_that_scanners_look_for():
    keys = {new_key() for _ in range(200)}
    assert len(keys) == 200
    assert all(re.fullmatch(r"gk_live_[0-9A-Za-z]{36}", key) for key in keys)


def test_a_key_with_any_character_changed_is_none():
    key = new_key()
    assert digest_of(key) is not None
    for place in range(len(key)):
        for other in "0Az_":
            changed = f"{key[:place]}{other}{key[place + 1 :]}"
            assert changed == key or digest_of(changed) is None


@pytest.mark.parametrize(
    "text", ["", "gk_live_", "gk_live_" + "0" * 36, "gk_test_" + "0" * 36, "é" * 44, "x" * 100_000]
)
def test_what_is_no_key_has_no_digest(text):
    assert digest_of(text) is None


class CountedSessions(MemorySessions):
    """Counts round trips."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    async def ask(self, question):
        self.asked += 1
        return await super().ask(question)


@dataclass
class Scene:
    store: CountedSessions = field(default_factory=CountedSessions)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    uses: KeyUses = field(default_factory=KeyUses)

    def __post_init__(self):
        rules = rule_book(
            {"path": "/open", "allow": "anyone", "limit": {"rate": "3/minute", "by": "key"}},
            {"path": "/metrics", "allow": {"scopes": ["metrics"]}},
            {"path": "/admin/**", "allow": {"roles": ["admin"]}},
            {"path": "/vault", "allow": "authenticated", "step_up": "10m"},
            {"path": "/few", "allow": "authenticated", "limit": {"rate": "2/minute", "by": "key"}},
            {"path": "/**", "allow": "authenticated"},
        )
        tokens, refresh, cookies, bans = access_tokens(key_ring()), refresh_tokens(), Cookies(secure=False), ban_list()
        sessions = Sessions(
            self.store, MemoryRecords(), tokens, refresh, refresh_ttl=3600, idle_ttl=3600, reuse_window=10
        )
        reader = KeyReader(self.store, self.keys, self.uses)
        authenticator = Authenticator(tokens, refresh, self.store, sessions, cookies, bans, reader)
        door = Door(bans)
        self.authenticator, self.sessions = authenticator, sessions
        self.gate = Gate(rules, HostList(ISSUER), authenticator, self.store, cookies, Limit("d", 100, 60), door)

    def made(self, *scopes, owner=None, **changes):
        owner = owner or user()
        text, record = api_key(owner, *scopes, **changes)
        self.keys.kept[record.digest] = (record, owner)
        return text, record, owner

    async def ask(self, text, path="/x", *, header="X-Api-Key", **changes):
        value = text if header == "X-Api-Key" else f"Bearer {text}"
        return await self.gate.decide(inbound(path=path, headers={header: value}, **changes))


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("header", ["X-Api-Key", "Authorization"])
async def test_a_key_is_its_owner_on_its_paths_and_nobody_elsewhere(scene, header):
    text, record, owner = scene.made("/x/**")
    decision = await scene.ask(text, "/x/1", header=header)
    assert (decision.verdict, decision.principal.subject, decision.principal.email) == (
        Verdict.ALLOW,
        owner.id,
        owner.email,
    )
    assert decision.principal.session == f"key:{record.id}"
    elsewhere = await scene.ask(text, "/y", header=header)
    assert (elsewhere.verdict, elsewhere.reason) == (Verdict.DENY, Reason.RULE_DENIED)


async def test_a_key_with_a_named_scope_reaches_only_the_rules_that_ask_for_it(scene):
    text, _, _ = scene.made("metrics", owner=user(roles=("admin",)))
    assert (await scene.ask(text, "/metrics")).verdict is Verdict.ALLOW
    assert (await scene.ask(text, "/admin/x")).reason is Reason.RULE_DENIED
    assert (await scene.ask(text, "/x")).reason is Reason.RULE_DENIED


async def test_once_known_a_key_costs_the_one_round_trip_and_no_database(scene):
    text, _, _ = scene.made("/**")
    await scene.ask(text)
    scene.store.asked, scene.keys.loads = 0, 0
    for _ in range(3):
        assert (await scene.ask(text, "/few")).principal is not None
    assert (scene.store.asked, scene.keys.loads) == (3, 0)


@pytest.mark.parametrize("text", ["gk_live_" + "0" * 36, "x", "", "gk_live_"])
async def test_what_is_no_key_by_its_form_is_refused_without_asking_for_it(scene, text):
    decision = await scene.ask(text)
    assert (decision.reason, scene.keys.loads) == (Reason.TOKEN_INVALID, 0)


async def test_a_token_of_the_gate_in_the_field_for_keys_is_none(scene):
    owner = user()
    pair = await scene.sessions.open(
        owner, SessionOrigin(ip_address("192.0.2.1"), None, ""), amr=("pwd",), acr="1fa", now=NOW
    )
    assert (await scene.ask(pair.access, header="Authorization")).verdict is Verdict.ALLOW
    assert (await scene.ask(pair.access)).reason is Reason.TOKEN_INVALID


async def test_a_key_that_nobody_made_is_refused(scene):
    assert (await scene.ask(new_key())).reason is Reason.TOKEN_INVALID
    assert scene.keys.loads == 1


async def test_a_revoked_key_is_refused_on_the_next_request(scene):
    """security 12"""
    text, record, _ = scene.made("/**")
    assert (await scene.ask(text)).verdict is Verdict.ALLOW
    await scene.store.put_key(replace(record, revoked=True, version=2))
    assert (await scene.ask(text)).reason is Reason.TOKEN_INVALID


async def test_a_late_reader_of_the_old_record_does_not_revive_a_revoked_key(scene):
    text, record, _ = scene.made("/**")
    await scene.store.put_key(replace(record, revoked=True, version=2))
    await scene.store.put_key(record)
    assert (await scene.ask(text)).reason is Reason.TOKEN_INVALID


async def test_an_expired_key_says_so(scene):
    text, _, _ = scene.made("/**", expires_at=NOW + 10)
    assert (await scene.ask(text, now=NOW + 9.9)).verdict is Verdict.ALLOW
    assert (await scene.ask(text, now=NOW + 10)).reason is Reason.TOKEN_EXPIRED


async def test_a_locked_owner_has_no_keys(scene):
    text, _, owner = scene.made("/**")
    await scene.ask(text)
    await scene.store.put_user(replace(owner, version=2, locked=True))
    assert (await scene.ask(text)).reason is Reason.TOKEN_INVALID


async def test_roles_are_those_that_the_owner_has_now(scene):
    text, _, owner = scene.made("/**")
    assert (await scene.ask(text, "/admin/x")).reason is Reason.RULE_DENIED
    await scene.store.put_user(replace(owner, roles=("admin",), version=2))
    assert (await scene.ask(text, "/admin/x")).verdict is Verdict.ALLOW


@pytest.mark.parametrize(("client", "reason"), [("192.0.2.9", None), ("192.0.3.1", Reason.BINDING_MISMATCH)])
async def test_a_key_is_good_only_from_its_networks(scene, client, reason):
    text, _, _ = scene.made("/**", networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert (await scene.ask(text, client=ip_address(client))).reason is reason


async def test_a_key_of_a_banned_owner_is_refused(scene):
    text, _, owner = scene.made("/**")
    scene.gate._door = Door(ban_list(f"user:{owner.id}"))
    assert (await scene.ask(text)).reason is Reason.BANNED


async def test_no_key_can_step_up(scene):
    text, _, _ = scene.made("/**")
    decision = await scene.ask(text, "/vault")
    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.RULE_DENIED)


async def test_on_a_public_rule_a_bad_or_narrow_key_is_anonymous_and_still_counted(scene):
    text, _, _ = scene.made("/elsewhere")
    first, second = await scene.ask(text, "/open"), await scene.ask(new_key(), "/open")
    assert [(one.verdict, one.principal) for one in (first, second)] == [(Verdict.ALLOW, None)] * 2
    others = [await scene.ask(new_key(), "/open") for _ in range(3)]
    assert [one.reason for one in others] == [None, None, Reason.RATE_LIMITED]


async def test_a_limit_by_key_counts_each_key_for_itself(scene):
    owner = user()
    one, two = scene.made("/**", owner=owner)[0], scene.made("/**", owner=owner)[0]
    assert [(await scene.ask(one, "/few")).reason for _ in range(3)] == [None, None, Reason.RATE_LIMITED]
    assert (await scene.ask(two, "/few")).reason is None


async def test_a_key_that_redis_has_lost_is_read_anew_and_counted_once(scene):
    text, _, _ = scene.made("/**")
    assert (await scene.ask(text, "/few")).standing.current == 1
    scene.store.keys.clear()
    assert (await scene.ask(text, "/few")).standing.current == 2
    scene.store.users.clear()
    assert (await scene.ask(text, "/few")).reason is Reason.RATE_LIMITED


@pytest.mark.parametrize("known", [False, True])
async def test_with_neither_store_a_key_is_refused(scene, known):
    """security 23"""
    text, _, _ = scene.made("/**")
    if known:
        await scene.ask(text)
    scene.store.down = scene.keys.down = True
    assert (await scene.ask(text)).reason is Reason.STORE_UNAVAILABLE


async def test_without_the_database_known_keys_go_on_and_others_are_uncertain(scene):
    """security 23"""
    text, _, _ = scene.made("/**")
    await scene.ask(text)
    scene.keys.down = True
    assert (await scene.ask(text)).verdict is Verdict.ALLOW
    assert (await scene.ask(new_key())).reason is Reason.STORE_UNAVAILABLE


async def test_many_who_show_a_new_key_at_once_ask_the_database_once(scene):
    text, _, _ = scene.made("/**")
    decisions = await asyncio.gather(*(scene.ask(text) for _ in range(50)))
    assert {one.verdict for one in decisions} == {Verdict.ALLOW}
    assert scene.keys.loads == 1


async def test_a_session_is_what_the_gates_own_calls_want(scene):
    text, _, _ = scene.made("/**")
    assert await scene.authenticator.authenticate(inbound(headers={"X-Api-Key": text})) is Reason.RULE_DENIED


async def test_calls_that_take_keys_learn_whose_it_is(scene):
    text, _, owner = scene.made("introspect")
    found = await scene.authenticator.authenticate_key(inbound(headers={"X-Api-Key": text}))
    assert (found.principal.subject, found.principal.key.scopes) == (owner.id, {"introspect"})
    assert await scene.authenticator.authenticate_key(inbound()) is Reason.CREDENTIALS_MISSING
    refused = await scene.authenticator.authenticate_key(inbound(headers={"Authorization": "Bearer x"}))
    assert refused is Reason.TOKEN_INVALID


async def test_uses_are_collected_for_later_and_survive_a_database_that_is_away(scene):
    text, record, _ = scene.made("/**")
    await scene.ask(text, now=NOW + 1)
    taken = scene.uses.take()
    assert (taken[record.id].time, str(taken[record.id].address)) == (NOW + 1, "192.0.2.1")
    await scene.ask(text, now=NOW + 2)
    scene.uses.give_back(taken)
    assert scene.uses.take()[record.id].time == NOW + 2
    assert scene.uses.take() == {}


def test_no_key_shows_in_what_is_printed(scene):
    text, record, _ = scene.made("/**")
    presented = scene.authenticator.present(inbound(headers={"X-Api-Key": text}))
    claim = scene.authenticator.claim(presented, NOW)
    said = repr((presented, claim, record))
    assert text not in said
    assert record.digest not in said
