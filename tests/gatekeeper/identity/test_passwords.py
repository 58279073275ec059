"""Passwords: the rules, the pool, and the work done for nobody (security 15, 16, 17)."""

import asyncio
import threading

import pytest

from gatekeeper.errors import Problem
from gatekeeper.identity.passwords import LONGEST, OWASP, Argon2Cost, PasswordRules, Passwords, _common

CHEAP = Argon2Cost(time=1, memory=8, lanes=1)
RULES = PasswordRules(min_length=12, block_common=True)


@pytest.fixture
def passwords():
    pool = Passwords(RULES, cost=CHEAP, threads=1, queue=4)
    yield pool
    pool.close()


def test_the_default_cost_is_owasp_s():
    """security 16"""
    assert (OWASP.time, OWASP.memory, OWASP.lanes) == (2, 19456, 1)


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("elevenchars", "must have at least 12 characters"),
        ("twelve chars", None),
        ("x" * LONGEST, None),
        ("x" * (LONGEST + 1), f"must have at most {LONGEST} characters"),
        ("qwertyqwerty", "is one of the most common passwords"),
        ("QWERTYqwerty", "is one of the most common passwords"),
        ("            ", None),
        ("é" * 12, None),
        ("e\u0301" * 11, "must have at least 12 characters"),
    ],
)
def test_length_and_blocklist_are_the_only_rules(password, fault):
    """security 17"""
    assert RULES.fault(password) == fault


def test_the_blocklist_has_ten_thousand_of_the_allowed_length():
    """security 17"""
    assert sum(len(password) >= 12 for password in _common()) >= 10_000


async def test_a_hash_verifies_its_password_only(passwords):
    hashed = await passwords.hash("correct horse battery 9")
    assert await passwords.verify(hashed, "correct horse battery 9")
    assert not await passwords.verify(hashed, "correct horse battery 8")


async def test_nobody_s_password_is_never_right_and_is_hashed_all_the_same(passwords, monkeypatch):
    """security 15"""
    seen = []
    verify = passwords._hasher.verify
    monkeypatch.setattr(passwords, "_matches", lambda hashed, password: seen.append(hashed) or verify(hashed, password))
    assert not await passwords.verify(None, "the account that nobody has")
    assert len(seen) == 1


async def test_a_password_over_the_cap_is_hashed_cut_and_never_right(passwords):
    """security 16"""
    hashed = await passwords.hash("x" * LONGEST)
    assert not await passwords.verify(hashed, "x" * 10_000_000)


async def test_a_hash_of_weaker_parameters_is_outdated(passwords):
    weaker = Passwords(RULES, cost=Argon2Cost(time=1, memory=8, lanes=1), threads=1)
    stronger = Passwords(RULES, cost=Argon2Cost(time=2, memory=16, lanes=1), threads=1)
    hashed = await weaker.hash("correct horse battery 9")
    assert stronger.outdated(hashed)
    assert not weaker.outdated(hashed)
    weaker.close()
    stronger.close()


async def test_what_would_wait_too_long_is_refused_with_503(passwords, monkeypatch):
    """security 16"""
    gate = threading.Event()
    monkeypatch.setattr(passwords, "_matches", lambda *_: gate.wait(60))
    waiting = [asyncio.ensure_future(passwords.verify(None, "x")) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as refused:
        await passwords.verify(None, "x")
    assert (refused.value.status, refused.value.reason, refused.value.extra) == (503, "busy", {"retry_after": 1})
    gate.set()
    await asyncio.gather(*waiting)
    assert passwords.queued == 0


async def test_the_loop_turns_while_passwords_are_hashed():
    """security 16: the hashing is not on the loop"""
    pool = Passwords(RULES, threads=1, queue=50)
    loop_thread = threading.get_ident()
    threads = set()
    original = pool._matches
    pool._matches = lambda *arguments: threads.add(threading.get_ident()) or original(*arguments)
    turns = 0
    checks = asyncio.gather(*(pool.verify(None, "x") for _ in range(20)))
    while not checks.done():
        await asyncio.sleep(0)
        turns += 1
    pool.close()
    assert loop_thread not in threads
    assert turns > 20
