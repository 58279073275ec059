"""Secrets given in clear, by file or by the environment, each once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gatekeeper.config.load import LoadedConfig, load
from gatekeeper.errors import ConfigError, Fault

SECRET = "0123456789abcdef0123456789abcdef-one"
OTHER = "0123456789abcdef0123456789abcdef-two"

Load = Callable[..., LoadedConfig]


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text(f"  {SECRET}\n\n")
    secret.chmod(0o600)

    def load_it(text: str, mode: int = 0o600, **environ: str) -> LoadedConfig:
        file = tmp_path / "gate.yaml"
        file.write_text(text)
        file.chmod(mode)
        return load(file, environ)

    return load_it


def secret_of(loaded: LoadedConfig) -> str:
    assert loaded.config.storage.secret is not None
    return loaded.config.storage.secret.get_secret_value()


def faults(load_text: Load, text: str, **environ: str) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, **environ)
    assert SECRET not in str(caught.value)
    assert OTHER not in str(caught.value)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (f"storage: {{secret: {SECRET}}}", {}),
        ("storage: {secret_file: secret.txt}", {}),
        ("storage: {secret: null, secret_file: secret.txt}", {}),
        ("", {"GATEKEEPER__STORAGE__SECRET": SECRET}),
        ("", {"GATEKEEPER__STORAGE__SECRET_FILE": "secret.txt"}),
        ("", {"GATEKEEPER__STORAGE": "{secret_file: secret.txt}"}),
        ("storage:\n  secret: null\n", {"GATEKEEPER__STORAGE__SECRET_FILE": "secret.txt"}),
    ],
)
def test_a_secret_may_be_given_in_each_of_four_ways(load_text: Load, text: str, environ: dict[str, str]) -> None:
    loaded = load_text(text, **environ)
    assert secret_of(loaded) == SECRET
    assert loaded.warnings == ()


def test_connection_addresses_are_secrets_too(load_text: Load, tmp_path: Path) -> None:
    dsn = tmp_path / "dsn"
    dsn.write_text("postgresql://u:pw@h/d\n")
    dsn.chmod(0o640)
    loaded = load_text("storage: {postgres_file: dsn}")
    assert loaded.config.storage.postgres.get_secret_value() == "postgresql://u:pw@h/d"
    assert loaded.source_of(("storage", "postgres")) == f"secret file {dsn}"


def test_embedded_in_the_file_is_a_word_and_no_secret(load_text: Load) -> None:
    loaded = load_text("storage: {postgres: embedded}", GATEKEEPER__STORAGE__POSTGRES="postgresql://u:pw@h/d")
    assert loaded.config.storage.postgres.get_secret_value() == "postgresql://u:pw@h/d"


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (f"storage: {{secret: {OTHER}, secret_file: secret.txt}}", {}),
        (f"storage: {{secret: {OTHER}}}", {"GATEKEEPER__STORAGE__SECRET": SECRET}),
        (f"storage: {{secret: {OTHER}}}", {"GATEKEEPER__STORAGE__SECRET_FILE": "secret.txt"}),
        ("storage: {secret_file: secret.txt}", {"GATEKEEPER__STORAGE__SECRET": OTHER}),
        ("storage: {secret_file: secret.txt}", {"GATEKEEPER__STORAGE__SECRET_FILE": "secret.txt"}),
        ("", {"GATEKEEPER__STORAGE__SECRET": OTHER, "GATEKEEPER__STORAGE__SECRET_FILE": "secret.txt"}),
    ],
)
def test_a_secret_given_twice_is_refused(load_text: Load, text: str, environ: dict[str, str]) -> None:
    (fault,) = faults(load_text, text, **environ)
    assert fault.key == "storage.secret"
    assert "given more than once" in fault.message


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"", 0o600, "is empty"),
        (b" \n\n", 0o600, "is empty"),
        (b"a" * 40 + b"\n" + b"b" * 40, 0o600, "more than one line"),
        (b"\xff" * 40, 0o600, "does not hold text"),
        (b"a" * 70_000, 0o600, "larger than"),
        (b"a" * 40, 0o602, "can be changed by everyone"),
        (b"short", 0o600, "has 5 characters, at least 32"),
    ],
)
def test_a_bad_secret_file_is_a_fault(load_text: Load, tmp_path: Path, content: bytes, mode: int, words: str) -> None:
    file = tmp_path / "bad"
    file.write_bytes(content)
    file.chmod(mode)
    (fault,) = faults(load_text, "storage: {secret_file: bad}")
    assert (fault.key, fault.line) == ("storage.secret", 1)
    assert words in fault.message
    (variable,) = faults(load_text, "", GATEKEEPER__STORAGE__SECRET_FILE=str(file))
    assert variable.file == "environment GATEKEEPER__STORAGE__SECRET_FILE"
    assert words in variable.message


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_secret_file_must_be_a_file(load_text: Load, name: str) -> None:
    (fault,) = faults(load_text, f"storage: {{redis_file: {name}}}")
    assert fault.key == "storage.redis"


def test_secrets_that_everyone_can_read_are_warned_of(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").chmod(0o644)
    by_file = load_text("storage: {secret_file: secret.txt}")
    assert "secret.txt" in by_file.warnings[0].message
    in_clear = load_text(f"storage: {{secret: {SECRET}}}", mode=0o644)
    assert "everyone on this machine can read this file" in in_clear.warnings[0].message
    assert load_text("workers: 1", mode=0o644).warnings == ()


@pytest.mark.parametrize("text", ["storage: {secret: 12345}", "storage: {postgres: 'mysql://u:hunter2@h/d'}"])
def test_a_wrong_secret_is_not_repeated(load_text: Load, text: str) -> None:
    (fault,) = faults(load_text, text)
    assert "12345" not in str(fault)
    assert "hunter2" not in str(fault)
