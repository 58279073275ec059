"""The panel's scripts and style sheets in the wheel are what their source makes (docs/adr/0008-panel-script.md)."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ADMIN = Path(__file__).parents[2] / "admin"
FRONTEND = ADMIN / "frontend"


def test_the_lock_file_names_what_the_script_is_made_of():
    wanted = json.loads((FRONTEND / "package.json").read_text())
    locked = json.loads((FRONTEND / "package-lock.json").read_text())["packages"]
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert locked[f"node_modules/{name}"]["version"] == version
        assert locked[f"node_modules/{name}"]["integrity"].startswith("sha512-")


def test_the_script_keeps_to_the_policy_of_the_pages():
    """security 22: nothing of it makes inline code, styles or requests elsewhere"""
    script = "".join((ADMIN / "static" / name).read_text() for name in ("panel.js", "map.js"))
    for template in (ADMIN / "templates").iterdir():
        text = template.read_text()
        assert " style=" not in text, template.name
        assert " onclick=" not in text, template.name
        assert "hx-on" not in text, template.name
        assert "|safe" not in text.replace(" ", ""), template.name
    assert "://" not in script.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.full
def test_the_script_in_the_wheel_is_built_of_its_source(tmp_path):
    assert shutil.which("npm"), "npm is not installed"
    shutil.copytree(FRONTEND, tmp_path / "frontend", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "static").mkdir()
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=tmp_path / "frontend", check=True, capture_output=True)
    for name in ("panel.js", "map.js", "panel.css", "map.css", "world.svg", "flags.svg"):
        assert (tmp_path / "static" / name).read_bytes() == (ADMIN / "static" / name).read_bytes(), name


def said(sheet):
    """A style sheet without its comments and what is a matter of layout: blanks, quotes, a last semicolon."""
    return re.sub(r"[\s\"]+|;(?=\s*\})", "", re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL))


def test_the_style_sheets_in_the_wheel_say_what_their_parts_say():
    source = FRONTEND / "src"
    parts = re.findall(r'@import "\./(styles/[a-z-]+\.css)";', (source / "panel.css").read_text())
    assert sorted(parts) == sorted(f"styles/{file.name}" for file in (source / "styles").iterdir())
    for name, of in (("panel.css", parts), ("map.css", ["map.css"])):
        wanted = "".join(said((source / part).read_text()) for part in of)
        assert said((ADMIN / "static" / name).read_text()) == wanted, f"run make panel: {name} is older than its source"


def test_a_flag_is_shapes_under_the_code_of_its_country():
    flags = ET.fromstring((ADMIN / "static" / "flags.svg").read_text())
    assert {"CH", "DE", "JP", "ZA"} < {flag.attrib["id"] for flag in flags}
    parts = {part.tag.rpartition("}")[2] for part in flags.iter()}
    assert parts <= {"svg", "symbol", "g", "path", "circle", "ellipse", "rect", "polygon"}


def test_no_template_of_the_panel_has_the_name_of_a_pages():
    """One loader finds both; the other one would be rendered."""
    pages = ADMIN.parent / "gatekeeper" / "pages" / "templates"
    assert {file.name for file in pages.iterdir()} & {file.name for file in (ADMIN / "templates").iterdir()} == set()
