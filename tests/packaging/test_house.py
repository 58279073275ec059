"""The house rules that a machine can hold: CONTRIBUTING.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gatekeeper", "policies", "admin", "geo")
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
)
LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = {
        one.name: size for one in functions if (size := (one.end_lineno or 0) - one.lineno + 1) > LONGEST_FUNCTION
    }
    assert not text or ast.get_docstring(tree), "a docstring says what a module is for and who calls it"
    assert text.count("\n") <= LONGEST_FILE
    assert too_long == {}


def test_every_package_is_typed_and_imports_in_one_direction() -> None:
    contracts = (ROOT / "pyproject.toml").read_text()
    for package in PACKAGES:
        assert f'"{package}"' in contracts
