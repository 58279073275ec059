"""config.yaml, docs/config.md and the schema say what the models say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gatekeeper.config.document import parse
from gatekeeper.config.load import load
from gatekeeper.config.model import Config
from gatekeeper.config.paths import Key, keys
from gatekeeper.config.template import default_values, flow, reference, schema, template

ROOT = Path(__file__).resolve().parents[3]


def test_config_yaml_is_what_the_template_command_writes() -> None:
    assert (ROOT / "config.yaml").read_text() == template()


def test_docs_config_md_is_what_the_reference_command_writes() -> None:
    assert (ROOT / "docs" / "config.md").read_text() == reference()


def test_config_yaml_loads_and_equals_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    documented = load(ROOT / "config.yaml", {}).config
    monkeypatch.chdir(tmp_path)
    default = load(None, {}).config
    assert documented.storage.data_dir == ROOT / "data"
    moved = default.storage.model_copy(update={"data_dir": documented.storage.data_dir})
    place = {"storage": moved}
    assert documented.model_copy(update=place).model_dump() == default.model_copy(update=place).model_dump()


def all_keys() -> list[tuple[str, Key]]:
    found: list[tuple[str, Key]] = []
    for key in keys(Config):
        found.append((key.name, key))
        for section in (key.section, key.named_section, key.listed_section):
            if section is not None:
                found += [(f"{key.name}.{inner.name}", inner) for inner in keys(section)]
    return found


@pytest.mark.parametrize(("name", "key"), all_keys(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_key_is_documented(name: str, key: Key) -> None:
    assert key.description, name
    words = " ".join(key.description.split())
    assert words in template()
    assert words.replace("|", "\\|") in reference()


def test_the_template_has_one_comment_line_above_each_key() -> None:
    lines = template().splitlines()
    for at, line in enumerate(lines):
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "-")) and stripped != "api:":
            assert lines[at - 1].strip().startswith("#"), line


def test_the_schema_knows_every_key_and_writes_defaults_as_the_file_does() -> None:
    made = schema()
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(made["properties"]) == {key.name for key in keys(Config)}
    tokens = made["$defs"]["Tokens"]["properties"]
    assert tokens["access_ttl"]["default"] == "15m"
    storage = made["$defs"]["Storage"]["properties"]
    assert storage["postgres"]["default"] == "embedded"
    assert {"postgres_file", "redis_file", "secret_file"} <= set(storage)
    json.dumps(made)


def test_other_yaml_readers_read_the_template_alike() -> None:
    assert yaml.safe_load(template()) == parse(template()).value == default_values()


@pytest.mark.parametrize(
    "text", ["a", "a b", "5", "true", "", "a: b", "[x", "x, y", "#x", "*", "/**", "~", " a", "null", "'"]
)
def test_text_in_flow_form_reads_as_the_same_text(text: str) -> None:
    assert parse(flow({"k": [text]})).value == {"k": [text]}
