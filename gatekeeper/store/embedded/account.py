"""Whose the embedded servers are, and the private files and folders they and the gate share.

PostgreSQL refuses to run as root, so under root both servers run as an unprivileged user.
Used by the rest of ``gatekeeper.store.embedded`` only.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gatekeeper.errors import StartupError

_UNPRIVILEGED: Final = ("postgres", "nobody")
_WAY_OUT: Final = "/var/lib/gatekeeper"
_CHECK_TIMEOUT: Final = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Account:
    """The user that the servers run as; ``switched`` where that is another than the gate's own."""

    uid: int
    gid: int
    switched: bool

    @property
    def name(self) -> str:
        """For messages."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"

    def spawn_options(self) -> dict[str, Any]:
        """What ``subprocess`` needs to start a child as this user."""
        switch = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switched else {}
        return {"umask": 0o077, "cwd": "/", "stdin": subprocess.DEVNULL, **switch}

    def may_pass(self, path: Path) -> bool:
        """Whether this user may enter a folder or run a program; asked of the kernel, as ACLs count too."""
        command = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
        environment = {"PATH": os.defpath}
        options = self.spawn_options()
        return not subprocess.run(command, check=False, env=environment, timeout=_CHECK_TIMEOUT, **options).returncode


def choose(data_dir: Path) -> Account:
    """The gate's own user; under root the owner of what is there already, else ``postgres``, else ``nobody``."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switched=False)
    for folder in (data_dir / "postgres", data_dir / "redis", data_dir):
        try:
            facts = folder.lstat()
        except FileNotFoundError:
            continue
        if facts.st_uid:
            return Account(facts.st_uid, facts.st_gid, switched=True)
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid:
            return Account(entry.pw_uid, entry.pw_gid, switched=True)
    raise StartupError("the embedded servers do not run as root, and there is neither a user postgres nor nobody")


def prepare_data_dir(data_dir: Path) -> None:
    """Make ``data_dir``, for the gate's user alone (under root, others may pass through but not list it)."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"storage.data_dir: {data_dir} cannot be made: {error.strerror}") from None
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise StartupError(f"storage.data_dir: {data_dir} belongs to {_owner(data_dir)} and cannot be written")


def open_the_way(data_dir: Path, account: Account) -> None:
    """Let the servers' user reach ``data_dir``, or raise ``StartupError`` naming the folder that bars it."""
    if not account.switched:
        return
    facts = data_dir.stat()
    if facts.st_uid == 0 and not facts.st_mode & stat.S_IXOTH:
        data_dir.chmod(stat.S_IMODE(facts.st_mode) | stat.S_IXGRP | stat.S_IXOTH)
    if account.may_pass(data_dir):
        return
    bar = next(folder for folder in [*reversed(data_dir.parents), data_dir] if not account.may_pass(folder))
    raise StartupError(
        f"storage.data_dir: under root the embedded servers run as {account.name}, who cannot enter {bar};"
        f" choose another folder: GATEKEEPER__STORAGE__DATA_DIR={_WAY_OUT} make run"
    )


def private_folder(path: Path, account: Account) -> Path:
    """Make, or check, a 0700 folder of the servers' user."""
    try:
        path.mkdir(mode=0o700)
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except FileExistsError:
        if not is_private(path, account):
            raise StartupError(f"{path} must be a folder of {account.name} that nobody else may enter") from None
    except OSError as error:
        raise StartupError(f"{path} cannot be made: {error.strerror}") from None
    return path


def is_private(path: Path, account: Account) -> bool:
    """Whether ``path`` is a real folder, of the servers' user, with mode 0700."""
    facts = path.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == account.uid and stat.S_IMODE(facts.st_mode) == 0o700


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Write a 0600 file, whole or not at all; for the servers' user where ``account`` is given."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if account and account.switched:
                os.fchown(handle, account.uid, account.gid)
            file.write(text)
            file.flush()
            os.fsync(handle)
        new.replace(path)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}") from None


def read_private(path: Path) -> str | None:
    """The text of a file written by ``write_private``; none if it is not there."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{path} cannot be read: {error}") from None


def _owner(path: Path) -> str:
    return Account(path.stat().st_uid, 0, switched=False).name
