"""admin/consumers.py: who uses up a limit, and what a ban would be on."""

import pytest

from admin.consumers import Piece, hashes, named
from admin.limit_use import Meter, Use
from gatekeeper.identity.tallies import Part

ADA, HASH = "0f0e0d0c-0000-4000-8000-000000000001", "0a" * 16
NAMES = {ADA: "ada@example.com"}


def _named(of, *who, names=NAMES, mine=frozenset()):
    return named(Meter("x", "limits.x", "x", of, ((1, 60),)), Use(who, (1,)), names, mine)


@pytest.mark.parametrize(
    ("part", "who", "text", "page", "ban"),
    [
        (Part.ADDRESS, "192.0.2.1", "192.0.2.1", "logins?address=192.0.2.1", "192.0.2.1"),
        (Part.ADDRESS, "2001:db8::/64", "2001:db8::/64", "logins?address=2001%3Adb8%3A%3A%2F64", "2001:db8::/64"),
        (Part.ACCOUNT, ADA, "ada@example.com", f"users/{ADA}", f"user:{ADA}"),
        (Part.ACCOUNT, ADA[:-1] + "2", f"an account that is gone ({ADA[:-1]}2)", None, None),
        (Part.ACCOUNT, HASH, "an e-mail known by its hash (0a0a0a0a…)", None, None),
        (Part.ACCOUNT, "192.0.2.1", "192.0.2.1", "logins?address=192.0.2.1", "192.0.2.1"),
        (Part.KEY, "key:k1", "API key k1", None, None),
        (Part.KEY, ADA, "ada@example.com", f"users/{ADA}", f"user:{ADA}"),
        (Part.SESSION, "a" * 22, "session aaaaaaaa…", "sessions/" + "a" * 22, None),
        (Part.SESSION, HASH, "session 0a0a0a0a…", f"sessions/{HASH}", None),
        (Part.EVERYBODY, "*", "everybody", "logins", None),
        (Part.HEADER, f"h:{HASH}", "a value known by its hash (0a0a0a0a…)", None, None),
        (Part.DEVICE, "secret-of-a-browser", "a browser of its own", None, None),
        (Part.PURPOSE, "login", "login", None, None),
    ],
)
def test_each_part_is_said_with_the_list_behind_it(part, who, text, page, ban):
    whom = _named((part,), who)
    assert (whom.pieces, whom.ban, whom.own) == ((Piece(text, page),), ban, False)


def test_of_an_account_and_an_address_the_address_is_banned_and_either_may_be_one_s_own():
    pair = (Part.ACCOUNT, Part.ADDRESS)
    assert _named(pair, ADA, "192.0.2.1").ban == "192.0.2.1"
    assert _named(pair, ADA, "192.0.2.1", mine=frozenset({"192.0.2.1"})).own
    assert _named((Part.ACCOUNT,), ADA, mine=frozenset({ADA})).own
    assert not _named(pair, ADA, "192.0.2.1", mine=frozenset({ADA})).own  # the ban would be on another's address


def test_hashes_are_named_by_the_e_mails_that_were_typed():
    meter, use = Meter("x", "x", "x", (Part.PURPOSE, Part.MAILBOX), ((1, 60),)), Use(("login", HASH), (1,))
    assert hashes(meter, use) == {HASH}
    whom = named(meter, use, {HASH: "eve@example.com"}, frozenset())
    assert whom.pieces[1] == Piece("eve@example.com", "logins?user=eve%40example.com")
    assert hashes(Meter("x", "x", "x", (Part.SESSION,), ((1, 60),)), Use((HASH,), (1,))) == frozenset()
