"""The check of leaked passwords against a real server: k-anonymity, padding, and what an outage means (security 30)."""

from hashlib import sha1
from ipaddress import ip_network

import pytest
from aiohttp import web
from mail_server import silent_server

from gatekeeper.errors import StartupError
from gatekeeper.identity.leaks import PwnedRanges
from gatekeeper.identity.passwords import Argon2Cost, PasswordRules, Passwords
from gatekeeper.notify.outbound import Outbound

LEAKED = "correct horse battery staple"
DIGEST = sha1(LEAKED.encode(), usedforsecurity=False).hexdigest().upper()
LOOPBACK = (ip_network("127.0.0.0/8"),)


class Ranges:
    def __init__(self):
        self.asked = []
        self.body = f"{DIGEST[5:]}:42\r\n{'0' * 35}:0\r\n"
        self.status = 200

    async def handle(self, request):
        self.asked.append((request.path, request.headers.get("Add-Padding")))
        return web.Response(text=self.body, status=self.status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def ranges():
    one = Ranges()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", one.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/range/"
    yield one
    await runner.cleanup()


def _check(url, *, required=False, allowed=LOOPBACK, timeout=10.0):
    return PwnedRanges(url, Outbound(allowed), timeout=timeout, required=required)


async def test_a_leaked_password_is_found_and_only_five_digits_leave(ranges):
    assert "leaked" in await _check(ranges.url).fault(LEAKED)
    assert ranges.asked == [(f"/range/{DIGEST[:5]}", "true")]


async def test_an_unknown_password_passes(ranges):
    assert await _check(ranges.url).fault("a password that nobody has leaked") is None


async def test_padding_is_no_leak(ranges):
    ranges.body = f"{DIGEST[5:]}:0\r\n"
    assert await _check(ranges.url).fault(LEAKED) is None


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("status", [500, 302])
async def test_an_outage_passes_or_refuses_as_configured(ranges, status, required):
    ranges.status = status
    fault = await _check(ranges.url, required=required).fault(LEAKED)
    assert (fault is not None) is required
    assert len(ranges.asked) == 1


async def test_an_endless_answer_is_an_outage(ranges):
    ranges.body = "x" * (2 << 20)
    assert "cannot be checked" in await _check(ranges.url, required=True).fault(LEAKED)


async def test_a_server_that_does_not_answer_is_an_outage():
    async with silent_server() as port:
        check = _check(f"http://127.0.0.1:{port}/", required=True, timeout=0.2)
        assert "cannot be checked" in await check.fault(LEAKED)


async def test_a_private_address_is_not_asked(ranges):
    assert "cannot be checked" in await _check(ranges.url, required=True, allowed=()).fault(LEAKED)
    assert ranges.asked == []


async def test_a_new_password_meets_the_check_last(ranges):
    rules = PasswordRules(min_length=12, block_common=True)
    passwords = Passwords(rules, cost=Argon2Cost(1, 8, 1), leaked=_check(ranges.url))
    assert "at least 12" in await passwords.fault("short")
    assert ranges.asked == []
    assert "leaked" in await passwords.fault(LEAKED)
    passwords.close()


def test_a_score_refuses_what_is_soon_guessed():
    rules = PasswordRules(min_length=8, block_common=False, min_score=3)
    assert "too easy" in rules.fault("aaaaaaaaaaaa")
    assert rules.fault("plum violin tarmac octave") is None
    assert rules.fault("aaaaaaaaaaaa" * 80) is not None
    assert PasswordRules(min_length=8, block_common=False).fault("aaaaaaaaaaaa") is None


def test_a_score_without_its_extra_keeps_the_gate_from_starting(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zxcvbn_rs_py", None)
    with pytest.raises(StartupError, match=r"gatekeeper\[passwords\]"):
        PasswordRules(min_length=8, block_common=True, min_score=3)
