"""admin.listen: which addresses and origins the panel may have of its own."""

import pytest

from gatekeeper.config.checks import contradictions
from gatekeeper.config.model import Config
from gatekeeper.config.paths import show_path

HTTPS = {"public_url": "https://gate.example.org", "trusted_proxies": ["127.0.0.1"]}


def _said(admin, **more):
    config = Config.model_validate({"admin": admin, **more})
    return [(show_path(path), message) for path, message in contradictions(config)]


@pytest.mark.parametrize(
    ("admin", "more", "url"),
    [
        ({}, {}, "http://127.0.0.1:8080"),
        ({"listen": "127.0.0.1:9443"}, {}, "http://127.0.0.1:9443"),
        ({"listen": "[::1]:9443"}, {}, "http://[::1]:9443"),
        ({"listen": "127.0.0.1:80"}, {}, "http://127.0.0.1"),
        ({"listen": "0.0.0.0:9443", "public_url": "https://a.example.org"}, HTTPS, "https://a.example.org"),
        (
            {"listen": {"address": "10.0.0.5:443", "tls": True}},
            {**HTTPS, "tls": {"cert": "/x.pem"}},
            "https://10.0.0.5",
        ),
    ],
)
def test_the_panels_origin_is_what_is_said_or_follows_from_the_address(admin, more, url):
    assert _said(admin, **more) == []
    assert Config.model_validate({"admin": admin, **more}).panel_url == url


@pytest.mark.parametrize(
    ("admin", "more", "key", "words"),
    [
        ({"public_url": "https://a.example.org"}, HTTPS, "admin.public_url", "is for admin.listen, which is not set"),
        ({"listen": "0.0.0.0:9443"}, {}, "admin.listen", "stands for every address"),
        ({"listen": "[::]:9443"}, {}, "admin.listen", "stands for every address"),
        ({"listen": "127.0.0.1:8080"}, {}, "admin.listen", "is listened on already"),
        ({"listen": "127.0.0.1:8081"}, {}, "admin.listen", "is listened on already"),
        ({"listen": "127.0.0.1:9443"}, HTTPS, "admin.listen", "which cookies follow"),
        (
            {"listen": "127.0.0.1:9443", "public_url": "http://127.0.0.1:1"},
            HTTPS,
            "admin.public_url",
            "write https://...",
        ),
        ({"listen": "10.0.0.5:9443"}, {}, "admin.listen", "http is only for loopback"),
        (
            {"listen": "127.0.0.1:9443", "public_url": "http://127.0.0.1:8080"},
            {},
            "admin.public_url",
            "is public_url itself",
        ),
        (
            {"listen": {"address": "127.0.0.1:9443", "tls": True}},
            HTTPS,
            "admin.listen.tls",
            "needs a certificate: set tls.cert",
        ),
        (
            {"listen": {"address": "127.0.0.1:9443", "proxy_protocol": True}},
            {},
            "admin.listen.proxy_protocol",
            "needs trusted_proxies",
        ),
    ],
)
def test_what_cannot_be_is_a_fault_that_names_the_key(admin, more, key, words):
    found = _said(admin, **more)
    assert [(path, words in message) for path, message in found] == [(key, True)], found


def test_an_upstream_cannot_be_the_panels_listener():
    upstreams = {"api": {"targets": ["http://127.0.0.1:9443"]}}
    ((key, message),) = _said({"listen": "127.0.0.1:9443"}, upstreams=upstreams)
    assert (key, "is where the gate itself listens" in message) == ("upstreams.api.targets[0]", True)
