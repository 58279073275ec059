"""What every ChallengeStore must do, in memory and on a real server (security 19)."""

import asyncio

import pytest
from challenge_fakes import MemoryChallenges
from factories import NOW

from gatekeeper.identity.challenges import Challenge, Challenges, Purpose
from gatekeeper.store.challenges import RedisChallenges
from gatekeeper.store.redis import Redis
from policies.model import Reason

AGAIN = 30.0
LIFE = 300.0


@pytest.fixture(params=["memory", "redis"])
async def challenges(request):
    if request.param == "memory":
        yield Challenges(MemoryChallenges(), secret=b"s" * 32, attempts=5)
        return
    redis = Redis(request.getfixturevalue("redis_url"), timeout=5.0)
    await redis.open()
    yield Challenges(RedisChallenges(redis), secret=b"s" * 32, attempts=5)
    await redis.close()


async def _sent(challenges, code="123456", purpose=Purpose.LOGIN, whom="ada@example.com", now=NOW):
    return await challenges.open_with_code(
        purpose, code, whom=whom, user="u1", methods=("otp",), life=LIFE, again_after=AGAIN, now=now
    )


async def _answer(challenges, name, code, *purposes, now=NOW + 1):
    return await challenges.answer_code(name, code, *(purposes or (Purpose.LOGIN,)), now=now)


async def test_a_challenge_reads_back_as_it_was_opened(challenges):
    opened = await challenges.open(
        Purpose.MFA,
        user="u1",
        methods=("totp", "otp"),
        amr=("pwd",),
        facts={"email": "ada@example.com", "next": "/a b"},
        life=LIFE,
        now=NOW,
    )
    assert await challenges.find(opened.id) == opened
    assert (opened.user, opened.methods, opened.amr) == ("u1", ("totp", "otp"), ("pwd",))
    assert opened.facts == {"email": "ada@example.com", "next": "/a b"}
    assert opened.expires_at == NOW + LIFE


async def test_a_right_code_is_taken_once(challenges):
    name = (await _sent(challenges)).id
    answered = await _answer(challenges, name, "123456")
    assert isinstance(answered, Challenge)
    assert (answered.id, answered.user) == (name, "u1")
    assert await _answer(challenges, name, "123456") is Reason.OTP_INVALID


async def test_of_twenty_right_codes_at_once_one_is_taken(challenges):
    name = (await _sent(challenges)).id
    answers = await asyncio.gather(*(_answer(challenges, name, "123456") for _ in range(20)))
    assert sum(isinstance(answer, Challenge) for answer in answers) == 1


async def test_of_a_hundred_guesses_at_once_no_more_than_five_are_compared(challenges):
    """All but the last five are wrong: were more than five compared, one of the right ones would be taken."""
    name = (await _sent(challenges)).id
    guesses = ["000000"] * 95 + ["123456"] * 5
    answers = await asyncio.gather(*(_answer(challenges, name, guess) for guess in guesses))
    assert set(answers) == {Reason.OTP_INVALID}


async def test_the_fifth_try_counts_and_the_sixth_does_not(challenges):
    fifth, sixth = (await _sent(challenges)).id, (await _sent(challenges, whom="bob@example.com")).id
    for name, wrong in ((fifth, 4), (sixth, 5)):
        for _ in range(wrong):
            assert await _answer(challenges, name, "000000") is Reason.OTP_INVALID
    assert isinstance(await _answer(challenges, fifth, "123456"), Challenge)
    assert await _answer(challenges, sixth, "123456") is Reason.OTP_INVALID


async def test_a_further_code_replaces_the_last_and_gives_no_tries_back(challenges):
    name = (await _sent(challenges)).id
    for _ in range(4):
        await _answer(challenges, name, "000000")
    again = await challenges.put_code(await challenges.find(name), "654321", again_after=AGAIN, now=NOW + AGAIN)
    assert (again.id, again.fresh) == (name, True)
    assert await _answer(challenges, name, "123456", now=NOW + 31) is Reason.OTP_INVALID
    assert await _answer(challenges, name, "654321", now=NOW + 31) is Reason.OTP_INVALID


