"""TOTP: RFC 6238's vectors, drift, and no step twice (security 19)."""

import asyncio
import base64
import xml.etree.ElementTree as ET
from hashlib import sha1, sha256, sha512

import pyotp
import pytest
import pytest_asyncio
from factories import NOW, user

from gatekeeper.identity.factors.totp import PENDING, STEP, Totp, matching_step, qr_svg
from gatekeeper.store.accounts import PostgresAccounts
from gatekeeper.store.factors import PostgresFactors
from gatekeeper.store.postgres import Postgres
from gatekeeper.tokens.sealing import Sealer

VECTORS = [  # RFC 6238, appendix B
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]
SEEDS = {
    sha1: b"12345678901234567890",
    sha256: b"12345678901234567890123456789012",
    sha512: b"1234567890" * 6 + b"1234",
}


@pytest.mark.parametrize(("time", *(f"by_{digest.__name__[8:]}" for digest in SEEDS)), VECTORS)
def test_the_vectors_of_rfc_6238_hold(time, by_sha1, by_sha256, by_sha512):
    for (digest, seed), code in zip(SEEDS.items(), (by_sha1, by_sha256, by_sha512), strict=True):
        generator = pyotp.TOTP(base64.b32encode(seed).decode(), digits=8, digest=digest)
        assert matching_step(generator, code, time) == time // 30
        assert matching_step(generator, code, time + 90) is None


@pytest.mark.parametrize(("off", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(off, taken):
    generator = pyotp.TOTP(pyotp.random_base32())
    step = int(NOW) // STEP + off
    assert matching_step(generator, generator.generate_otp(step), NOW) == (step if taken else None)


@pytest_asyncio.fixture
async def store(postgres_dsn):
    postgres = Postgres(postgres_dsn, timeout=30.0)
    yield PostgresFactors(postgres)
    await postgres.close()


@pytest_asyncio.fixture
async def owner(store):
    made = user()
    await PostgresAccounts(store._postgres).create(made, None, NOW)
    return made.id


@pytest.fixture
def totp(store):
    return Totp(store, Sealer(b"k" * 32), issuer="app.example.org")


async def _enrolled(totp, owner, now=NOW):
    new = await totp.begin(owner, "ada@example.com", now)
    assert await totp.confirm(owner, pyotp.TOTP(new.secret).at(int(now)), now)
    return pyotp.TOTP(new.secret)


async def test_a_secret_is_in_force_once_a_code_of_it_was_seen(totp, owner):
    new = await totp.begin(owner, "ada@example.com", NOW)
    app = pyotp.TOTP(new.secret)
    assert not await totp.verify(owner, app.at(int(NOW)), NOW)
    assert not await totp.confirm(owner, "000000" if app.at(int(NOW)) != "000000" else "000001", NOW)
    assert await totp.confirm(owner, app.at(int(NOW)), NOW)
    assert await totp.verify(owner, app.at(int(NOW + STEP)), NOW + STEP)


async def test_the_code_that_confirmed_is_not_taken_again(totp, owner):
    app = await _enrolled(totp, owner)
    assert not await totp.verify(owner, app.at(int(NOW)), NOW)


async def test_an_older_step_is_not_taken_after_a_newer_one(totp, owner):
    app = await _enrolled(totp, owner)
    later = NOW + 10 * STEP
    assert await totp.verify(owner, app.at(int(later) + STEP), later)
    assert not await totp.verify(owner, app.at(int(later)), later)
    assert not await totp.verify(owner, app.at(int(later) + STEP), later)


async def test_of_twenty_parallel_uses_of_a_step_one_counts(totp, owner):
    app = await _enrolled(totp, owner)
    later = NOW + STEP
    code = app.at(int(later))
    assert sorted(await asyncio.gather(*(totp.verify(owner, code, later) for _ in range(20)))) == [False] * 19 + [True]


async def test_a_new_secret_replaces_the_old_one_only_when_confirmed(totp, owner):
    old = await _enrolled(totp, owner)
    new = pyotp.TOTP((await totp.begin(owner, "ada@example.com", NOW)).secret)
    assert await totp.verify(owner, old.at(int(NOW + STEP)), NOW + STEP)
    later = NOW + 3 * STEP
    assert await totp.confirm(owner, new.at(int(later)), later)
    later += 3 * STEP
    assert not await totp.verify(owner, old.at(int(later)), later)
    assert await totp.verify(owner, new.at(int(later)), later)


async def test_a_secret_that_nobody_confirms_in_time_never_counts(totp, owner):
    new = await totp.begin(owner, "ada@example.com", NOW)
    late = NOW + PENDING + 1
    assert not await totp.confirm(owner, pyotp.TOTP(new.secret).at(int(late)), late)


async def test_secrets_rest_sealed_and_are_bound_to_their_owner(totp, owner, store):
    new = await totp.begin(owner, "ada@example.com", NOW)
    sealed = await store.pending_totp(owner, NOW - 1)
    assert new.secret.encode() not in sealed
    assert Sealer(b"k" * 32).open(sealed, owner) == new.secret.encode()
    assert Sealer(b"k" * 32).open(sealed, user().id) is None
    assert Sealer(b"x" * 32).open(sealed, owner) is None
    assert new.secret not in repr(new)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "\uff11\uff12\uff13\uff14\uff15\uff16", "-12345"])
async def test_what_is_no_code_is_refused(totp, owner, code):
    await _enrolled(totp, owner)
    assert not await totp.verify(owner, code, NOW + STEP)


def test_the_qr_code_is_svg_without_inline_style():
    root = ET.fromstring(qr_svg("otpauth://totp/app:ada?secret=ABC"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert all("style" not in element.attrib for element in root.iter())
