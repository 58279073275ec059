"""Static files, and refusals as pages."""

import re
from pathlib import Path

import pytest
from forms import Browser, text_of
from gates import OneGate, running_gate

import admin
import gatekeeper.pages
from gatekeeper.pages.theme import Theme

PACKAGES = [Path(package.__file__).parent for package in (gatekeeper.pages, admin)]
TEMPLATES = sorted(path for package in PACKAGES for path in package.glob("templates/*.html"))


@pytest.fixture
def browser(gate):
    return Browser(gate)


class TestStaticFiles(OneGate):
    """Files beside the pages."""

    async def test_every_file_that_a_page_names_is_served_and_kept_for_ever(self, browser):
        page = await (await browser.get("/_gate/login")).text()
        addresses = re.findall(r'(?:href|src)="(/_gate/static/[^"]+)"', page)
        assert len(addresses) == 3
        for address in addresses:
            answer = await browser.get(address)
            assert answer.status == 200
            assert (
                answer.content_type
                == {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[address.rpartition(".")[2]]
            )
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_another_versions_style_sheet_is_answered_but_not_kept(self, browser):
        answer = await browser.get("/_gate/static/gate.000000000000.css")
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")

    @pytest.mark.parametrize(
        "name", ["gate.css", "none.000000000000.css", "x", ".", "..%2Fviews.py", "gate.1.css.py", "%00"]
    )
    async def test_nothing_else_is_served_from_the_folder(self, browser, name):
        """security 1"""
        answer = await browser.get(f"/_gate/static/{name}")
        assert answer.status in {400, 404}
        assert "import" not in await answer.text()


async def test_a_changed_file_has_another_address(tmp_path, monkeypatch):
    (tmp_path / "skin/static").mkdir(parents=True)
    (tmp_path / "skin/templates").mkdir()
    (tmp_path / "skin/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    addresses = set()
    for body in ("a {}", "b {}"):
        (tmp_path / "skin/static/skin.css").write_text(body)
        theme = Theme(prefix="/_gate", public_url="http://127.0.0.1:8080", packages=["skin"])
        addresses.add(theme.address_of("skin.css"))
    assert len(addresses) == 2


async def test_two_gates_in_one_process_have_their_own_pages(gate, browser, postgres_dsn, redis_url, tmp_path):
    """Compiled templates are all that they share."""
    before = await (await browser.get("/_gate/login")).text()
    own = {"prefix": "/door", "pages": {"brand": "Harbour"}}
    async with running_gate(postgres_dsn, redis_url, tmp_path, **own) as other:
        page = await (await Browser(other).get("/door/login")).text()
    assert "Harbour" in page
    assert 'action="/door/login"' in page
    assert "/_gate" not in page
    assert await (await browser.get("/_gate/login")).text() == before


async def test_a_refusal_is_a_page_with_a_way_on(browser):
    answer = await browser.get("/_gate/setup/none")
    assert (answer.status, answer.content_type, answer.headers["X-Gate-Reason"]) == (404, "text/html", "not-found")
    assert "Nothing here" in await text_of(answer)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_needs_more_than_the_policy_allows(template):
    """security 22: no inline script or style, nothing marked as safe, nothing from elsewhere"""
    source = template.read_text()
    assert not re.search(r"<script(?! (?:type=\"module\" )?src=\"\{\{ asset)|<style", source)
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:", source)
    assert not re.search(r"\|\s*safe\b|autoescape\s+false|Markup", source)
    assert not re.search(r"(?:href|src|action)=\"(?:https?:)?//", source)
    # A translated text counts as markup, so what is looked up must be a text of ours (new style gettext).
    assert not re.search(r"\b_\((?!\s*[\"'])", source)


@pytest.mark.parametrize(
    "sheet", sorted(path for package in PACKAGES for path in package.glob("static/*.css")), ids=str
)
def test_no_style_sheet_asks_for_anything_from_elsewhere(sheet):
    assert not re.search(r"url\(|@import", sheet.read_text())


def _luminance(colour):
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("text", "surface", 7),
        ("muted", "surface", 4.5),
        ("muted", "ground", 4.5),
        ("muted", "sunken", 4.5),
        ("accent", "surface", 4.5),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-strong", 4.5),
        ("danger", "danger-soft", 4.5),
        ("danger", "surface", 4.5),
        ("good", "good-soft", 4.5),
        ("warn", "warn-soft", 4.5),
        ("field-line", "surface", 3),
        ("focus", "surface", 3),
        ("focus", "ground", 3),
    ],
)
def test_text_and_edges_stand_out_in_both_schemes(scheme, front, back, least):
    """WCAG 2.2, 1.4.3 and 1.4.11"""
    sheet = (PACKAGES[0] / "static/gate.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in sheet.split("@media", 2)[:2])
    colours = light if scheme == "light" else {**light, **dark}
    high, low = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= least