async def test_a_further_code_works_while_there_are_tries(challenges):
    name = (await _sent(challenges)).id
    await challenges.put_code(await challenges.find(name), "654321", again_after=AGAIN, now=NOW + AGAIN)
    assert isinstance(await _answer(challenges, name, "654321", now=NOW + 31), Challenge)


async def test_no_further_code_within_the_pause(challenges):
    name = (await _sent(challenges)).id
    again = await challenges.put_code(await challenges.find(name), "654321", again_after=AGAIN, now=NOW + 12)
    assert (again.id, again.fresh, again.wait) == (name, False, AGAIN - 12)
    assert isinstance(await _answer(challenges, name, "123456", now=NOW + 13), Challenge)


async def test_asked_again_within_the_pause_the_same_challenge_is_meant(challenges):
    first = await _sent(challenges)
    second = await _sent(challenges, code="654321", now=NOW + AGAIN - 1)
    assert (first.fresh, first.wait) == (True, AGAIN)
    assert (second.id, second.fresh, second.wait) == (first.id, False, 1.0)
    assert isinstance(await _answer(challenges, first.id, "123456"), Challenge)


async def test_asked_again_after_the_pause_another_is_opened(challenges):
    first, second = await _sent(challenges), await _sent(challenges, now=NOW + AGAIN)
    assert second.fresh
    assert second.id != first.id


async def test_the_pause_counts_from_the_last_code(challenges):
    first = await _sent(challenges)
    await challenges.put_code(await challenges.find(first.id), "654321", again_after=AGAIN, now=NOW + AGAIN)
    assert (await _sent(challenges, now=NOW + AGAIN + 29)).id == first.id


async def test_a_spent_challenge_is_not_meant_again(challenges):
    first = await _sent(challenges)
    await _answer(challenges, first.id, "123456")
    second = await _sent(challenges, now=NOW + 2)
    assert second.fresh
    assert second.id != first.id


async def test_of_many_requests_at_once_one_opens_a_challenge(challenges):
    opened = await asyncio.gather(*(_sent(challenges) for _ in range(20)))
    assert sum(one.fresh for one in opened) == 1
    assert len({one.id for one in opened}) == 1


async def test_purposes_and_people_do_not_share_a_challenge(challenges):
    login = await _sent(challenges)
    verify = await _sent(challenges, purpose=Purpose.VERIFY_EMAIL)
    other = await _sent(challenges, whom="bob@example.com")
    assert len({login.id, verify.id, other.id}) == 3
    assert all(one.fresh for one in (login, verify, other))


async def test_a_code_for_one_purpose_is_none_for_another(challenges):
    name = (await _sent(challenges)).id
    assert await _answer(challenges, name, "123456", Purpose.MFA, Purpose.STEP_UP) is Reason.OTP_INVALID
    assert isinstance(await _answer(challenges, name, "123456", Purpose.MFA, Purpose.LOGIN), Challenge)


async def test_the_code_of_one_challenge_is_none_for_another(challenges):
    first, second = (await _sent(challenges)).id, (await _sent(challenges, code="222222", whom="bob@example.com")).id
    assert await _answer(challenges, second, "123456") is Reason.OTP_INVALID
    assert isinstance(await _answer(challenges, first, "123456"), Challenge)


async def test_a_code_is_good_to_the_last_moment_and_no_longer(challenges):
    name = (await _sent(challenges)).id
    other = (await _sent(challenges, whom="bob@example.com")).id
    assert isinstance(await _answer(challenges, name, "123456", now=NOW + LIFE - 0.001), Challenge)
    assert await _answer(challenges, other, "123456", now=NOW + LIFE) is Reason.OTP_EXPIRED


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", Reason.OTP_INVALID),
        ("x", Reason.OTP_INVALID),
        (f"{'a' * 24}.{'b' * 24}\n", Reason.OTP_INVALID),
        (f"{'a' * 23}}}.{'b' * 24}", Reason.OTP_INVALID),
        (f"{'a' * 24}.{'b' * 24}", Reason.OTP_EXPIRED),
    ],
)
async def test_what_is_no_challenge_is_refused(challenges, name, reason):
    assert await _answer(challenges, name, "123456") is reason
    assert await challenges.take_try(name, Purpose.LOGIN, now=NOW) is reason
    assert await challenges.find(name) is None


