"""The section of an upstream: its forms, its defaults, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.config.load import load
from gatekeeper.config.show import as_data
from gatekeeper.config.template import schema
from gatekeeper.config.types import parse_statuses, status_range
from gatekeeper.config.upstreams import Upstream
from gatekeeper.errors import ConfigError, Fault


def upstream(folder: Path, text: str, **environ: str) -> Upstream:
    file = folder / "gate.yaml"
    file.write_text(f"upstreams:\n  api: {text}\n")
    return load(file, environ).config.upstreams["api"]


def fault(folder: Path, text: str) -> Fault:
    with pytest.raises(ConfigError) as caught:
        upstream(folder, text)
    (found,) = caught.value.faults
    assert found.line == 2
    return found


def test_targets_are_addresses_or_addresses_with_weights(tmp_path: Path) -> None:
    found = upstream(tmp_path, "{targets: ['http://a', {url: 'unix:/run/b', weight: 3}, {url: 'https://c'}]}")
    assert found.addresses == ["http://a", "unix:/run/b", "https://c"]
    assert found.weights == [1, 3, 1]


def test_the_whole_section_as_one_would_write_it(tmp_path: Path) -> None:
    found = upstream(
        tmp_path,
        "{targets: ['https://a', 'https://b'], balance: least-connections, sticky: cookie, retries: 2, total: 5m,"
        " health: {path: /up, every: 5s, timeout: 1s, expect: [204, 300 - 399], healthy_after: 3, unhealthy_after: 1},"
        " ejection: {failures: 3, within: 20s, for: 5s, growth: 1.5, max: 1m, statuses: [502, 503]},"
        " circuit: {share: 0.25, requests: 50, within: 30s, for: 2s}, connections: {max: 10, queue: 0},"
        " tls: {ca: ca.pem, cert: /etc/own.pem, key: own.key, server_name: api.internal}}",
    )
    assert (found.balance, found.sticky, found.retries, found.total) == ("least-connections", "cookie", 2, 300.0)
    assert [status_range(one) for one in found.health.expect] == [(204, 204), (300, 399)]
    assert (found.ejection.length, found.ejection.growth, found.circuit.length) == (5.0, 1.5, 2.0)
    assert (found.tls.ca, found.tls.cert) == (tmp_path / "ca.pem", Path("/etc/own.pem"))
    assert found.tls.key == tmp_path / "own.key"


def test_times_that_are_not_given_are_the_general_ones(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text("timeouts: {first_byte: 7s, connect: 2s}\nupstreams: {api: {targets: ['http://a']}}\n")
    found = load(file, {}).config.upstreams["api"]
    assert (found.timeout, found.connect_timeout) == (7.0, 2.0)


def test_the_environment_reaches_every_key(tmp_path: Path) -> None:
    found = upstream(
        tmp_path,
        "{targets: ['http://a']}",
        GATEKEEPER__UPSTREAMS__API__HEALTH__PATH="/up",
        GATEKEEPER__UPSTREAMS__API__EJECTION="{for: 3s, statuses: [503]}",
        GATEKEEPER__UPSTREAMS__API__TARGETS="[http://b, {url: http://c, weight: 2}]",
    )
    assert (found.health.path, found.ejection.length, found.ejection.statuses) == ("/up", 3.0, [503])
    assert found.weights == [1, 2]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{targets: []}", "targets", "must not be empty"),
        ("{targets: [a]}", "targets[0]", "an address such as"),
        ("{targets: [{url: a}]}", "targets[0].url", "an address such as"),
        ("{targets: [{weight: 2}]}", "targets[0].url", "is missing"),
        ("{targets: [{url: 'http://a', weight: 0}]}", "targets[0].weight", "at least 1"),
        ("{targets: [{url: 'http://a', wieght: 2}]}", "targets[0].wieght", "unknown key"),
        ("{targets: ['http://a', {url: 'http://a'}]}", "targets[1]", "twice"),
        ("{targets: [{url: 'http://127.0.0.1:8080'}]}", "targets[0]", "the gate itself"),
        ("{targets: ['http://a'], balance: random}", "balance", "'round-robin' or 'least-connections'"),
        ("{targets: ['http://a'], sticky: yes}", "sticky", "'none', 'cookie' or 'client'"),
        ("{targets: ['http://a'], health: {path: up}}", "health.path", "a path such as /health"),
        ("{targets: ['http://a'], health: {path: '/a b'}}", "health.path", "a path such as /health"),
        ("{targets: ['http://a'], health: {every: 5s}}", "health", "needs a path"),
        ("{targets: ['http://a'], health: {path: /, every: 1s}}", "health.timeout", "not be longer than every (1s)"),
        ("{targets: ['http://a'], health: {path: /, expect: [ok]}}", "health.expect[0]", "a status such as 204"),
        ("{targets: ['http://a'], health: {path: /, expect: [399-200]}}", "health.expect[0]", "a status such as 204"),
        ("{targets: ['http://a'], health: {path: /, host: '*.a'}}", "health.host", "one host"),
        ("{targets: ['http://a'], ejection: {for: 6m}}", "ejection.for", "not be longer than max (5m)"),
        ("{targets: ['http://a'], ejection: {growth: 0.5}}", "ejection.growth", "at least 1"),
        ("{targets: ['http://a'], ejection: {growth: fast}}", "ejection.growth", "must be a number"),
        ("{targets: ['http://a'], ejection: {statuses: [200]}}", "ejection.statuses[0]", "at least 400"),
        ("{targets: ['http://a'], circuit: {share: 2}}", "circuit.share", "at most 1"),
        ("{targets: ['http://a'], tls: {verify: false}}", "tls", "none of the targets is https://"),
        ("{targets: ['https://a'], tls: {key: k}}", "tls.key", "needs a certificate"),
        ("{targets: ['https://a'], tls: {ca: k, verify: false}}", "tls.ca", "contradicts"),
        ("{targets: ['https://a'], tls: {server_name: 'a b'}}", "tls.server_name", "no host name"),
        ("{targets: ['https://a'], retries: 11}", "retries", "at most 10"),
        ("{targets: ['https://a'], circuit: {open: 1s}}", "circuit.open", "unknown key"),
    ],
)
def test_mistakes_are_said_in_words_with_their_key(tmp_path: Path, text: str, key: str, words: str) -> None:
    found = fault(tmp_path, text)
    assert found.key == f"upstreams.api.{key}"
    assert words in found.message


@pytest.mark.parametrize("value", ["99", "600", "200-", "-200", "2xx", "200-600", True, None, "200,204"])
def test_what_is_no_status_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a status such as"):
        parse_statuses(value)


def test_every_nested_key_has_its_source_and_its_place_in_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text("upstreams:\n  api:\n    targets: ['http://a']\n    health:\n      path: /up\n")
    sources = as_data(load(file, {}))["sources"]
    assert sources["upstreams.api.health.path"] == f"{file}:5"
    assert sources["upstreams.api.health.every"] == "default"
    definitions = schema()["$defs"]
    assert definitions["HealthCheck"]["properties"]["every"]["default"] == "10s"
    assert definitions["Ejection"]["properties"]["for"]["default"] == "10s"
