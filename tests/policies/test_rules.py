"""First match decides, by an index that a plain loop over the rules agrees with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.globs import parse_glob
from policies.load import parse_host
from policies.model import Principal, Reason, RequestTarget
from policies.rules import Access, Outcome, Rule, RuleBook, admits, lacks


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
) -> Rule:
    return Rule(
        name=name,
        position=position,
        paths=tuple(map(parse_glob, paths)),
        access=access,
        upstream="api",
        hosts=None if hosts is None else tuple(map(parse_host, hosts)),
        methods=None if methods is None else frozenset(methods),
        roles=frozenset(roles),
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


@st.composite
def books(draw: st.DrawFn) -> RuleBook:
    return book(
        *(
            rule(
                f"r{position}",
                *draw(st.lists(PATHS, min_size=1, max_size=3)),
                position=position,
                hosts=draw(st.none() | st.lists(HOSTS, min_size=1, max_size=2).map(tuple)),
                methods=draw(st.none() | st.lists(METHODS, min_size=1, max_size=2).map(tuple)),
            )
            for position in range(draw(st.integers(0, 8)))
        )
    )


REQUESTS = st.builds(
    lambda parts, host: target("/" + "/".join(parts), host),
    st.lists(st.sampled_from(["", "a", "b", "c", "ab", "d", "%c3%a4"]), min_size=1, max_size=5),
    st.sampled_from(["x.test", "y.x.test", "w.y.x.test", "test", "z.org", "::1", "a.z.org"]),
)


@settings(max_examples=600)
@given(books(), METHODS, REQUESTS)
def test_the_index_finds_what_a_plain_loop_finds(rules: RuleBook, method: str, wanted: RequestTarget) -> None:
    plain = next((one for one in rules.rules if one.matches(method, wanted)), None)
    assert rules.find(method, wanted) is plain
    decides = [step.rule for step in rules.explain(method, wanted) if step.outcome is Outcome.DECIDES]
    assert decides == ([] if plain is None else [plain])


@settings(max_examples=300)
@given(books(), METHODS, REQUESTS)
def test_a_covered_rule_never_matches_alone(rules: RuleBook, method: str, wanted: RequestTarget) -> None:
    for wide in rules.rules:
        for narrow in rules.rules:
            if wide.covers(narrow) and narrow.matches(method, wanted):
                assert wide.matches(method, wanted)


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
