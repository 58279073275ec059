"""A look of one's own: name, logo, colour, style sheet."""

import re

import pytest
from gates import running_gate

from gatekeeper.errors import StartupError
from gatekeeper.pages.brand import BadBrand, Brand, contrast, sheet_of

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script></svg>'


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#ffff00", "#777777", "#e11d48", "#00ff88", "#171b22"])
def test_any_colour_becomes_one_that_can_be_read_in_both_schemes(colour):
    """WCAG 2.2, 1.4.3"""
    light, dark = re.findall(r"--accent: (#\w{6});", sheet_of(colour))
    text_light, text_dark = re.findall(r"--on-accent: (#\w{6});", sheet_of(colour))
    assert contrast(light, "#ffffff") >= 4.5
    assert contrast(light, text_light) >= 4.5
    assert contrast(dark, "#171b22") >= 4.5
    assert contrast(dark, text_dark) >= 4.5


def test_a_readable_colour_is_kept_as_it_is():
    assert "--accent: #b91c1c;" in sheet_of("#b91c1c")


async def test_pages_wear_the_name_the_logo_and_the_sheets(postgres_dsn, redis_url, tmp_path):
    logo, css = tmp_path / "acme.svg", tmp_path / "acme.css"
    logo.write_text(SVG)
    css.write_text(":root { --radius: 0 }")
    pages = {"brand": "Acme & Sons", "logo": str(logo), "colour": "#0a7d33", "css": str(css)}
    async with running_gate(postgres_dsn, redis_url, tmp_path, pages=pages) as gate:
        page = await (await gate.call("GET", "/_gate/login")).text()
        assert "<title>Sign in · Acme &amp; Sons</title>" in page
        sheets = re.findall(r'rel="stylesheet" href="([^"]+)"', page)
        assert [sheet.rpartition("/")[2].partition(".")[0] for sheet in sheets] == ["gate", "brand", "own"]
        assert "#0a7d33" in await (await gate.call("GET", sheets[1])).text()
        image = await gate.call("GET", re.search(r'<img class="mark" src="([^"]+)"', page)[1])
        assert (image.content_type, await image.text()) == ("image/svg+xml", SVG)
        assert "sandbox" in image.headers["Content-Security-Policy"], "opened by itself it runs no script"


@pytest.mark.parametrize(
    ("key", "name", "body", "words"),
    [
        ("logo", "logo.txt", b"x", "is none of .svg"),
        ("logo", "logo.png", None, "cannot be read"),
        ("css", "own.css", None, "cannot be read"),
        ("css", "own.css", b"x" * (513 << 10), "is larger than 512 KiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_key(tmp_path, key, name, body, words):
    file = tmp_path / name
    if body is not None:
        file.write_bytes(body)
    with pytest.raises(BadBrand, match=words) as raised:
        Brand.load(**{key: file})
    assert raised.value.key == key


async def test_a_gate_with_a_bad_look_says_which_key_and_does_not_start(postgres_dsn, redis_url, tmp_path):
    pages = {"logo": str(tmp_path / "none.svg")}
    with pytest.raises(StartupError, match=r"pages\.logo: .* cannot be read"):
        async with running_gate(postgres_dsn, redis_url, tmp_path, pages=pages):
            pass
