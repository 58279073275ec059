"""First match decides, by an index that a plain loop over the rules agrees with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from policies.criteria import Answer, Countries, Criterion, Header, Networks, Query, Timing
from policies.globs import parse_glob
from policies.hosts import parse_host
from policies.model import Address, Principal, Reason, RequestTarget
from policies.patterns import parse_regex, parse_value
from policies.rules import Access, Outcome, Rule, RuleBook, admits, lacks
from policies.schedule import Schedule, parse_days, parse_hours, parse_zone


def target(path: str, host: str = "app.example.org") -> RequestTarget:
    return RequestTarget(scheme="https", host=host, port=None, path=path, query=None)


def rule(
    name: str,
    *paths: str,
    position: int = 0,
    hosts: tuple[str, ...] | None = None,
    methods: tuple[str, ...] | None = None,
    access: Access = Access.AUTHENTICATED,
    roles: tuple[str, ...] = (),
    criteria: tuple[Criterion, ...] = (),
) -> Rule:
    return Rule(
        name=name,
        position=position,
        paths=tuple(parse_regex(path) if path.startswith("regex:") else parse_glob(path) for path in paths),
        access=access,
        upstream="api",
        hosts=None if hosts is None else tuple(map(parse_host, hosts)),
        methods=None if methods is None else frozenset(methods),
        roles=frozenset(roles),
        criteria=criteria or None,
    )


def book(*rules: Rule) -> RuleBook:
    return RuleBook(rules)


def named(found: Rule | None) -> str | None:
    return None if found is None else found.name


def principal(*roles: str) -> Principal:
    return Principal("u1", "u@example.org", frozenset(roles), "s1", "j1")


def test_the_first_rule_that_matches_decides() -> None:
    rules = book(rule("narrow", "/a/**", position=0), rule("wide", "/**", position=1), rule("late", "/a/b", position=2))
    assert named(rules.find("GET", target("/a/b"))) == "narrow"
    assert named(rules.find("GET", target("/b"))) == "wide"


def test_a_wide_rule_before_a_narrow_one_wins() -> None:
    rules = book(rule("wide", "/**", position=0), rule("narrow", "/a", position=1))
    assert named(rules.find("GET", target("/a"))) == "wide"


def test_nothing_matches_where_no_rule_does() -> None:
    assert book(rule("a", "/a")).find("GET", target("/b")) is None
    assert book().find("GET", target("/")) is None


def test_methods_select_the_rule() -> None:
    rules = book(rule("read", "/a", methods=("GET", "HEAD")), rule("write", "/a", position=1, methods=("POST",)))
    assert [named(rules.find(method, target("/a"))) for method in ("GET", "HEAD", "POST", "PUT")] == [
        "read",
        "read",
        "write",
        None,
    ]


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("app.example.org", "app.example.org", True),
        ("app.example.org", "xapp.example.org", False),
        ("*.example.org", "app.example.org", True),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "evilexample.org", False),
        ("*.example.org", ".example.org", False),
        ("[::1]", "::1", True),
    ],
)
def test_hosts_select_the_rule(pattern: str, host: str, expected: bool) -> None:
    one = rule("a", "/**", hosts=(pattern,))
    assert one.matches("GET", target("/", host)) is expected
    assert (book(one).find("GET", target("/", host)) is one) is expected


def test_rules_of_several_hosts_keep_their_order() -> None:
    rules = book(
        rule("any", "/a", position=0),
        rule("below", "/**", position=1, hosts=("*.example.org",)),
        rule("exact", "/**", position=2, hosts=("app.example.org",)),
        rule("rest", "/**", position=3),
    )
    assert named(rules.find("GET", target("/a"))) == "any"
    assert named(rules.find("GET", target("/b"))) == "below"
    assert named(rules.find("GET", target("/b", "other.test"))) == "rest"


def test_a_public_rule_admits_everyone() -> None:
    public = rule("a", "/**", access=Access.ANYONE)
    assert public.public
    assert admits(public, None) is None
    assert admits(public, principal()) is None


def test_an_authenticated_rule_asks_the_anonymous_for_credentials() -> None:
    signed_in = rule("a", "/**")
    assert admits(signed_in, None) is Reason.CREDENTIALS_MISSING
    assert admits(signed_in, principal()) is None


def test_a_role_rule_asks_the_anonymous_and_denies_the_wrong_role() -> None:
    staff = rule("a", "/**", access=Access.ROLES, roles=("staff", "admin"))
    assert admits(staff, None) is Reason.CREDENTIALS_MISSING
    assert admits(staff, principal("user")) is Reason.RULE_DENIED
    assert admits(staff, principal("user", "admin")) is None


def test_a_role_rule_without_roles_admits_nobody() -> None:
    assert admits(rule("a", "/**", access=Access.ROLES), principal("admin")) is Reason.RULE_DENIED


def test_explain_says_of_each_rule_which_criterion_failed() -> None:
    rules = book(
        rule("host", "/**", position=0, hosts=("other.test",)),
        rule("path", "/b", position=1),
        rule("methods", "/a", position=2, methods=("POST",)),
        rule("hit", "/a", position=3),
        rule("late", "/**", position=4),
    )
    steps = rules.explain("GET", target("/a"))
    assert [(step.rule.name, step.outcome, step.criterion) for step in steps] == [
        ("host", Outcome.MISS, "host"),
        ("path", Outcome.MISS, "path"),
        ("methods", Outcome.MISS, "methods"),
        ("hit", Outcome.DECIDES, None),
        ("late", Outcome.TOO_LATE, "order"),
    ]
    assert "GET is not POST" in steps[2].detail
    assert "hit" in steps[4].detail


PATHS = st.lists(st.sampled_from(["a", "b", "c", "a*", "*", "**", "%C3%A4"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
HOSTS = st.sampled_from(["x.test", "y.x.test", "*.test", "*.x.test", "z.org"])
METHODS = st.sampled_from(["GET", "POST", "DELETE"])


PATTERNS = PATHS | st.sampled_from(["regex:/a/.*", "regex:/(a|b)", "regex:/a/[^/]+/c", "regex:(?i)/A", "regex:/a*/b?"])
CRITERIA = st.lists(
    st.builds(Query, st.sampled_from("pq"), st.sampled_from(["1", "1*", True, False]).map(parse_value))
    | st.builds(Header, st.sampled_from(["X-A", "X_B"]), st.sampled_from(["1", "*2", True, False]).map(parse_value))
    | st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "::/0"]).map(lambda net: Networks((ip_network(net),)))
    | st.sets(st.sampled_from(["CH", "DE", "unknown"]), min_size=1).map(lambda codes: Countries(frozenset(codes)))
    | st.sampled_from(["00:00-12:00", "22:00-06:00"]).map(
        lambda hours: Timing(Schedule(parse_days(["mon-fri"]), parse_hours([hours]), parse_zone("UTC")))
    ),
    max_size=3,
).map(tuple)


@st.composite
def books(draw: st.DrawFn) -> RuleBook:
    return book(
        *(
            rule(
                f"r{position}",
                *draw(st.lists(PATTERNS, min_size=1, max_size=3)),
                position=position,
                hosts=draw(st.none() | st.lists(HOSTS, min_size=1, max_size=2).map(tuple)),
                methods=draw(st.none() | st.lists(METHODS, min_size=1, max_size=2).map(tuple)),
                criteria=draw(st.just(()) | CRITERIA),
            )
            for position in range(draw(st.integers(0, 8)))
        )
    )


@dataclass(frozen=True)
class Asking:
    """A request as criteria see it."""

    target: RequestTarget
    client: Address
    headers: CIMultiDict[str]
    received: float


def country(address: Address) -> str | None:
    """10.1.0.0/16 lies in Switzerland, 10.2.0.0/16 in Germany, and nobody knows the rest."""
    return {1: "CH", 2: "DE"}.get(int(address) >> 16 & 0xFF)


ASKED = st.builds(
    lambda parts, host, query, client, lines, received: Asking(
        RequestTarget("https", host, None, "/" + "/".join(parts), query),
        ip_address(client),
        CIMultiDict(lines),
        received,
    ),
    st.lists(st.sampled_from(["", "a", "b", "c", "ab", "d", "%c3%a4"]), min_size=1, max_size=5),
    st.sampled_from(["x.test", "y.x.test", "w.y.x.test", "test", "z.org", "::1", "a.z.org"]),
    st.none() | st.lists(st.sampled_from(["p=1", "p=12", "p", "q=1", "q=2", "p=1;q=1"]), max_size=3).map("&".join),
    st.sampled_from(["10.1.0.1", "10.2.0.1", "10.3.0.1", "192.0.2.1", "2001:db8::1"]),
    st.lists(
        st.tuples(st.sampled_from(["x-a", "X_A", "X-B"]), st.sampled_from(["1", "2", "12"]))
        | st.just(("Connection", "x-a")),
        max_size=3,
    ),
    st.floats(0, 10**9),
)
PASSED = {Outcome.MISS, Outcome.TOO_LATE}


@given(books(), METHODS, ASKED)
def test_the_index_finds_what_a_plain_loop_finds(rules: RuleBook, method: str, asked: Asking) -> None:
    rules = RuleBook(rules.rules, country)
    taken = [(one, one.judge(asked, country)) for one in rules.rules if one.matches(method, asked.target)]
    plain, answer = next(((one, answer) for one, answer in taken if answer), (None, Answer.NO))
    assert rules.find(method, asked.target, asked) is (plain if answer is Answer.YES else None)
    deciding = [step for step in rules.explain(method, asked.target, asked) if step.outcome not in PASSED]
    wanted = {Answer.YES: [(plain, Outcome.DECIDES)], Answer.UNCLEAR: [(plain, Outcome.UNCLEAR)], Answer.NO: []}
    assert [(step.rule, step.outcome) for step in deciding] == wanted[answer]


@given(books(), METHODS, ASKED)
def test_a_covered_rule_never_matches_alone(rules: RuleBook, method: str, asked: Asking) -> None:
    for wide in rules.rules:
        for narrow in rules.rules:
            if wide.covers(narrow) and narrow.matches(method, asked.target) and narrow.judge(asked, country):
                assert wide.matches(method, asked.target)
                assert wide.judge(asked, country)


def test_where_nobody_can_tell_whether_a_rule_matches_the_request_is_refused() -> None:
    private = rule(
        "private", "/**", criteria=(Query("debug", parse_value("1")),), roles=("staff",), access=Access.ROLES
    )
    rules = book(private, rule("public", "/**", position=1, access=Access.ANYONE))

    def found(query: str) -> str | None:
        asked = Asking(RequestTarget("https", "x.test", None, "/", query), ip_address("192.0.2.1"), CIMultiDict(), 0.0)
        return named(rules.find("GET", asked.target, asked))

    assert [found("debug=1"), found("debug=0"), found("debug=1&debug=0")] == ["private", "public", None]
    assert rules.find("GET", target("/")) is None  # not given, what the rule asks about


def test_an_unclear_rule_refuses_only_what_no_earlier_rule_decides() -> None:
    first = rule("first", "/a", access=Access.ANYONE)
    rules = book(first, rule("swiss", "/**", position=1, criteria=(Countries(frozenset({"CH"})),)))
    asked = Asking(target("/a"), ip_address("192.0.2.1"), CIMultiDict(), 0.0)
    assert rules.find("GET", asked.target, asked) is first


@dataclass
class Counting:
    """Counts how often a glob of the book is compared."""

    calls: int = 0


def test_a_thousand_rules_compare_as_few_globs_as_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    from policies import globs

    counting = Counting()
    real = globs.segment_matches

    def counted(pattern: str, segment: str) -> bool:
        counting.calls += 1
        return real(pattern, segment)

    monkeypatch.setattr(globs, "segment_matches", counted)

    def comparisons(size: int) -> int:
        rules = book(*(rule(f"r{at}", f"/service{at}/*/edit", position=at) for at in range(size)))
        counting.calls = 0
        assert named(rules.find("GET", target(f"/service{size - 1}/x/edit"))) == f"r{size - 1}"
        return counting.calls

    assert comparisons(1000) == comparisons(10)


def fresh(*roles: str, age: float = 0.0, mfa_age: float | None = None) -> Principal:
    """Logged in ``age`` seconds before 1000, with two factors ``mfa_age`` before."""
    mfa = {} if mfa_age is None else {"acr": "2fa", "mfa_time": 1000.0 - mfa_age}
    return replace(principal(*roles), auth_time=1000.0 - age, **mfa)


@pytest.mark.parametrize(
    ("wants", "who", "reason", "values"),
    [
        ({}, fresh(age=900), None, ""),
        ({"step_up": 600.0}, fresh(age=600), None, ""),
        ({"step_up": 600.0}, fresh(age=601), Reason.STEP_UP_REQUIRED, "1fa 2fa"),
        ({"step_up": 600.0}, fresh(age=10, mfa_age=900), None, ""),
        ({"step_up": 600.0}, fresh("admin", age=10), Reason.MFA_REQUIRED, "2fa"),
        ({"step_up": 600.0}, fresh("admin", age=10, mfa_age=900), Reason.STEP_UP_REQUIRED, "2fa"),
        ({"step_up": 600.0}, fresh("admin", age=900, mfa_age=10), None, ""),
        ({"mfa": True}, fresh(), Reason.MFA_REQUIRED, "2fa"),
        ({"mfa": True}, fresh(mfa_age=9e5), None, ""),
        ({"mfa": True, "step_up": 600.0}, fresh(mfa_age=601), Reason.STEP_UP_REQUIRED, "2fa"),
        ({"mfa": True, "step_up": 600.0}, fresh(mfa_age=599), None, ""),
    ],
)
def test_a_rule_says_what_an_authentication_lacks(
    wants: dict[str, Any], who: Principal, reason: Reason | None, values: str
) -> None:
    asked = replace(rule("r", "/**"), mfa_roles=frozenset({"admin"}), **wants)
    missing = lacks(asked, who, 1000.0)
    if reason is None:
        assert missing is None
    else:
        assert missing is not None
        assert (missing.reason, missing.max_age, missing.acr_values) == (
            reason,
            600 if "step_up" in wants else None,
            values,
        )
