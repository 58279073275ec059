"""From rule configurations to a book, with every mistake at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import limits
import pytest

from policies.load import BadRules, RuleFault, compile_rules
from policies.model import RequestTarget
from policies.rates import Limit, LimitBy
from policies.rules import Access


@dataclass
class Roles:
    roles: list[str]


@dataclass
class Source:
    name: str = "r"
    path: list[str] = field(default_factory=lambda: ["/**"])
    host: list[str] | None = None
    methods: list[str] | None = None
    allow: str | Roles = "authenticated"
    upstream: str | None = None
    pass_authorization: bool = False
    upgrade: Sequence[str] | None = None
    limit: object | None = None
    step_up: float | None = None
    mfa: bool = False


def faults(*rules: Source, upstreams: Sequence[str] = ("api",), prefix: str = "/_gate") -> list[RuleFault]:
    with pytest.raises(BadRules) as caught:
        compile_rules(rules, upstreams, prefix=prefix)
    return list(caught.value.faults)


def only(*rules: Source, upstreams: Sequence[str] = ("api",)) -> RuleFault:
    (fault,) = faults(*rules, upstreams=upstreams)
    return fault


def test_a_rule_keeps_its_facts() -> None:
    source = Source("x", ["/a"], ["app.test"], ["GET"], Roles(["staff"]), "api", pass_authorization=True)
    (rule,) = compile_rules([source], ["api", "other"], lines=[7]).rules
    assert (rule.name, rule.access, rule.roles, rule.upstream) == ("x", Access.ROLES, {"staff"}, "api")
    assert (rule.methods, rule.pass_authorization, rule.line, rule.position) == ({"GET", "HEAD"}, True, 7, 0)


def test_head_follows_get() -> None:
    rules = compile_rules([Source(methods=["GET"])], ["api"])
    assert rules.find("HEAD", RequestTarget("http", "x", None, "/", None)) is not None
    assert rules.find("POST", RequestTarget("http", "x", None, "/", None)) is None


def test_a_rule_without_upstream_uses_the_only_one() -> None:
    assert compile_rules([Source()], ["shop"]).rules[0].upstream == "shop"


def test_a_rule_must_name_one_of_several_upstreams() -> None:
    fault = only(Source(), upstreams=["a", "b"])
    assert fault.key == "upstream"
    assert "a, b" in fault.message


def test_an_unknown_upstream_is_a_fault() -> None:
    assert "no upstream 'x'" in only(Source(upstream="x")).message


def test_doubled_names_are_a_fault() -> None:
    fault = only(Source("a", ["/a"]), Source("a", ["/b"]))
    assert (fault.position, fault.key) == (1, "name")


@pytest.mark.parametrize("path", ["/_gate", "/_gate/login", "/_gate/**"])
def test_rules_under_the_prefix_are_a_fault(path: str) -> None:
    assert "/_gate" in only(Source(path=[path])).message


def test_rules_beside_the_prefix_are_none() -> None:
    compile_rules([Source("a", ["/_gatex"]), Source("b", ["/x/_gate"])], ["api"])


@pytest.mark.parametrize(
    ("method", "hint"), [("get", "write GET"), ("FETCH", "known are GET"), ("TRACE", "known are"), ("", "known are")]
)
def test_unknown_methods_are_a_fault(method: str, hint: str) -> None:
    assert hint in only(Source(methods=[method])).message


@pytest.mark.parametrize(
    "host", ["App.test", "http://app.test", "app.test:80", "*", "a.*.test", "*app.test", "app..test", "ä.test", ""]
)
def test_hosts_of_another_form_are_a_fault(host: str) -> None:
    assert only(Source(host=[host])).key == "host"


@pytest.mark.parametrize("key", ["host", "path", "methods"])
def test_empty_lists_are_a_fault(key: str) -> None:
    assert "never matches" in only(Source(**{key: []})).message  # type: ignore[arg-type]


def test_an_unknown_word_in_allow_is_a_fault() -> None:
    assert "anyone, authenticated" in only(Source(allow="everyone")).message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Source("a"), Source("b", ["/x"])),
        (Source("a", ["/x"]), Source("b", ["/x"])),
        (Source("a", ["/x/**"]), Source("b", ["/x"], methods=["GET"])),
        (Source("a", ["/x/**"], host=["*.test"]), Source("b", ["/x/y"], host=["app.test"])),
        (Source("a", ["/y", "/x"]), Source("b", ["/x", "/y"])),
        (Source("a", ["/*/x"]), Source("b", ["/y/x"])),
        (Source("a", methods=["GET"]), Source("b", methods=["HEAD"])),
    ],
)
def test_a_rule_that_an_earlier_one_shadows_is_a_fault(first: Source, second: Source) -> None:
    fault = only(first, second)
    assert fault.position == 1
    assert "never decides: rule 'a'" in fault.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Source("a", ["/x"]), Source("b")),
        (Source("a", methods=["GET"]), Source("b")),
        (Source("a", host=["app.test"]), Source("b")),
        (Source("a", host=["app.test"]), Source("b", host=["*.test"])),
        (Source("a", ["/x"]), Source("b", ["/x", "/y"])),
        (Source("a", methods=["GET"]), Source("b", methods=["POST"])),
    ],
)
def test_a_rule_that_is_left_something_is_none(first: Source, second: Source) -> None:
    assert len(compile_rules([first, second], ["api"])) == 2


def test_all_mistakes_are_said_at_once_in_the_order_of_the_rules() -> None:
    found = faults(
        Source("a", ["a//b"], ["A"], ["get"], "nobody", "x"),
        Source("a", ["/_gate/x"]),
    )
    assert [(fault.position, fault.key) for fault in found] == [
        (0, "path"),
        (0, "host"),
        (0, "methods"),
        (0, "allow"),
        (0, "upstream"),
        (1, "path"),
        (1, "name"),
    ]


def test_a_thousand_rules_are_checked_for_shadows_without_comparing_all_pairs() -> None:
    rules = [Source(f"r{at}", [f"/service{at}/**"]) for at in range(1000)]
    book = compile_rules([*rules, Source("rest")], ["api"])
    assert len(book) == 1001


@dataclass
class Often:
    rate: object
    by: str = "address"


def test_a_limit_is_carried_with_its_window_in_seconds():
    book = compile_rules([Source(limit=Often(limits.parse("5/15minutes"), "user"))], ["api"])
    assert book.rules[0].limit == Limit("r", 5, 900, LimitBy.USER)


def test_a_limit_by_user_on_a_public_rule_is_a_fault():
    (fault,) = faults(Source(allow="anyone", limit=Often(limits.parse("5/minute"), "user")))
    assert fault.key == "limit"
    assert "by: address" in fault.message


def test_protocols_are_known_by_their_names_in_lower_case() -> None:
    book = compile_rules([Source("a", path=["/a"]), Source("b", path=["/b"], upgrade=["WebSocket", "echo"])], ["api"])
    assert [rule.upgrade for rule in book.rules] == [{"websocket"}, {"websocket", "echo"}]
    assert compile_rules([Source(upgrade=())], ["api"]).rules[0].upgrade == frozenset()


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "h2", "web socket", "a/1", "", "a,b"])
def test_what_is_no_protocol_or_another_http_is_a_fault(protocol: str) -> None:
    """security 2"""
    assert only(Source(upgrade=["websocket", protocol])).key == "upgrade"


def test_a_rule_keeps_how_fresh_and_strong_a_login_it_wants():
    (rule,) = compile_rules([Source(step_up=600.0, mfa=True)], ["api"], mfa_roles=["admin"]).rules
    assert (rule.step_up, rule.mfa, rule.mfa_roles) == (600.0, True, {"admin"})


@pytest.mark.parametrize(("key", "source"), [("step_up", {"step_up": 600.0}), ("mfa", {"mfa": True})])
def test_a_public_rule_that_asks_for_more_than_nothing_is_a_fault(key, source):
    assert only(Source(allow="anyone", **source)).key == key
