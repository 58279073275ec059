"""``gatekeeper explain`` says what the gate would do, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gatekeeper.cli import main

CONFIG = """\
public_url: https://app.example.org
hosts: ["*.tenants.example.org"]
trusted_proxies: [10.0.0.0/8]
upstreams:
  api: {targets: [http://127.0.0.1:9000]}
  shop: {targets: [http://127.0.0.1:9001]}
rules:
  - {name: health, path: /health, methods: [GET], allow: anyone, upstream: api}
  - {name: staff, path: /reports/**, allow: {roles: [staff]}, upstream: api}
  - {name: tenants, host: "*.tenants.example.org", path: /shop/**, allow: authenticated, upstream: shop}
  - {name: vault, path: /vault, allow: authenticated, step_up: 10m, upstream: api}
  - {name: two, path: /two, allow: authenticated, mfa: true, upstream: api}
  - {name: deploy, path: /deploy, allow: {scopes: [deploy]}, upstream: api}
"""

Explain = Callable[..., tuple[int, str]]


@pytest.fixture
def explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    file = tmp_path / "gate.yaml"
    file.write_text(CONFIG)

    def explain_it(*arguments: str) -> tuple[int, str]:
        status = main(["explain", "--config", str(file), *arguments])
        return status, capsys.readouterr().out

    return explain_it


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("GET", "/health"), 0, "allowed: rule health (line 8) decides and admits anyone; to upstream api"),
        (("HEAD", "/health"), 0, "rule health"),
        (("GET", "https://app.example.org/health?x=1"), 0, "rule health"),
        (("POST", "/health"), 1, "denied: 403 no-rule"),
        (("GET", "/reports"), 1, "denied: 401 credentials-missing: rule staff (line 9)"),
        (("GET", "/reports/a", "--user", "ada@example.org"), 1, "denied: 403 rule-denied"),
        (("GET", "/reports/a", "--user", "ada@example.org", "--role", "staff"), 0, "admits roles staff"),
        (("GET", "/reports/a", "--role", "user", "--role", "staff"), 0, "admits roles staff"),
        (("GET", "/%72eports/a", "--role", "staff"), 0, "rule staff"),
        (("GET", "/deploy", "--scope", "deploy"), 0, "allowed: rule deploy (line 13) decides and admits scopes deploy"),
        (("GET", "/deploy", "--scope", "other"), 1, "denied: 403 rule-denied: rule deploy"),
        (("GET", "/deploy", "--user", "ada@example.org"), 1, "would need an API key with the scope deploy"),
        (("GET", "/reports/a", "--role", "staff", "--scope", "GET /reports/**"), 0, "stands for its owner here"),
        (
            ("POST", "/reports/a", "--role", "staff", "--scope", "GET /reports/**"),
            1,
            "a scope of the key for this path",
        ),
        (("GET", "/vault", "--scope", "/**"), 1, "asks for more than an API key can show"),
        (("GET", "/Reports"), 1, "403 no-rule"),
        (("GET", "https://a.tenants.example.org/shop", "--user", "u"), 0, "to upstream shop"),
        (("GET", "/shop", "--user", "u"), 1, "403 no-rule"),
        (("GET", "https://other.example.org/health"), 1, "denied: 421 unknown-host"),
        (("GET", "https://app.example.org:8443/health"), 1, "denied: 421 unknown-host"),
        (("GET", "/reports/../health"), 1, "denied: 400 bad-target"),
        (("GET", "/reports%2fa"), 1, "denied: 400 bad-target"),
        (("GET", "/_gate/login"), 0, "is the gate's own"),
        (("GET", "/_gatex"), 1, "403 no-rule"),
    ],
)
def test_the_decision_is_said_with_its_reason(
    explain: Explain, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """security 1: the same canonical target as a request's; what the gate refuses, no rule is asked about."""
    found, out = explain(*arguments)
    assert words in out
    assert found == status


def test_every_rule_says_why_it_does_not_decide(explain: Explain) -> None:
    _, out = explain("GET", "/reports", "--role", "staff")
    assert "health (line 8): no, path: /reports is not /health" in out
    assert "staff (line 9): decides" in out
    assert "tenants (line 10): no, host: app.example.org is not *.tenants.example.org" in out


def test_verbose_says_how_the_request_is_understood(explain: Explain) -> None:
    _, out = explain("GET", "/%72eports", "--verbose", "--ip", "10.0.0.1")
    assert "as understood: https://app.example.org/reports" in out
    assert "10.0.0.1 is a trusted proxy" in out
    assert "no trusted proxy" in explain("GET", "/", "--verbose", "--ip", "192.0.2.1")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "/"),
        ("TRACE", "/"),
        ("GET", "health"),
        ("GET", "ftp://a/"),
        ("GET", "/", "--ip", "nowhere"),
        ("GET", ""),
    ],
)
def test_wrong_use_is_exit_2(explain: Explain, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        explain(*arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("/vault", "--user", "u"), 1, "401 step-up-required: rule vault (line 11) decides and asks for a login"),
        (("/vault", "--user", "u", "--auth-age", "10m"), 0, "allowed: rule vault"),
        (("/vault", "--user", "u", "--mfa-age", "5m"), 0, "allowed: rule vault"),
        (("/vault", "--user", "u", "--mfa-age", "11m"), 1, "at most 10m old"),
        (("/vault", "--role", "admin", "--auth-age", "1m"), 1, "401 mfa-required"),
        (("/two", "--user", "u", "--auth-age", "1m"), 1, "401 mfa-required: rule two (line 12) decides"),
        (("/two", "--user", "u", "--mfa-age", "9d"), 0, "allowed: rule two"),
    ],
)
def test_explain_knows_how_old_a_login_and_its_second_factor_are(explain, arguments, status, words):
    answered, said = explain("GET", *arguments)
    assert (answered, words in said) == (status, True), said


MATCHING = """\
public_url: https://app.example.org
upstreams:
  api: {targets: [http://127.0.0.1:9000]}
rules:
  - {name: debug, path: /x, query: {debug: "1"}, allow: {roles: [staff]}}
  - {name: inside, path: /x, networks: [10.0.0.0/8], allow: anyone}
  - {name: swiss, path: /x, countries: [CH], allow: [{domains: [example.org]}, {roles: [admin]}]}
  - {name: night, path: /x, schedule: {hours: "22:00-06:00", zone: Europe/Zurich}, allow: nobody}
  - {name: beta, path: /x, headers: {X-Beta: true}, allow: authenticated}
  - {name: versions, path: "regex:/v[0-9]+/.*", allow: anyone}
  - {name: tried, path: /t, allow: {roles: [staff]}, report_only: true}
  - {name: untried, path: /t, allow: anyone}
"""


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("GET", "/x?debug=1"), 1, "debug (line 5): decides, would need a sign-in with roles staff"),
        (("GET", "/x?debug=1", "--user", "u"), 1, "debug (line 5): decides, would need one of the roles staff"),
        (("GET", "/x?debug=1&debug=2"), 1, "debug (line 5): refuses, as nobody can tell query: parameter debug is"),
        (("GET", "/x", "--ip", "10.9.8.7"), 0, "debug (line 5): no, query: parameter debug is absent, not 1"),
        (("GET", "/x", "--country", "DE"), 1, "swiss (line 7): no, countries: DE is not CH"),
        (("GET", "/x", "--ip", "192.168.1.1"), 1, "nobody knows the country of 192.168.1.1"),
        (("GET", "/x", "--country", "CH", "--user", "u@example.org"), 0, "admits domains example.org or roles admin"),
        (
            ("GET", "/x", "--country", "CH", "--user", "u@x.test"),
            1,
            "would need a verified e-mail at example.org or one of the roles admin",
        ),
        (("GET", "/x", "--country", "DE", "--at", "2026-03-01T22:30+01:00"), 1, "night (line 8): decides, would need"),
        (
            ("GET", "/x", "--country", "DE", "--at", "2026-03-01T12:00", "--header", "X-Beta: 1", "--user", "u"),
            0,
            "night (line 8): no, schedule: now is not mon, tue",
        ),
        (("GET", "/v12/x"), 0, "rule versions"),
        (("GET", "/t"), 0, "tried (line 11): would decide and need a sign-in with roles staff, but only reports"),
        (("GET", "/v/x"), 1, "versions (line 10): no, path: /v/x is not regex:/v[0-9]+/.*"),
    ],
)
def test_explain_says_how_each_criterion_fared_and_what_would_be_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, words: str
) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(MATCHING)
    found = main(["explain", "--config", str(file), *arguments])
    out = capsys.readouterr().out
    assert words in out
    assert found == status


@pytest.mark.parametrize("option", [("--country", "ch"), ("--header", "nothing"), ("--at", "noon")])
def test_explain_refuses_what_it_cannot_read_as_wrong_use(option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "GET", "/", *option])
    assert ended.value.code == 2
