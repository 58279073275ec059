"""What every SessionStore must do, in memory and on a real server (security 11, 12, 14)."""

import asyncio
from dataclasses import replace
from ipaddress import ip_network

import pytest
from factories import NOW, api_key, session, user
from fakes import MemorySessions

from gatekeeper.store.live import RedisSessions
from gatekeeper.store.redis import Redis
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import Presented, Question
from policies.rates import Counted, Limit, Standing

WINDOW = 10.0
IDLE = 7 * 86400.0


@pytest.fixture(params=["memory", "redis"])
async def store(request):
    if request.param == "memory":
        yield MemorySessions()
        return
    redis = Redis(request.getfixturevalue("redis_url"), timeout=5.0)
    await redis.open()
    yield RedisSessions(redis, user_life=31 * 86400.0)
    await redis.close()


async def _opened(store, **changes):
    owner = user()
    family = session(owner, **changes)
    await store.open(family, owner, idle=IDLE)
    return owner, family


async def _rotate(store, family, generation, now=NOW):
    return await store.rotate(RefreshClaim(family.id, generation), now=now, window=WINDOW, idle=IDLE)


async def test_an_opened_session_reads_back_with_its_user(store):
    owner, family = await _opened(store)
    live = await store.read(family.id, "a-jti", owner.id)
    assert (live.session, live.user, live.blacklisted) == (family, owner, False)
    assert await store.find(family.id) == family
    assert await store.find_user(owner.id) == owner


async def test_a_session_that_never_was_reads_as_none(store):
    live = await store.read("x" * 24, "a-jti", user().id)
    assert (live.session, live.user, live.blacklisted) == (None, None, False)


async def test_many_requests_of_one_tick_get_their_own_records(store):
    opened = [await _opened(store) for _ in range(30)]
    answers = await asyncio.gather(*(store.read(family.id, "j", owner.id) for owner, family in opened * 20))
    for (owner, family), live in zip(opened * 20, answers, strict=True):
        assert (live.session, live.user) == (family, owner)


async def test_the_current_generation_rotates(store):
    _, family = await _opened(store)
    assert await _rotate(store, family, 1, NOW + 60) is Presented.ROTATED
    moved = await store.find(family.id)
    assert (moved.generation, moved.rotated_at, moved.seen_at) == (2, NOW + 60, NOW + 60)


