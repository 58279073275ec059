"""``gatekeeper config``: what it prints can be read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatekeeper.cli import main
from gatekeeper.config.load import load
from gatekeeper.config.template import reference


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_template_is_a_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "template"]) == 0
    (folder / "made.yaml").write_text(capsys.readouterr().out)
    assert load(folder / "made.yaml", {}).config == load(None, {}).config


def test_the_reference_is_the_template_in_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "template", "--markdown"]) == 0
    assert capsys.readouterr().out == reference()


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


def test_template_and_schema_need_no_good_configuration(folder: Path) -> None:
    (folder / "config.yaml").write_text("workers: 0\n")
    assert main(["config", "template"]) == 0
    assert main(["config", "schema"]) == 0


def test_show_gives_values_and_sources_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.yaml").write_text("tokens: {access_ttl: 5m}\n")
    monkeypatch.setenv("GATEKEEPER__STORAGE__REDIS", "redis://:hunter2@h/0")
    assert main(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    shown = json.loads(out)
    assert shown["config"]["tokens"]["access_ttl"] == "5m"
    assert shown["sources"]["tokens.access_ttl"] == "config.yaml:1"
    assert shown["sources"]["storage.redis"] == "environment GATEKEEPER__STORAGE__REDIS"
    assert "hunter2" not in out
