"""Lists of bans: what is written is read again, lists of other makers are understood, what is neither is refused."""

import pytest
from factories import NOW

from gatekeeper.bans.lists import MOST_BYTES, MOST_LINES, BadList, Line, heading, read, write
from policies.bans import Ban, Source, of_user, parse_subject

USER = "0f0e0d0c-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("192.0.2.1", Line(1, "192.0.2.1")),
        ("  192.0.2.0/24\r", Line(1, "192.0.2.0/24")),
        ("192.0.2.0/24 ; SBL256894", Line(1, "192.0.2.0/24", reason="SBL256894")),
        ("192.0.2.0/24;SBL256894", Line(1, "192.0.2.0/24", reason="SBL256894")),
        ("192.0.2.1\t; a tab of another maker", Line(1, "192.0.2.1", reason="a tab of another maker")),
        ("2001:db8::/32#why", Line(1, "2001:db8::/32", reason="why")),
        ("NL until=2027-01-15T08:00:00Z", Line(1, "NL", NOW)),
        ("NL until=2027-01-15T09:00+01:00 # a while", Line(1, "NL", NOW, "a while")),
        ("agent:Mozilla/5.0 (compatible; Evil)", Line(1, "agent:Mozilla/5.0 (compatible; Evil)")),
        ("agent:bad bot # a pest", Line(1, "agent:bad bot", reason="a pest")),
        ("\ufeff192.0.2.1", Line(1, "192.0.2.1")),
        ("192.0.2.1 # \x1b[31m" + 600 * "x", Line(1, "192.0.2.1", reason="[31m" + 496 * "x")),
    ],
)
def test_a_line_of_any_maker_is_read(line, found):
    assert read(line.encode()) == [found]


def test_lines_of_nothing_but_a_comment_are_none_and_lines_keep_their_numbers():
    assert read(b"# a list\n\n; of mine\n192.0.2.1\n") == [Line(4, "192.0.2.1")]
    assert read(b"") == []


@pytest.mark.parametrize(
    ("subject", "terms"),
    [
        ("192.0.2.1", {}),
        ("2001:db8::/32", {"until": NOW + 0.25, "reason": "kept # on ; asking"}),
        ("agent:a # b; c", {}),
        ("agent:a # b; c", {"until": NOW}),
        ("agent:until=x y", {"reason": "odd"}),
        ("NL", {"reason": "until=never"}),
    ],
)
def test_what_is_written_is_read_again(subject, terms):
    ban = Ban(parse_subject(subject), Source.MANUAL, NOW, **terms)
    text = "\n".join([*heading(NOW), write(ban)])
    (line,) = read(text.encode())
    assert parse_subject(line.subject) == ban.subject
    assert (line.until, line.reason or "") == (ban.until, ban.reason)


def test_a_user_is_written_by_e_mail_or_by_id():
    assert write(Ban(of_user(USER), Source.MANUAL, NOW, label="ada@example.com")) == "ada@example.com"
    assert write(Ban(of_user(USER), Source.MANUAL, NOW)) == f"user:{USER}"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"192.0.2.1 and more", "line 1: is not SUBJECT [until=TIME] [# reason]"),
        (b"\n192.0.2.1 until=soon", "line 2: until=soon is no time such as"),
        (b"\xff\xfe1", "is no text in UTF-8"),
        (b"#" * (MOST_BYTES + 1), "is larger than 10 MiB; split it"),
        (b"::1\n" * (MOST_LINES + 1), "holds more than 100000 bans; split it"),
        (b"a b\n" * 21, "and 1 more mistakes"),
    ],
)
def test_what_is_no_list_is_refused_with_its_lines(content, says):
    with pytest.raises(BadList) as refused:
        read(content)
    assert says in str(refused.value)
    assert len(refused.value.faults) <= 21
