"""deploy/examples and the page about them say the same, and nothing that the gate sends is left out of them."""

import re
from pathlib import Path

import pytest

from gatekeeper.surfaces.identity_headers import IDENTITY

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "deploy" / "examples"
PAGE = ROOT / "docs" / "proxies.md"
ASKING = {
    "nginx/gatekeeper.conf": "/_gate/verify",
    "ingress-nginx/ingress.yaml": "/_gate/verify",
    "caddy/Caddyfile": "/_gate/verify/forward",
    "traefik/dynamic.yml": "/_gate/verify/forward",
    "haproxy/gatekeeper.lua": "/_gate/verify/forward",
    "envoy/envoy.yaml": "/_gate/verify/envoy",
}


@pytest.mark.parametrize("name", ASKING)
def test_each_example_asks_the_right_endpoint_and_hands_on_every_identity_header(name):
    text = (EXAMPLES / name).read_text()
    assert re.search(rf"{ASKING[name]}(?![\w/*])", text)
    for header in IDENTITY:
        assert re.search(rf"\b{header}\b", text, re.IGNORECASE), header


def test_the_page_shows_the_tested_files_as_they_stand():
    shown = dict(re.findall(r"<!-- deploy/examples/(\S+) -->\n+```\w*\n(.*?)```", PAGE.read_text(), re.DOTALL))
    files = {str(path.relative_to(EXAMPLES)): path.read_text() for path in EXAMPLES.rglob("*") if path.is_file()}
    assert shown == files
