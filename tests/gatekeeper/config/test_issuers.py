"""``tokens.accept``: what cannot be meant is a fault, with its key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gatekeeper.config.load import load
from gatekeeper.errors import ConfigError

GOOD = "issuer: https://a.example, jwks: https://a.example/keys, audiences: [x]"


def read(folder: Path, *accepted: str, more: str = ""):
    file = folder / "gate.yaml"
    file.write_text(f"tokens: {{accept: [{', '.join(f'{{{one}}}' for one in accepted)}]}}\n{more}")
    file.chmod(0o600)
    return load(file, {}).config.tokens.accept


def test_what_is_left_out_has_the_usual_value(tmp_path: Path) -> None:
    (accepted,) = read(tmp_path, GOOD)
    assert accepted.algorithms == ["EdDSA", "ES256", "RS256"]
    assert (accepted.claims.subject, accepted.claims.roles, accepted.claims.email) == ("sub", None, None)


def test_keys_may_be_in_a_file_or_where_the_network_is_listed_come_over_http(tmp_path: Path) -> None:
    read(tmp_path, GOOD.replace("https://a.example/keys", "/etc/gate/keys.json"))
    read(tmp_path, GOOD.replace("https://a", "http://a"), more="notify: {allow_private: [10.0.0.0/8]}\n")


@pytest.mark.parametrize(
    ("accepted", "key", "words"),
    [
        ([GOOD.replace("audiences: [x]", "audiences: []")], "tokens.accept[0].audiences", ""),
        ([GOOD.replace(", audiences: [x]", "")], "tokens.accept[0].audiences", ""),
        ([GOOD.replace("https://a.example/keys", "http://a.example/keys")], "tokens.accept[0].jwks", "https"),
        ([GOOD.replace("https://a.example/keys", "ftp://a.example/keys")], "tokens.accept[0].jwks", "https"),
        ([GOOD.replace("https://a.example/keys", "https://u:p@a.example/")], "tokens.accept[0].jwks", "no user"),
        ([f"{GOOD}, algorithms: [HS256]"], "tokens.accept[0].algorithms[0]", ""),
        ([f"{GOOD}, algorithms: [none]"], "tokens.accept[0].algorithms[0]", ""),
        ([f"{GOOD}, claims: {{sub: x}}"], "tokens.accept[0].claims.sub", ""),
        ([GOOD, GOOD], "tokens.accept[1].issuer", "stands above"),
        ([GOOD.replace("https://a.example,", "'http://127.0.0.1:8080',")], "tokens.accept[0].issuer", "itself"),
        ([GOOD.replace("https://a.example,", "'a b',")], "tokens.accept[0].issuer", "without blanks"),
    ],
)
def test_what_cannot_be_meant_is_a_fault(tmp_path: Path, accepted: list[str], key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *accepted)
    assert [(fault.key, words in fault.message) for fault in caught.value.faults] == [(key, True)]


DOCS = Path(__file__).parents[3] / "docs" / "tokens.md"
SHOWN = dict(re.findall(r"<!-- (\w+) -->\n+```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL))


@pytest.mark.parametrize("name", ["keycloak", "auth0", "entra", "script"])
def test_what_the_documentation_shows_can_be_written(tmp_path: Path, name: str) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(SHOWN[name])
    file.chmod(0o600)
    assert len(load(file, {}).config.tokens.accept) == 1
