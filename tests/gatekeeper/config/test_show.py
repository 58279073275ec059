"""The effective configuration with sources, and nothing secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.config.document import parse
from gatekeeper.config.load import LoadedConfig, load
from gatekeeper.config.show import as_data, as_yaml, mask


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    secret = tmp_path / "secret"
    secret.write_text("s" * 40)
    secret.chmod(0o600)
    file = tmp_path / "gate.yaml"
    file.write_text(
        "tokens: {access_ttl: 5m}\nstorage: {secret_file: secret}\nrules:\n  - {name: a, path: /a, allow: anyone}\n"
    )
    environ = {"GATEKEEPER__STORAGE__REDIS": "redis://:hunter2@h:1/0", "GATEKEEPER__WORKERS": "2"}
    return load(file, environ)


def test_each_value_is_shown_with_its_source(loaded: LoadedConfig) -> None:
    lines = {line.split("#")[0].strip(): line.partition("# ")[2] for line in as_yaml(loaded).splitlines()}
    assert lines["access_ttl: 5m"] == f"{loaded.file}:1"
    assert lines["idle_ttl: 7d"] == "default"
    assert lines["workers: 2"] == "environment GATEKEEPER__WORKERS"
    assert lines['secret: "***"'].startswith("secret file ")
    assert lines["- {name: a, path: /a, allow: anyone}"] == f"{loaded.file}:4"


def test_no_secret_is_shown(loaded: LoadedConfig) -> None:
    for shown in (as_yaml(loaded), str(as_data(loaded))):
        assert "hunter2" not in shown
        assert "ssss" not in shown
        assert "redis://:***@h:1/0" in shown


def test_what_is_shown_is_yaml_of_the_same_values(loaded: LoadedConfig) -> None:
    data = as_data(loaded)
    assert parse(as_yaml(loaded)).value == data["config"]
    assert data["sources"]["tokens.access_ttl"] == f"{loaded.file}:1"
    assert data["sources"]["upstreams.api.timeout"] == "default"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("embedded", "embedded"),
        ("postgresql://u:pw@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql:///db?password=pw", "postgresql:///db?***"),
        ("unix:///run/r.sock", "unix:///run/r.sock"),
        ("postgresql://u:12/pw@host/db", "***"),
        ("postgresql://u:p@w@host/db", "***"),
        ("anything", "***"),
    ],
)
def test_secrets_are_masked(secret: str, shown: str) -> None:
    assert mask(secret) == shown


@given(st.text("abX12@:/?#% ", min_size=1, max_size=12))
def test_no_password_survives_masking_whatever_is_in_it(password: str) -> None:
    marked = f"S{password}S"
    assert marked not in mask(f"postgresql://user:{marked}@host:1/db")
    assert marked not in mask(f"redis://:{marked}@host:1/0")