async def test_a_challenge_without_a_code_fits_none(challenges):
    opened = await challenges.open(Purpose.MFA, user="u1", methods=("totp",), life=LIFE, now=NOW)
    for guess in ("", "123456"):
        assert await _answer(challenges, opened.id, guess, Purpose.MFA) is Reason.OTP_INVALID


async def test_a_challenge_of_another_factor_can_get_a_code_at_once(challenges):
    opened = await challenges.open(Purpose.MFA, user="u1", methods=("totp", "otp"), life=LIFE, now=NOW)
    sent = await challenges.put_code(opened, "123456", again_after=AGAIN, now=NOW)
    assert sent.fresh
    assert isinstance(await _answer(challenges, opened.id, "123456", Purpose.MFA), Challenge)


async def test_tries_of_other_factors_and_codes_count_together(challenges):
    opened = await challenges.open(Purpose.MFA, user="u1", methods=("totp", "otp"), life=LIFE, now=NOW)
    await challenges.put_code(opened, "123456", again_after=AGAIN, now=NOW)
    for _ in range(3):
        assert isinstance(await challenges.take_try(opened.id, Purpose.MFA, now=NOW), Challenge)
    for _ in range(2):
        assert await _answer(challenges, opened.id, "000000", Purpose.MFA) is Reason.OTP_INVALID
    assert await challenges.take_try(opened.id, Purpose.MFA, now=NOW) is Reason.OTP_INVALID
    assert await _answer(challenges, opened.id, "123456", Purpose.MFA) is Reason.OTP_INVALID


async def test_of_a_hundred_tries_taken_at_once_five_are_granted(challenges):
    opened = await challenges.open(Purpose.MFA, user="u1", methods=("totp",), life=LIFE, now=NOW)
    taken = await asyncio.gather(*(challenges.take_try(opened.id, Purpose.MFA, now=NOW) for _ in range(100)))
    assert sum(isinstance(one, Challenge) for one in taken) == 5


async def test_of_many_who_spend_a_challenge_one_does(challenges):
    opened = await challenges.open(Purpose.MFA, user="u1", methods=("totp",), life=LIFE, now=NOW)
    spent = await asyncio.gather(*(challenges.spend(opened) for _ in range(20)))
    assert sum(spent) == 1
    assert await challenges.take_try(opened.id, Purpose.MFA, now=NOW) is Reason.OTP_INVALID
    assert await challenges.put_code(opened, "123456", again_after=AGAIN, now=NOW) is None


async def test_a_late_challenge_gets_no_code(challenges):
    opened = await challenges.open(Purpose.MFA, user="u1", methods=("otp",), life=LIFE, now=NOW)
    assert await challenges.put_code(opened, "123456", again_after=AGAIN, now=NOW + LIFE) is None


async def test_facts_are_kept_with_their_challenge(challenges):
    opened = await challenges.open(Purpose.MFA, user=None, methods=("passkey",), life=LIFE, now=NOW)
    assert await challenges.remember(opened, "webauthn", "state ü") is True
    assert (await challenges.find(opened.id)).facts == {"webauthn": "state ü"}
    assert (await challenges.take_try(opened.id, Purpose.MFA, now=NOW)).facts == {"webauthn": "state ü"}


async def test_nothing_is_kept_for_a_challenge_that_is_not_there(challenges):
    opened = await challenges.open(Purpose.MFA, user=None, methods=("passkey",), life=LIFE, now=NOW)
    gone = Challenge(f"{'a' * 24}.{'b' * 24}", Purpose.MFA, None, (), (), NOW, 5)
    assert await challenges.remember(gone, "webauthn", "state") is False
    assert await challenges.spend(gone) is False
    assert await challenges.find(gone.id) is None
    assert await challenges.find(opened.id) == opened


async def test_no_code_lies_in_redis_in_clear(redis_url):
    """security 13, 19"""
    redis = Redis(redis_url, timeout=5.0)
    await redis.open()
    challenges = Challenges(RedisChallenges(redis), secret=b"s" * 32, attempts=5)
    await _sent(challenges, code="938271")
    try:
        for key in await redis.call("KEYS", "*"):
            fields = await redis.call("HGETALL", key)
            assert b"938271" not in b" ".join([key, *fields])
            assert b"ada@example.com" not in b" ".join([key, *fields])
    finally:
        await redis.close()
