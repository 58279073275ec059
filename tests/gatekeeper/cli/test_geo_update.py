"""``gatekeeper geo update`` from a real https server, and out of archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mail_server import own_authority
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from gatekeeper.cli import main


def _database(path: Path, country: str) -> bytes:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test")
    writer.insert_network(IPSet(["5.0.0.0/8"]), {"country_code": country})
    writer.to_db_file(str(path))
    return path.read_bytes()


def _archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    _database(tmp_path / "places.mmdb", "DE")
    (tmp_path / "config.yaml").write_text(
        json.dumps({"geo": {"database": "places.mmdb"}, "notify": {"allow_private": ["127.0.0.0/8"]}})
    )
    return tmp_path


@pytest.fixture
def site(tmp_path):
    """An https server, the addresses of what it has, and the file of its authority."""
    context, authority = own_authority(tmp_path)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", answers, authority
        server.shutdown()
        thread.join()


_CALLS = """
import json, sys
from gatekeeper.cli import main
for call in json.loads(sys.argv[1]):
    print(main(call), flush=True)
"""


def _update(folder: Path, authority: Path, *calls: tuple[str, ...]) -> list[tuple[int, str]]:
    """Status and message of each, in a process of its own: which authorities are trusted is read once."""
    whole = [["--config", str(folder / "config.yaml"), "geo", "update", *call] for call in calls]
    environment = {**os.environ, "SSL_CERT_FILE": str(authority)}
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, json.dumps(whole)], env=environment, capture_output=True, text=True, check=True
    )
    statuses = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
    return list(zip(statuses, [*done.stderr.splitlines(), ""], strict=False))


def test_a_database_is_fetched_over_redirects_and_is_what_it_should_be(folder, site):
    url, answers, authority = site
    fresh = _database(folder / "fresh.mmdb", "FR")
    packed = _archive({"data/LICENSE": b"free", "data/countries.mmdb": fresh})
    answers["/latest"] = (302, {"Location": "/v2/countries.tgz"}, b"")
    answers["/v2/countries.tgz"] = (200, {}, packed)
    digest = hashlib.sha256(packed).hexdigest()
    assert _update(folder, authority, (f"{url}/latest", "--sha256", digest.upper())) == [(0, "")]
    assert (folder / "places.mmdb").read_bytes() == fresh
    assert not list(folder.glob(".places*"))


def test_what_is_not_whole_not_there_or_elsewhere_changes_nothing(folder, site):
    url, answers, authority = site
    before = (folder / "places.mmdb").read_bytes()
    answers["/short"] = (200, {"Content-Length": str(len(before))}, before[:-100])
    answers["/clear"] = (302, {"Location": "http://127.0.0.1/clear"}, b"")
    answers["/inside"] = (302, {"Location": "https://10.0.0.1/x"}, b"")
    answers["/round"] = (302, {"Location": "/round"}, b"")
    answers["/other"] = (200, {}, _database(folder / "other.mmdb", "FR"))
    faults = {
        ("/nowhere",): "127.0.0.1 answered 404",
        ("/short",): "127.0.0.1 cannot be asked",
        ("/clear",): "only https URLs are fetched",
        ("/inside",): "10.0.0.1 is a private address",
        ("/round",): "more than 5 redirects",
        ("/other", "--sha256", "0" * 64): "which is not what was asked for",
    }
    said = _update(folder, authority, *((url + path, *more) for path, *more in faults))
    for (status, line), words in zip(said, faults.values(), strict=True):
        assert (status, words in line) == (1, True), line
    ((_, line),) = _update(folder, folder / "config.yaml", (f"{url}/other",))
    assert "certificate verify failed" in line
    assert (folder / "places.mmdb").read_bytes() == before


@pytest.fixture
def command(folder, capsys):
    def run(*arguments: str) -> tuple[int, str]:
        status = main(["--config", str(folder / "config.yaml"), "geo", "update", *arguments])
        return status, capsys.readouterr().err

    return run


def test_of_an_archive_with_several_one_is_named(command, folder):
    v4, v6 = _database(folder / "a.mmdb", "FR"), _database(folder / "b.mmdb", "IT")
    (folder / "both.tgz").write_bytes(_archive({"x/v4.mmdb": v4, "x/v6.mmdb": v6, "x/../../etc/evil": b""}))
    status, err = command(str(folder / "both.tgz"))
    assert (status, err.rstrip().endswith("which of its .mmdb files is meant: v4.mmdb, v6.mmdb")) == (1, True), err
    assert command(str(folder / "both.tgz"), "--member", "v6.mmdb")[0] == 0
    assert (folder / "places.mmdb").read_bytes() == v6
    assert "v5.mmdb" not in command(str(folder / "both.tgz"), "--member", "v5.mmdb")[1]
    assert "it is no archive" in command(str(folder / "a.mmdb"), "--member", "v6.mmdb")[1]


def test_an_archive_that_is_cut_off_changes_nothing(command, folder):
    before = (folder / "places.mmdb").read_bytes()
    whole = gzip.decompress(_archive({"v4.mmdb": _database(folder / "a.mmdb", "FR")}))
    (folder / "cut.tar").write_bytes(whole[:1500])
    status, err = command(str(folder / "cut.tar"))
    assert (status, "damaged" in err or "not a usable mmdb file" in err) == (1, True), err
    assert (folder / "places.mmdb").read_bytes() == before


def test_a_digest_is_64_digits(command, capsys):
    with pytest.raises(SystemExit):
        command("file", "--sha256", "abc")
    assert "64 hexadecimal digits are needed" in capsys.readouterr().err
