"""The forms of addresses, each refused in words that say what to write instead."""

from __future__ import annotations

import pytest

from gatekeeper.config import forms


def words(check: object, value: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        check(value)  # type: ignore[operator]
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://app.example.org",
            "https://app.example.org:8443",
            "https://[2001:db8::1]",
            "https://xn--caf-dma.test",
        ),
        *("http://127.0.0.1:8080", "http://127.8.9.1", "http://[::1]:8080", "http://localhost:3000"),
    ],
)
def test_good_public_urls_are_taken(url: str) -> None:
    assert forms.check_public_url(url) == url


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://app.example.org", "write https://app.example.org"),
        ("http://10.0.0.1:8080", "only for loopback"),
        ("http://localhost.example.org", "only for loopback"),
        ("http://127.0.0.1.example.org", "only for loopback"),
        ("http://0.0.0.0:8080", "only for loopback"),
        ("https://app.example.org/", "leave the slash at the end out"),
        ("https://app.example.org/app", "no path"),
        ("https://app.example.org?x", "no path, no query"),
        ("https://app.example.org#", "no path, no query"),
        ("https://u:p@app.example.org", "no user"),
        ("https://app.example.org:443", "leave :443 out"),
        ("http://localhost:80", "leave :80 out"),
        ("https://App.example.org", "lower case"),
        ("https://app.example.org:", "port"),
        ("https://app.example.org:0", "port"),
        ("https://app.example.org:99999", "port"),
        ("https://caf\u00e9.test", "xn--"),
        ("https://*.example.org", "leading labels"),
        ("https://", "an address such as"),
        ("https:app.example.org", "an address such as"),
        ("ftp://app.example.org", "an address such as"),
        ("app.example.org", "an address such as"),
        ("https://a b", "no blank"),
        ("https://a\n", "no blank"),
        ("https://[::1", "port"),
        ("https://1.2.3", "no host name"),
        ("https://a..b", "no host name"),
    ],
)
def test_bad_public_urls_are_refused(url: str, hint: str) -> None:
    """security 21: links, cookies and the issuer are built from it, so it is an origin and nothing more."""
    assert hint in words(forms.check_public_url, url)


@pytest.mark.parametrize(
    "host", ["app.test", "app.test:8443", "*.app.test", "*.app.test:81", "10.0.0.1", "[::1]", "[::1]:8080", "localhost"]
)
def test_good_hosts_are_taken_here_and_by_the_gate(host: str) -> None:
    from gatekeeper.inbound import HostList

    assert forms.check_host(host) == host
    HostList("https://x.test", [host])


@pytest.mark.parametrize(
    "host",
    [
        "http://a",
        "a/b",
        "A.test",
        "a:0",
        "a:080",
        "a:x",
        "a:",
        "::1",
        "*",
        "a.*.test",
        "*a.test",
        "",
        "caf\u00e9",
        "a b",
        "[::1",
    ],
)
def test_bad_hosts_are_refused(host: str) -> None:
    words(forms.check_host, host)


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "0.0.0.0:80", "[::]:8080", "localhost:1", "127.0.0.1:0"])
def test_good_listening_addresses_are_taken(address: str) -> None:
    assert forms.check_listen(address) == address


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("8080", "host:port is needed"),
        (":8080", "127.0.0.1:8080 for this machine only"),
        ("127.0.0.1", "127.0.0.1:8080"),
        ("::1:8080", "in brackets"),
        ("[::1]", "[::1]:8080"),
        ("127.0.0.1:70000", "port"),
        ("127.0.0.1:x", "port"),
        ("http://127.0.0.1:80", "brackets"),
    ],
)
def test_bad_listening_addresses_are_refused(address: str, hint: str) -> None:
    assert hint in words(forms.check_listen, address)


@pytest.mark.parametrize("prefix", ["/_gate", "/auth/gate", "/a-b.c~d"])
def test_good_prefixes_are_taken(prefix: str) -> None:
    assert forms.check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["", "/", "_gate", "/_gate/", "//a", "/a/../b", "/.", "/a b", "/%41", "/a?", "/*"])
def test_bad_prefixes_are_refused(prefix: str) -> None:
    words(forms.check_prefix, prefix)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9000", "https://api.internal", "http://[::1]:9", "http://api", "unix:/run/api.sock"]
)
def test_good_targets_are_taken(target: str) -> None:
    assert forms.check_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        *(
            "http://a/",
            "http://a/v1",
            "http://a?x",
            "http://a#x",
            "http://u@a",
            "a:9000",
            "127.0.0.1:9000",
            "tcp://a:1",
        ),
        *("unix:", "unix:/", "unix:a", "unix://run/x", "unix:/" + "a" * 110, "http://a:0", "http://a:x", ""),
    ],
)
def test_bad_targets_are_refused(target: str) -> None:
    words(forms.check_target, target)


def test_every_target_that_is_taken_can_be_dialled() -> None:
    from gatekeeper.upstream.messages import TargetAddress

    for target in ("http://127.0.0.1:9000", "https://api.internal", "http://[::1]:9", "unix:/run/api.sock"):
        address = TargetAddress.parse(forms.check_target(target))
        assert forms.target_place(target) == (None if address.path else (address.host, address.port))


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (forms.check_postgres, "postgresql://u:p@h/d", "mysql://u:hunter2@h"),
        (forms.check_postgres, "embedded", "host=h password=hunter2"),
        (forms.check_redis, "rediss://:p@h:1/0", "http://hunter2@h"),
        (forms.check_redis, "unix:///run/r.sock", "hunter2"),
        (forms.check_secret, "x" * 32, "hunter2" * 4),
    ],
)
def test_bad_secrets_are_refused_without_being_repeated(check: object, good: str, bad: str) -> None:
    assert check(good) == good  # type: ignore[operator]
    assert "hunter2" not in words(check, bad)
