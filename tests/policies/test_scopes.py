"""Scopes of API keys: what texts mean, and which are refused."""

import pytest
from factories import rule_book

from policies.load import BadRules
from policies.model import KeyGrant, Principal, Reason
from policies.rules import admits
from policies.scopes import MOST, parse_scope, parse_scopes


@pytest.mark.parametrize(
    ("scope", "method", "path", "reached"),
    [
        ("/reports/**", "GET", "/reports/1/2", True),
        ("/reports/**", "DELETE", "/reports", True),
        ("/reports/**", "GET", "/report", False),
        ("/reports/*", "GET", "/reports/1/2", False),
        ("GET /reports/**", "GET", "/reports/1", True),
        ("GET /reports/**", "HEAD", "/reports/1", True),
        ("GET /reports/**", "POST", "/reports/1", False),
        ("POST /reports/**", "GET", "/reports/1", False),
        ("/**", "PUT", "/", True),
        ("reports", "GET", "/reports", False),
    ],
)
def test_a_path_scope_reaches_its_paths_and_methods_and_a_name_reaches_none(scope, method, path, reached):
    assert parse_scopes([scope]).as_owner(method, path) is reached


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a scope is a name"),
        ("a b", "a path scope is a path"),
        ("-x", "a scope is a name"),
        ("x" * 65, "a scope is a name"),
        ("é", "a scope is a name"),
        ("get /x", "'get' is no method"),
        ("TRACE /x", "'TRACE' is no method"),
        ("GET  /x", "'GET ' is no method"),
        ("/x?y", "a query"),
        ("/x;y", "a semicolon"),
        ("/" + "x" * 200, "at most 200"),
    ],
)
def test_a_text_that_is_no_scope_is_refused_with_its_reason(text, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        parse_scope(text)


def test_a_key_has_a_bounded_number_of_scopes():
    with pytest.raises(ValueError, match="at most 32 scopes"):
        parse_scopes(["a"] * (MOST + 1))


def _owner(*names, as_owner=False, roles=()):
    key = KeyGrant("id", frozenset(names), as_owner)
    return Principal("u", "a@b.ch", frozenset(roles), "key:id", "key:id", email_verified=True, key=key)


@pytest.mark.parametrize(
    ("allow", "principal", "reason"),
    [
        ({"scopes": ["m"]}, _owner("m"), None),
        ({"scopes": ["m"]}, _owner("n"), Reason.RULE_DENIED),
        ({"scopes": ["m"]}, _owner("n", as_owner=True), Reason.RULE_DENIED),
        ({"scopes": ["m"]}, Principal("u", "a@b.ch", frozenset({"m"}), "s", "j"), Reason.RULE_DENIED),
        ({"scopes": ["m"]}, None, Reason.CREDENTIALS_MISSING),
        ({"scopes": ["m"], "roles": ["ops"]}, _owner("m", roles=["ops"]), None),
        ({"scopes": ["m"], "roles": ["ops"]}, _owner("m"), Reason.RULE_DENIED),
        ([{"scopes": ["m"]}, {"roles": ["ops"]}], _owner(roles=["ops"]), Reason.RULE_DENIED),
        ([{"scopes": ["m"]}, {"roles": ["ops"]}], _owner(roles=["ops"], as_owner=True), None),
        ({"users": ["a@b.ch"]}, _owner("m"), Reason.RULE_DENIED),
        ({"users": ["a@b.ch"]}, _owner("m", as_owner=True), None),
        ("authenticated", _owner("m"), Reason.RULE_DENIED),
        ("authenticated", _owner(as_owner=True), None),
        ({"roles": ["ops"]}, _owner("m", roles=["ops"]), Reason.RULE_DENIED),
        ({"roles": ["ops"]}, _owner(roles=["ops"], as_owner=True), None),
    ],
)
def test_rules_admit_keys_by_scope_or_as_their_owner_where_a_path_says_so(allow, principal, reason):
    (rule,) = rule_book({"path": "/x", "allow": allow}).rules
    assert admits(rule, principal) is reason


def test_an_upstream_learns_no_roles_of_a_key_that_is_admitted_by_its_scopes():
    assert _owner("m", roles=["ops"]).told_roles == frozenset()
    assert _owner("m", roles=["ops"], as_owner=True).told_roles == {"ops"}


@pytest.mark.parametrize("asked", [{"mfa": True}, {"step_up": "5m"}])
def test_a_rule_for_keys_alone_that_asks_for_more_than_a_key_can_show_is_a_fault(asked):
    with pytest.raises(BadRules, match="more than an API key can show"):
        rule_book({"path": "/x", "allow": {"scopes": ["m"]}, **asked})