async def test_the_parent_inside_the_window_gets_the_same_successor_again(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    assert await _rotate(store, family, 1, NOW + WINDOW) is Presented.REPEATED
    assert (await store.find(family.id)).generation == 2


async def test_the_parent_after_the_window_ends_the_family(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    assert await _rotate(store, family, 1, NOW + WINDOW + 0.001) is Presented.REUSED
    assert await store.find(family.id) is None


async def test_a_grandparent_inside_the_window_ends_the_family(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    await _rotate(store, family, 2)
    assert await _rotate(store, family, 1) is Presented.REUSED
    assert await _rotate(store, family, 3) is Presented.ENDED


async def test_a_generation_from_the_future_is_refused_and_ends_nothing(store):
    """security 11"""
    _, family = await _opened(store)
    assert await _rotate(store, family, 2) is Presented.ENDED
    assert await store.find(family.id) == family


async def test_fifty_parallel_refreshes_rotate_once(store):
    """security 11"""
    _, family = await _opened(store)
    outcomes = await asyncio.gather(*(_rotate(store, family, 1) for _ in range(50)))
    assert outcomes.count(Presented.ROTATED) == 1
    assert outcomes.count(Presented.REPEATED) == 49


async def test_renewal_never_rotates(store):
    _, family = await _opened(store)
    claim = RefreshClaim(family.id, 1)
    outcomes = await asyncio.gather(*(store.renew(claim, now=NOW + 5, window=WINDOW, idle=IDLE) for _ in range(20)))
    assert set(outcomes) == {Presented.CURRENT}
    renewed = await store.find(family.id)
    assert (renewed.generation, renewed.seen_at) == (1, NOW + 5)


async def test_renewal_with_a_spent_token_ends_the_family(store):
    """security 11"""
    _, family = await _opened(store)
    await _rotate(store, family, 1)
    claim = RefreshClaim(family.id, 1)
    assert await store.renew(claim, now=NOW + 11, window=WINDOW, idle=IDLE) is Presented.REUSED
    assert await store.find(family.id) is None


async def test_an_ended_session_does_not_come_back_by_rotation(store):
    """security 12"""
    _, family = await _opened(store)
    await store.end([family.id])
    assert await _rotate(store, family, 1) is Presented.ENDED
    assert await store.find(family.id) is None


async def test_logout_racing_refresh_leaves_nothing_alive(store):
    """security 12"""
    for _ in range(500):
        _, family = await _opened(store)
        await asyncio.gather(_rotate(store, family, 1), store.end([family.id]), _rotate(store, family, 1))
        assert await store.find(family.id) is None


async def test_a_blacklisted_token_is_seen_under_its_own_jti_only(store):
    owner, family = await _opened(store)
    await store.blacklist(family.id, "one", until=NOW + 900, now=NOW)
    assert (await store.read(family.id, "one", owner.id)).blacklisted
    assert not (await store.read(family.id, "two", owner.id)).blacklisted


async def test_an_older_version_of_a_user_never_replaces_a_newer_one(store):
    """security 12: a login that read the user before a lock must not undo it"""
    owner, _ = await _opened(store)
    from dataclasses import replace

    locked = replace(owner, locked=True, epoch=2, version=2)
    await store.put_user(locked)
    await store.put_user(owner)
    assert await store.find_user(owner.id) == locked


async def test_an_epoch_is_adopted_by_a_living_session_only(store):
    owner, family = await _opened(store)
    await store.adopt_epoch(family.id, 2)
    assert (await store.find(family.id)).epoch == 2
    await store.end([family.id])
    await store.adopt_epoch(family.id, 3)
    assert (await store.read(family.id, "j", owner.id)).session is None


def _use(amount=3, who="192.0.2.1", name="default", window=60):
    return Counted(Limit(name, amount, window), who)


async def _take(store, use, now=NOW):
    return (await store.ask(Question(now, address_limit=use))).address


async def test_a_limit_admits_its_amount_and_no_more(store):
    taken = [await _take(store, _use(who="a")) for _ in range(5)]
    assert [one.allowed for one in taken] == [True, True, True, False, False]
    assert [one.remaining for one in taken] == [2, 1, 0, 0, 0]
    assert taken[0].reset == 60 - NOW % 60


async def test_a_burst_in_one_tick_is_counted_exactly(store):
    facts = await asyncio.gather(*(_take(store, _use(100, who="burst")) for _ in range(500)))
    assert sum(one.allowed for one in facts) == 100


async def test_the_window_before_counts_by_what_still_covers(store):
    start = NOW - NOW % 60
    for _ in range(4):
        await _take(store, _use(4, who="slide"), start)
    at = start + 60
    allowed = [(await _take(store, _use(4, who="slide"), at + second)).allowed for second in (0, 14, 15, 15, 30)]
    assert allowed == [False, False, True, False, True]
    assert (await _take(store, _use(4, who="slide"), start + 240)).remaining == 3


async def test_a_limit_of_several_windows_counts_in_all_of_them_or_in_none(store):
    start = NOW - NOW % 86400
    use = Counted(Limit("both", 3, 60, more=((5, 3600), (7, 86400))), "several")

    async def admitted(at: float, tries: int) -> tuple[int, Standing]:
        taken = [await _take(store, use, start + at) for _ in range(tries)]
        return sum(one.allowed for one in taken), taken[-1]

    assert (await admitted(0, 5))[0] == 3
    count, last = await admitted(120, 5)
    assert (count, last.remaining, last.further) == (2, 1, [(0, 3480), (2, 86280)])
    assert last.wait == 3480
    # What the full hour refused has not been counted in the minute, nor in the day.
    assert (await admitted(7200, 5))[0] == 2
    assert (await admitted(14400, 5))[0] == 0
    assert (await admitted(2 * 86400, 5))[0] == 3


async def test_limits_of_one_and_of_several_windows_in_one_tick_get_their_own_answers(store):
    several = Counted(Limit("tick", 2, 60, more=((3, 3600),)), "tick")
    single = _use(2, who="tick")
    questions = [
        Question(NOW, address_limit=single, rule_limit=several),
        Question(NOW, address_limit=several, rule_limit=single),
        Question(NOW, rule_limit=several),
    ]
    answers = await asyncio.gather(*(store.ask(question) for question in questions))
    assert [(facts.address is not None, facts.rule is not None) for facts in answers] == [(True, True)] * 2 + [
        (False, True)
    ]
    assert [facts.rule.allowed for facts in answers] == [True, True, False]
    assert [len(one.further) for one in (answers[0].rule, answers[1].address, answers[1].rule)] == [1, 1, 0]


async def test_each_address_has_its_own_count(store):
    for who in ("one", "two"):
        assert [(await _take(store, _use(1, who=who))).allowed for _ in range(2)] == [True, False]


async def test_a_rule_s_limit_is_not_used_up_by_dead_sessions_or_refused_addresses(store):
    owner, family = await _opened(store)
    rule = _use(2, who=owner.id, name="rule")
    dead = Question(NOW, "x" * 24, "j", owner.id, rule_limit=rule)
    flooding = Question(NOW, family.id, "j", owner.id, address_limit=_use(0, who="flood"), rule_limit=rule)
    for question in (dead, dead, dead, flooding, flooding, flooding):
        assert not (await store.ask(question)).rule.allowed
    good = Question(NOW, family.id, "j", owner.id, address_limit=_use(9, who="calm"), rule_limit=rule)
    taken = [await store.ask(good) for _ in range(3)]
    assert [facts.rule.allowed for facts in taken] == [True, True, False]
    assert all(facts.live.session == family for facts in taken)


async def test_questions_of_all_kinds_in_one_tick_get_their_own_answers(store):
    owner, family = await _opened(store)
    limit = _use(1000, who="mixed")
    questions = [
        Question(NOW, family.id, "j", owner.id, address_limit=limit),
        Question(NOW, address_limit=limit),
        Question(NOW, family.id, "j", owner.id),
        Question(NOW, rule_limit=limit),
        Question(NOW),
    ]
    answers = await asyncio.gather(*(store.ask(question) for question in questions * 50))
    for question, facts in zip(questions * 50, answers, strict=True):
        assert (facts.live is not None) == bool(question.session)
        assert (facts.address is not None, facts.rule is not None) == (
            question.address_limit is not None,
            question.rule_limit is not None,
        )
        if facts.live:
            assert facts.live.session == family


async def test_a_step_up_renews_the_login_and_loses_nothing_that_was_proved(store):
    _, family = await _opened(store)
    first = await store.step_up(family, amr=("pwd",), two_factors=False, now=NOW + 5)
    assert (first.auth_time, first.acr, first.amr, first.mfa_time) == (NOW + 5, "1fa", ("pwd",), 0.0)
    second = await store.step_up(family, amr=("otp", "mfa"), two_factors=True, now=NOW + 6)
    assert (second.auth_time, second.acr, second.amr) == (NOW + 6, "2fa", ("pwd", "otp", "mfa"))
    third = await store.step_up(family, amr=("pwd",), two_factors=False, now=NOW + 7)
    assert (third.auth_time, third.acr, third.amr, third.mfa_time) == (NOW + 7, "2fa", ("pwd", "otp", "mfa"), NOW + 6)
    assert await store.find(family.id) == third


async def test_a_step_up_binds_anew_where_it_says_so(store):
    _, family = await _opened(store, bound="a 192.0.2.0/24 DE")
    kept = await store.step_up(family, amr=("pwd",), two_factors=False, now=NOW + 5)
    moved = await store.step_up(family, amr=("pwd",), two_factors=False, now=NOW + 6, bound="b 192.0.2.0/24 DE")
    assert (kept.bound, moved.bound) == ("a 192.0.2.0/24 DE", "b 192.0.2.0/24 DE")
    assert await store.find(family.id) == moved


async def test_a_step_up_that_comes_late_does_not_set_the_clock_back(store):
    _, family = await _opened(store)
    await store.step_up(family, amr=("otp",), two_factors=True, now=NOW + 9)
    late = await store.step_up(family, amr=("otp",), two_factors=True, now=NOW + 3)
    assert (late.auth_time, late.mfa_time) == (NOW + 9, NOW + 9)


async def test_only_two_factors_lift_the_duty_to_add_one(store):
    _, family = await _opened(store, must_enrol=True)
    assert (await store.step_up(family, amr=("pwd",), two_factors=False, now=NOW + 1)).must_enrol
    lifted = await store.step_up(family, amr=("otp",), two_factors=True, now=NOW + 2)
    assert (lifted.must_enrol, lifted.mfa_time) == (False, NOW + 2)
    assert (await store.find(family.id)).must_enrol is False


async def test_an_ended_session_is_not_brought_back_by_a_step_up(store):
    """security 12"""
    _, family = await _opened(store)
    await store.end([family.id])
    assert await store.step_up(family, amr=("otp",), two_factors=True, now=NOW + 1) is None
    assert await store.find(family.id) is None


async def test_a_key_reads_back_with_its_owner_and_the_rules_limit_counts(store):
    owner = user()
    _, record = api_key(owner, "GET /a/**", "/b", "name", networks=(ip_network("192.0.2.0/24"),), expires_at=NOW + 1.5)
    await store.put_user(owner)
    await store.put_key(record)
    assert await store.read_key(record.digest) == record
    use = Counted(Limit("r", 5, 60), "x")
    facts = await store.ask(Question(NOW, key=record.digest, user=owner.id, address_limit=use, rule_limit=use))
    assert (facts.key.record, facts.key.user, facts.live) == (record, owner, None)
    assert (facts.address.current, facts.rule.current) == (1, 2)


@pytest.mark.parametrize("missing", ["key", "owner"])
async def test_without_the_key_or_its_owner_the_rules_limit_counts_nothing(store, missing):
    owner = user()
    _, record = api_key(owner, "/a")
    await (store.put_user(owner) if missing == "key" else store.put_key(record))
    use = Counted(Limit("r", 5, 60), "x")
    facts = await store.ask(Question(NOW, key=record.digest, user=owner.id, rule_limit=use))
    assert (facts.key.whole, facts.rule.allowed, facts.rule.current) == (False, False, 0)


async def test_an_older_copy_of_a_key_never_replaces_a_newer_one(store):
    _, record = api_key(user(), "/a")
    gone = replace(record, revoked=True, version=2)
    await store.put_key(gone)
    await store.put_key(record)
    assert await store.read_key(record.digest) == gone
