"""What rules do, from words to effects, with every mistake at its key."""

from __future__ import annotations

import pytest
from rule_sources import Changes, Origins, Rewriting, Source, only

from policies.effects import Rewrite
from policies.load import compile_rules


@pytest.mark.parametrize(
    ("source", "key", "words"),
    [
        (Source(path=["/api/**"], rewrite=Rewriting()), "rewrite", "neither"),
        (Source(path=["/api/**"], rewrite=Rewriting("api")), "rewrite", "starts with /"),
        (Source(path=["/api/**"], rewrite=Rewriting("/api/")), "rewrite", "without a slash at the end"),
        (Source(path=["/api/**"], rewrite=Rewriting(add_prefix="/*")), "rewrite", "plain segments"),
        (Source(path=["/api/**"], rewrite=Rewriting(add_prefix="/a/../b")), "rewrite", "dot segments"),
        (Source(path=["/api/**", "/x"], rewrite=Rewriting("/api")), "rewrite", "/x does not begin with /api"),
        (Source(path=["/apis/**"], rewrite=Rewriting("/api")), "rewrite", "does not begin"),
        (Source(path=["regex:/a.*"], rewrite=Rewriting("/api")), "rewrite", "does not begin"),
        (Source(request_headers=Changes()), "request_headers", "neither"),
        (Source(request_headers=Changes({"X-Gate-User": "x"})), "request_headers", "the gate's own"),
        (Source(request_headers=Changes({"x_gate_roles": "x"})), "request_headers", "the gate's own"),
        (Source(request_headers=Changes(remove=["X-Forwarded-For"])), "request_headers", "the gate's own"),
        (Source(request_headers=Changes({"Host": "x"})), "request_headers", "the connection"),
        (Source(request_headers=Changes({"X-A": "a\r\nX-B: b"})), "request_headers", "no line break"),
        (Source(request_headers=Changes({"X-A": "1"}, ["X-A"])), "request_headers", "both set and removed"),
        (Source(response_headers=Changes({"Set-Cookie": "x"})), "response_headers", "the gate's own"),
        (Source(response_headers=Changes({"Transfer-Encoding": "x"})), "response_headers", "the connection"),
        (
            Source(response_headers=Changes({"Access-Control-Allow-Origin": "*"}), cors=Origins(["https://a.test"])),
            "response_headers",
            "what cors is for",
        ),
        (Source(cors=Origins([])), "cors", "admits none"),
        (Source(cors=Origins(["https://a.test/"])), "cors", "an origin such as"),
        (Source(cors=Origins(["null"])), "cors", "an origin such as"),
        (Source(cors=Origins(["https://A.test"])), "cors", "an origin such as"),
        (Source(cors=Origins(["https://a.test:443"])), "cors", "usual port"),
        (Source(cors=Origins(["*", "https://a.test"])), "cors", "leave the others out"),
        (Source(cors=Origins(["*"], credentials=True)), "cors", "any page act as"),
        (Source(cors=Origins(["https://a.test"], headers=["X A"])), "cors", "no name"),
        (Source(allow="nobody", secure_headers=True), "allow", "nothing is forwarded"),
    ],
)
def test_an_effect_that_makes_no_sense_is_a_fault_at_its_key(source: Source, key: str, words: str) -> None:
    fault = only(source)
    assert fault.key == key
    assert words in fault.message


def test_a_rule_without_effects_has_none() -> None:
    assert compile_rules([Source()], ["api"]).rules[0].effects is None


@pytest.mark.parametrize(
    ("rewrite", "path", "sent"),
    [
        (Rewrite("/api", ""), "/api", "/"),
        (Rewrite("/api", ""), "/api/", "/"),
        (Rewrite("/api", ""), "/api/x", "/x"),
        (Rewrite("/api", "/v2"), "/api", "/v2"),
        (Rewrite("", "/v2"), "/", "/v2/"),
        (Rewrite("/%C3%A4", ""), "/%c3%a4/x", "/x"),
    ],
)
def test_a_prefix_is_replaced_in_whole_segments(rewrite: Rewrite, path: str, sent: str) -> None:
    assert rewrite.path(path) == sent


def test_an_expression_that_always_begins_with_the_prefix_may_be_stripped_of_it() -> None:
    (rule,) = compile_rules([Source(path=["regex:/api/v[0-9]+"], rewrite=Rewriting("/api"))], ["api"]).rules
    assert rule.effects is not None
    assert rule.effects.rewrite == Rewrite("/api", "")


def test_strict_transport_security_belongs_to_https_alone() -> None:
    def names(*, https: bool) -> set[bytes]:
        (rule,) = compile_rules([Source(secure_headers=True)], ["api"], https=https).rules
        assert rule.effects is not None
        return {name for name, _ in rule.effects.lacking}

    assert names(https=True) - names(https=False) == {b"Strict-Transport-Security"}
