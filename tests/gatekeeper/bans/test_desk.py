"""What people do with bans, and what the audit log says of it."""

import pytest
from ban_fakes import MemoryBans
from factories import NOW

from gatekeeper.bans.desk import Actor, BadBan, BanDesk
from gatekeeper.bans.lists import BadList, read
from policies.bans import BanKind, Source, of_user, parse_subject

ADA = "0f0e0d0c-0000-4000-8000-000000000001"
BY = Actor("cli:root")


class Audit:
    """Keeps what it is told."""

    def __init__(self):
        self.changes = []

    async def record_change(self, change):
        self.changes.append(change)


class Users:
    """Knows Ada."""

    async def find_user(self, email):
        if email.count("@") != 1:
            raise ValueError("must contain exactly one @")
        return (ADA, "ada@example.com") if email.casefold() == "ada@example.com" else None


@pytest.fixture
def store():
    return MemoryBans()


@pytest.fixture
def audit():
    return Audit()


@pytest.fixture
def desk(store, audit):
    return BanDesk(store, audit, Users())


async def add(desk, text, length=None, reason="", now=NOW):
    return await desk.add(text, BY, now, length=length, reason=reason)


@pytest.mark.parametrize(
    ("typed", "kind", "text"),
    [
        ("192.0.2.1", BanKind.NETWORK, "192.0.2.1"),
        (" 2001:DB8::/32 ", BanKind.NETWORK, "2001:db8::/32"),
        ("nl", BanKind.COUNTRY, "NL"),
        ("agent:Evil@Bot", BanKind.AGENT, "evil@bot"),
        ("Ada@Example.com", BanKind.USER, ADA),
        (f"user:{ADA.upper()}", BanKind.USER, ADA),
    ],
)
async def test_whatever_names_somebody_can_be_banned(desk, store, typed, kind, text):
    ban, before = await add(desk, typed)
    assert (ban.subject.kind, ban.subject.text, before) == (kind, text, None)
    assert await store.find(ban.subject, NOW) == ban


@pytest.mark.parametrize(
    ("typed", "reason", "says"),
    [
        ("somebody", "", "'somebody' is no address, network in CIDR, two-letter country"),
        ("192.0.2.1/24", "", "192.0.2.0/24 is meant"),
        ("0.0.0.0/0", "", "holds everybody"),
        ("eve@example.com", "", "there is no user eve@example.com"),
        ("a@b@c", "", "must contain exactly one @"),
        ("user:1", "", "badly formed"),
        ("192.0.2.1", "two\nlines", "a reason is one printable line"),
        ("192.0.2.1", 501 * "x", "a reason is one printable line"),
    ],
)
async def test_what_cannot_be_banned_is_said_and_changes_nothing(desk, store, audit, typed, reason, says):
    with pytest.raises(BadBan, match=says):
        await add(desk, typed, reason=reason)
    assert (store.rows, audit.changes) == ([], [])


async def test_each_change_is_in_the_audit_log_with_before_and_after(desk, audit):
    await add(desk, "192.0.2.1", length=60, reason="a pest")
    _, before = await add(desk, "192.0.2.1", reason="still a pest")
    await desk.lift("192.0.2.1", Actor("an-admin", None, "r1"), NOW)
    assert before.reason == "a pest"
    made, again, lifted = audit.changes
    short = {"kind": "network", "source": "manual", "until": "2027-01-15T08:01:00+00:00", "reason": "a pest"}
    good = {**short, "until": None, "reason": "still a pest"}
    assert (made.action, made.actor, made.subject) == ("ban.add", "cli:root", "192.0.2.1")
    assert [(one.before, one.after) for one in audit.changes] == [(None, short), (short, good), (good, None)]
    assert (again.action, lifted.action, lifted.actor, lifted.request_id) == ("ban.add", "ban.lift", "an-admin", "r1")


async def test_lifting_what_is_not_banned_says_what_reaches_it(desk, audit):
    await add(desk, "192.0.2.0/24")
    with pytest.raises(BadBan, match=r"no ban is in force on 192\.0\.2\.1; it is banned by 192\.0\.2\.0/24"):
        await desk.lift("192.0.2.1", BY, NOW)
    with pytest.raises(BadBan, match=r"no ban is in force on NL$"):
        await desk.lift("NL", BY, NOW)
    assert len(audit.changes) == 1


async def test_a_list_is_taken_over_whole_with_one_entry_in_the_audit_log(desk, store, audit):
    lines = read(
        b"192.0.2.1 # one\n192.0.2.2 until=2027-01-15T09:00:00Z\n192.0.2.3 until=2020-01-01\nada@example.com\n192.0.2.1"
    )
    assert await desk.take_over(lines, BY, NOW, length=60, reason="listed") == 3
    first = await store.find(parse_subject("192.0.2.1"), NOW)
    assert (first.source, first.reason, first.until) == (Source.IMPORT, "listed", NOW + 60)
    assert (await store.find(parse_subject("192.0.2.2"), NOW)).until == NOW + 3600
    assert await store.find(parse_subject("192.0.2.3"), NOW) is None
    assert (await store.find(of_user(ADA), NOW)).label == "ada@example.com"
    (change,) = audit.changes
    assert (change.action, change.subject) == ("ban.import", "3 bans")
    assert change.after == {"bans": 3, "until": "2027-01-15T08:01:00+00:00", "reason": "listed"}


async def test_a_list_with_a_mistake_changes_nothing(desk, store, audit):
    with pytest.raises(BadList) as refused:
        await desk.take_over(read(b"192.0.2.1\nnonsense\n10.0.0.1/8\n"), BY, NOW, length=None, reason="")
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["line 2", "line 3"]
    assert (store.rows, audit.changes) == ([], [])
