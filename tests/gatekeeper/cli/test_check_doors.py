"""What ``gatekeeper check`` says of certificates, trusted proxies and the way in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from certificates import Signed, issue

from gatekeeper.cli.doors import certificates, trusted, way_in
from gatekeeper.cli.findings import Level
from gatekeeper.config.model import Config

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Signed:
    return issue(tmp_path, "authority")


def config(*shown: Signed, **settings: Any) -> Config:
    first, *more = [{"cert": one.cert_file, "key": one.key_file} for one in shown]
    defaults = {"public_url": "https://app.example", "listen": [{"address": "127.0.0.1:443", "tls": True}]}
    return Config.model_validate({**defaults, "tls": {**first, "more": more}, **settings})


def said(made: Config) -> list[tuple[str, str, str]]:
    return [(found.level.name, found.item, found.text) for found in certificates(made, NOW.timestamp())]


def test_a_good_certificate_is_ok(tmp_path: Path, authority: Signed) -> None:
    one = issue(tmp_path, "one", by=authority, names=("app.example", "*.app.example"))
    ((level, item, text),) = said(config(one, hosts=["*.app.example"]))
    assert (level, item) == ("OK", "tls.cert")
    assert "for app.example, *.app.example, good until 2100-01-01" in text


@pytest.mark.parametrize(
    ("begins", "ends", "level", "words"),
    [
        (-90, -1, "FAULT", "expired on 2026-05-31"),
        (1, 90, "FAULT", "is not valid before 2026-06-02"),
        (-90, 13, "WARN", "expires on 2026-06-14, in 13 days"),
        (-90, 15, "OK", "good until 2026-06-16"),
    ],
)
def test_its_life_is_looked_at(
    tmp_path: Path, authority: Signed, begins: int, ends: int, level: str, words: str
) -> None:
    life = {"begins": NOW + timedelta(days=begins), "ends": NOW + timedelta(days=ends)}
    ((found, _, text),) = said(config(issue(tmp_path, "one", by=authority, names=("app.example",), **life)))
    assert found == level
    assert words in text


def test_hosts_that_no_certificate_is_for_are_named(tmp_path: Path, authority: Signed) -> None:
    one = issue(tmp_path, "one", by=authority, names=("other.example", "*.two.example"))
    found = said(config(one, hosts=["a.two.example:8443", "a.b.two.example", "*.three.example"]))
    assert [(level, text) for level, _, text in found[1:]] == [
        ("FAULT", "no certificate is for app.example, the host of public_url: browsers will refuse it"),
        ("WARN", "no certificate is for a.b.two.example, which hosts serves"),
        ("WARN", "no certificate is for *.three.example, which hosts serves"),
    ]


def test_a_further_certificate_is_named_by_its_place(tmp_path: Path, authority: Signed) -> None:
    one = issue(tmp_path, "one", by=authority, names=("app.example",))
    two = issue(tmp_path, "two", by=authority, names=("two.example",))
    two.key_file.write_bytes(one.key_file.read_bytes())
    found = said(config(one, two))
    assert found[1][:2] == ("FAULT", "tls.more[0].key")
    assert "does not belong to the certificate" in found[1][2]


def test_a_key_that_everyone_can_read_is_warned_of(tmp_path: Path, authority: Signed) -> None:
    one = issue(tmp_path, "one", by=authority, names=("app.example",))
    one.key_file.chmod(0o644)
    assert ("WARN", "tls.key") in [found[:2] for found in said(config(one))]


def test_a_certificate_for_an_address_covers_that_address_only(tmp_path: Path, authority: Signed) -> None:
    one = issue(tmp_path, "one", by=authority, names=("192.0.2.1", "2001:db8::1"))
    for host, level in (("192.0.2.1", 1), ("[2001:db8::1]", 1), ("192.0.2.2", 2)):
        assert len(said(config(one, public_url=f"https://{host}"))) == level


def test_lists_of_trusted_proxies_are_read(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("10.0.0.0/8\n::1\n")
    (tmp_path / "all.txt").write_text("10.0.0.0/8\n0.0.0.0/0\n")
    entries = [f"file:{tmp_path}/{name}.txt" for name in ("good", "all", "missing")]
    found = list(trusted(Config.model_validate({"trusted_proxies": ["::/0", *entries]})))
    assert [(one.level, one.item) for one in found] == [
        (Level.WARN, "trusted_proxies[0]"),
        (Level.OK, "trusted_proxies[1]"),
        (Level.OK, "trusted_proxies[2]"),
        (Level.WARN, "trusted_proxies[2]"),
        (Level.FAULT, "trusted_proxies[3]"),
    ]


def test_https_without_tls_needs_a_proxy_that_ends_it(tmp_path: Path, authority: Signed) -> None:
    one = issue(tmp_path, "one", by=authority)
    bare = Config.model_validate({"public_url": "https://app.example"})
    assert [found.level for found in way_in(bare)] == [Level.WARN]
    behind = Config.model_validate({"public_url": "https://app.example", "trusted_proxies": ["10.0.0.0/8"]})
    assert list(way_in(behind)) == list(way_in(config(one))) == []
