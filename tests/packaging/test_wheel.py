"""The wheel, built and installed in a clean venv, does in another folder what the checkout does here."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from supervised import PATIENCE, free_port, until

ROOT = Path(__file__).parents[2]
PACKAGES = {"gatekeeper", "policies", "admin", "geo"}
DATA = (".sql", ".lua", ".html", ".css", ".js", ".svg", ".mmdb", ".txt", ".po")
PASSWORD = "correct horse battery 9"
pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the files that git knows, by the build backend of pyproject.toml, without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE * 2)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = out.iterdir()
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel and, by a path file, the dependencies of this one: its ``gatekeeper`` command."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=PATIENCE)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True, timeout=PATIENCE * 2)
    (site,) = venv.glob("lib/python*/site-packages")
    # A path file found by way of a path file is not read, so the checkout that ours may name stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return venv / "bin" / "gatekeeper"


class Elsewhere:
    """A folder that is not the checkout, with a configuration of its own."""

    def __init__(self, folder: Path, command: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._command = command
        config = {
            "listen": [f"127.0.0.1:{self.port}"],
            "public_url": f"http://127.0.0.1:{self.port}",
            "internal_listen": f"127.0.0.1:{free_port()}",
            "workers": 1,
            "storage": {"data_dir": "data"},
            "mfa": {"require_for_roles": []},
            "upstreams": {"api": {"targets": [f"http://127.0.0.1:{free_port()}"]}},
        }
        (folder / "config.yaml").write_text(json.dumps(config))
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(self, *arguments: str, text: str = "") -> str:
        """What a command prints; it must succeed."""
        ended = subprocess.run(
            [str(self._command), *arguments],
            cwd=self.folder,
            env=self.environment,
            input=text,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def serve(self) -> subprocess.Popen[bytes]:
        """The gate with its example upstream, once it is ready."""
        out = self.folder / "out"
        with out.open("wb") as stdout:
            command = [str(self._command), "serve", "--example-upstream"]
            gate = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=stdout, stderr=stdout)
        until(lambda: gate.poll() is not None or "\nPanel: " in out.read_text(), "Ready")
        assert gate.poll() is None, out.read_text()
        return gate


@pytest.fixture
def elsewhere(short_tmp: Path, installed: Path) -> Elsewhere:
    return Elsewhere(short_tmp, installed)


def test_wheel_holds_the_four_packages_and_all_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert len(tops) == len(PACKAGES) + 1
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in DATA and "node_modules" not in path.parts and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert {Path(name).suffix for name in expected} >= {".sql", ".lua", ".html", ".css", ".mmdb"}


def test_installed_elsewhere_it_checks_migrates_and_serves_its_pages(elsewhere: Elsewhere) -> None:
    place = elsewhere.run("config", "show")
    assert "embedded" in place
    elsewhere.run("migrate")
    elsewhere.run("user", "add", "ada@example.com", "--role", "admin", text=f"{PASSWORD}\n")
    gate = elsewhere.serve()
    try:
        elsewhere.run("check")
        with closing(Browser(elsewhere.port)) as browser:
            status, page = browser.get("/_gate/login")
            assert status == 200
            for address in re.findall(r'(?:href|src)="(/_gate/[^"]+\.(?:css|js|svg)[^"]*)"', page):
                assert browser.get(address)[0] == 200, address
            browser.sign_in()
            status, page = browser.get("/_gate/admin/")
            assert status == 200
            assert "ada@example.com" in page
    finally:
        gate.terminate()
        assert gate.wait(PATIENCE) == 0


class Browser:
    """As much of one as a page needs: cookies and a form."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._origin = f"http://127.0.0.1:{port}"
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None, {})

    def sign_in(self) -> None:
        form = urlencode({"email": "ada@example.com", "password": PASSWORD, "next": "/_gate/admin"})
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._origin}
        status, page = self._ask("POST", "/_gate/login", form, fields)
        assert status == 303, page

    def _ask(self, method: str, path: str, body: str | None, fields: dict[str, str]) -> tuple[int, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        self._connection.request(method, path, body, {"Cookie": cookies, "Accept": "text/html", **fields})
        answer = self._connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.status, answer.read().decode()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(autouse=True)
def checkout_stays_clean() -> Iterator[None]:
    """Building leaves nothing in the checkout."""
    before = {path.name for path in ROOT.iterdir()}
    yield
    assert {path.name for path in ROOT.iterdir()} - before <= {".pytest_cache", ".hypothesis"}
