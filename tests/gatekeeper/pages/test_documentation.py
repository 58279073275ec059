"""docs/pages.md names every page, every mail and every fact that a template may speak of."""

import re
from pathlib import Path

import pytest
from gates import OneGate

from gatekeeper.notify.messages import FACTS, Kind

TEXT = (Path(__file__).parents[3] / "docs/pages.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| `")]
SEEN = set(FACTS[Kind.PASSWORD_CHANGED])


class TestPages(OneGate):
    async def test_every_page_is_named(self, gate):
        named = {path for row in ROWS for path in re.findall(r"`(/[a-z/-]+)", row.split("|")[1])}
        paths = {route.resource.canonical for route in gate.gatekeeper.app.router.routes() if route.method == "GET"}
        own = {path.removeprefix("/_gate") for path in paths if path.startswith("/_gate/")}
        surfaces = ("/auth", "/admin", "/static", "/verify", "/health", "/openapi", "/jwks", "/metrics", "/.well-known")
        pages = {path for path in own if not path.startswith(surfaces)}
        acts = {path for path in pages if path.startswith("/account/") and path != "/account/factors"}
        assert pages - acts - {"/passkey"} == {path.replace("/setup/", "/setup/{token}") for path in named}


@pytest.mark.parametrize("kind", Kind)
def test_every_mail_is_named_with_what_it_may_speak_of(kind):
    (row,) = (row.split("|") for row in ROWS if f"`{kind}`" in row.split("|")[1])
    said = set(re.findall(r"`([a-z_]+)`", row[3]))
    if "those of `password-changed`" in row[3]:
        said |= SEEN
    assert said == set(FACTS[kind])
