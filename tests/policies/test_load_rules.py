"""From rule configurations to a book, with every mistake at once."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

import limits
import pytest
from rule_sources import Roles, Source, When, faults, only

from policies.load import BadRules, compile_rules
from policies.model import RequestTarget
from policies.rates import Limit, LimitBy
from policies.rules import Access


def test_a_rule_keeps_its_facts() -> None:
    source = Source("x", ["/a"], ["app.test"], ["GET"], allow=Roles(["staff"]), upstream="api", pass_authorization=True)
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
        Source("a", ["a//b"], ["A"], ["get"], allow="noone", upstream="x"),
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
    report_only: bool = False


def test_a_limit_is_carried_with_its_window_in_seconds():
    book = compile_rules([Source(limit=Often([limits.parse("5/15minutes")], "user"))], ["api"])
    assert book.rules[0].limit == Limit("r", 5, 900, LimitBy.USER)


def test_a_limit_by_user_on_a_public_rule_is_a_fault():
    (fault,) = faults(Source(allow="anyone", limit=Often([limits.parse("5/minute")], "user")))
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


@pytest.mark.parametrize(
    ("source", "key", "words"),
    [
        (Source(path=["regex:/("]), "path", "no regular expression"),
        (Source(path=["regex:/_gate/login"]), "path", "under /_gate"),
        (Source(query={"": "x"}), "query", "a name"),
        (Source(headers={"X Y": "x"}), "headers", "no name of a header field"),
        (Source(headers={"Cookie": "x"}), "headers", "the gate's own"),
        (Source(headers={"X_Gate_User": "x"}), "headers", "the gate's own"),
        (Source(headers={"X-Forwarded-For": "x"}), "headers", "the gate's own"),
        (Source(headers={"Host": "x"}), "headers", "the connection"),
        (Source(headers={"X-A": "x", "x_a": "y"}), "headers", "twice"),
        (Source(networks=[]), "networks", "never matches"),
        (Source(networks=[ip_network("::ffff:10.0.0.0/104")]), "networks", "one of IPv4"),
        (Source(countries=[]), "countries", "never matches"),
        (Source(countries=["ch"]), "countries", "write CH"),
        (Source(countries=["XX"]), "countries", "no country"),
        (Source(schedule=When()), "schedule", "neither days nor hours"),
        (Source(schedule=When(days=[])), "schedule", "never matches"),
        (Source(schedule=When(days=["someday"])), "schedule", "a day such as mon"),
        (Source(schedule=When(hours=["8-9"])), "schedule", "hours such as"),
        (Source(schedule=When(days=["mon"], zone="Mars/Crater")), "schedule", "no time zone"),
        (Source(allow=[]), "allow", "say so: allow: nobody"),
        (Source(allow=Roles(claims={"groups": ["x"]})), "allow", "no claim 'groups'"),
        (Source(allow=Roles(domains=["*"])), "allow", "* may only stand for"),
        (Source(allow="nobody", mfa=True), "mfa", "means nothing"),
    ],
)
def test_a_criterion_or_subject_that_makes_no_sense_is_a_fault_at_its_key(source: Source, key: str, words: str) -> None:
    fault = only(source)
    assert fault.key == key
    assert words in fault.message


@pytest.mark.parametrize(
    ("first", "second", "shadowed"),
    [
        (Source("a"), Source("b", query={"x": "1"}), True),
        (Source("a", query={"x": "1"}), Source("b"), False),
        (Source("a", query={"x": "1"}), Source("b", query={"x": "1", "y": "2"}), True),
        (Source("a", query={"x": "1"}), Source("b", query={"x": "2"}), False),
        (Source("a", headers={"X-A": True}), Source("b", headers={"x_a": True}), True),
        (Source("a", networks=[ip_network("10.0.0.0/8")]), Source("b", networks=[ip_network("10.1.0.0/16")]), True),
        (Source("a", networks=[ip_network("10.1.0.0/16")]), Source("b", networks=[ip_network("10.0.0.0/8")]), False),
        (Source("a", countries=["CH", "DE"]), Source("b", countries=["CH"]), True),
        (Source("a", countries=["CH"]), Source("b", countries=["CH", "unknown"]), False),
        (Source("a", schedule=When(days=["mon"])), Source("b", schedule=When(days=["mon"])), True),
        (Source("a", schedule=When(days=["mon"])), Source("b"), False),
        (Source("a", path=["/x/**"]), Source("b", path=["regex:/x/[0-9]+"]), True),
        (Source("a", path=["regex:/x/[0-9]+"]), Source("b", path=["/x/1"]), False),
    ],
)
def test_a_rule_with_criteria_shadows_only_what_asks_for_at_least_as_much(
    first: Source, second: Source, shadowed: bool
) -> None:
    if shadowed:
        assert "never decides" in only(first, second).message
    else:
        assert len(compile_rules([first, second], ["api"])) == 2


def test_a_rule_that_admits_nobody_needs_no_upstream() -> None:
    (rule,) = compile_rules([Source(allow="nobody")], ["a", "b"]).rules
    assert (rule.access, rule.upstream) == (Access.NOBODY, "")


def test_roles_alone_stay_the_plain_form_and_everything_else_becomes_subjects() -> None:
    plain = compile_rules([Source(allow=[Roles(["staff"])])], ["api"]).rules[0]
    assert (plain.access, plain.roles) == (Access.ROLES, {"staff"})
    both = compile_rules([Source(allow=Roles(["staff"], domains=["*.example.org"]))], ["api"]).rules[0]
    assert (both.access, str(both.subjects[0])) == (Access.SUBJECTS, "roles staff and domains *.example.org")


def test_a_hundred_thousand_rules_are_refused_with_a_reason() -> None:
    with pytest.raises(BadRules, match="fewer than 100000 rules"):
        compile_rules([Source()] * 100_000, ["api"])


def test_thousands_of_rules_at_one_path_are_still_checked_in_moments() -> None:
    rules = [Source(f"r{at}", query={"tenant": str(at)}) for at in range(5000)]
    assert len(compile_rules(rules, ["api"])) == 5000


def test_several_windows_are_carried_from_the_shortest_to_the_longest() -> None:
    rates = [limits.parse("400/hour"), limits.parse("30/minute")]
    (rule,) = compile_rules([Source(limit=Often(rates, "header:X-Tenant", report_only=True))], ["api"]).rules
    wanted = Limit("r", 30, 60, LimitBy.HEADER, ((400, 3600),), header="X-Tenant", report_only=True)
    assert rule.limit == wanted


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        (["30/minute", "40/minute"], "two rates for the same 60 s"),
        (["30/minute", "1/60 second"], "two rates for the same 60 s"),
        (["30/minute", "30/hour"], "30 in 60 s are never reached beside 30 in 3600 s"),
    ],
)
def test_windows_that_contradict_each_other_are_a_fault(rates: list[str], words: str) -> None:
    fault = only(Source(limit=Often([limits.parse(rate) for rate in rates])))
    assert fault.key == "limit"
    assert words in fault.message
