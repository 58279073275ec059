"""Networks in files of their own: what is a list of them, and what is none."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from gatekeeper.config.networks import (
    LARGEST,
    BadNetworks,
    NetworkFile,
    all_listed,
    all_networks,
    files_of,
    parse_listed,
    parse_networks,
)

LIST = """\ufeff# edge nodes, as published
173.245.48.0/20
  103.21.244.0/22   # Asia

2400:cb00::/32
192.0.2.1
"""


def test_one_network_a_line_with_comments(tmp_path: Path) -> None:
    (tmp_path / "cdn.txt").write_text(LIST)
    entries = [ip_network("10.0.0.0/8"), NetworkFile(tmp_path / "cdn.txt")]
    found = [str(network) for network in all_networks(entries)]
    assert found == ["10.0.0.0/8", "173.245.48.0/20", "103.21.244.0/22", "2400:cb00::/32", "192.0.2.1/32"]
    assert files_of(entries) == [tmp_path / "cdn.txt"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.0/8\n10.0.0.1/8\n", ":2: a network in CIDR"),
        ("<html>not found</html>\n", ":1: a network in CIDR"),
        ("\n# nothing\n", "holds no network"),
        ("", "holds no network"),
        ("10.0.0.0/8\n" * (LARGEST // 10), "more than 1 MiB"),
    ],
)
def test_what_is_no_list_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "cdn.txt").write_text(text)
    with pytest.raises(BadNetworks, match=words) as bad:
        NetworkFile(tmp_path / "cdn.txt").read()
    assert str(bad.value).startswith(str(tmp_path / "cdn.txt"))
    assert "html" not in str(bad.value)


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(BadNetworks, match=r"missing\.txt: No such file or directory"):
        NetworkFile(tmp_path / "missing.txt").read()


@pytest.mark.parametrize("value", ["file:", "file: ", "file://host/x", "file:a\0b", 7, None, "10.0.0.1/8"])
def test_anything_else_is_no_entry(value: object) -> None:
    with pytest.raises(ValueError, match="network"):
        parse_networks(value)


def test_a_list_of_systems_and_networks_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "exits.txt").write_text("185.220.100.7  # an exit\nAS64500\n2001:db8::/32\n")
    entries = [
        parse_listed(entry) for entry in (64501, "AS64502", "64503", "192.0.2.0/24", f"file:{tmp_path}/exits.txt")
    ]
    found = all_listed(entries)
    networks = [ip_network(text) for text in ("192.0.2.0/24", "185.220.100.7", "2001:db8::/32")]
    assert found == [64501, 64502, 64503, networks[0], networks[1], 64500, networks[2]]
    assert files_of(entries) == [tmp_path / "exits.txt"]


@pytest.mark.parametrize(
    "entry", [0, -1, True, 1.5, 1 << 32, "AS0", "AS99999999999", "ASX", "10.0.0.1/8", "file:", None]
)
def test_what_is_no_system_and_no_network_is_refused(entry: object) -> None:
    with pytest.raises(ValueError, match=r"needed|number from|is written"):
        parse_listed(entry)


def test_a_bad_line_in_a_list_of_systems_is_said_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "exits.txt").write_text("AS64500\nAS0\n")
    with pytest.raises(BadNetworks, match=r"exits\.txt:2: "):
        all_listed([parse_listed(f"file:{tmp_path}/exits.txt")])
