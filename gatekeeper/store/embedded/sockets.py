"""The folder of the servers' unix sockets: ``data_dir/run``, or one under /tmp where that path does not do.

Used by ``gatekeeper.store.embedded``. Whoever could put a folder of their own in its place would be sent passwords,
so its owner and mode are looked at each time.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from gatekeeper.errors import StartupError
from gatekeeper.store.embedded.account import Account, is_private, private_folder, read_private, write_private

_LONGEST: Final = 103  # bytes of a socket's path: 107 on Linux, 103 on macOS
_NAME: Final = ".s.PGSQL.5432"  # the longest name in it
_RECORD: Final = "socket-folder"


def make(data_dir: Path, account: Account) -> Path:
    """The folder, made if it is not there."""
    usual = data_dir / "run"
    if _is_usable(usual):
        return private_folder(usual, account)
    if found := _recorded(data_dir, account):
        return found
    folder = Path(tempfile.mkdtemp(prefix="gatekeeper-", dir="/tmp"))  # $TMPDIR may be long; 0700, own name
    os.chown(folder, account.uid, account.gid)
    write_private(data_dir / _RECORD, f"{folder}\n")
    return folder


def find(data_dir: Path, account: Account) -> Path | None:
    """The folder that a running gate uses, if there is one that can be trusted."""
    usual = data_dir / "run"
    if not _is_usable(usual):
        return _recorded(data_dir, account)
    with suppress(FileNotFoundError):
        if is_private(usual, account):
            return usual
        raise StartupError(f"{usual} must be a folder of {account.name} that nobody else may enter")
    return None


def remove(data_dir: Path, folder: Path) -> None:
    """Leave nothing behind under /tmp."""
    if folder.parent != data_dir:
        with suppress(OSError):
            folder.rmdir()
            (data_dir / _RECORD).unlink()


def _is_usable(folder: Path) -> bool:
    return len(os.fsencode(folder / _NAME)) <= _LONGEST and "," not in str(folder)  # libpq: a list of hosts


def _recorded(data_dir: Path, account: Account) -> Path | None:
    folder = Path((read_private(data_dir / _RECORD) or "").strip() or "/nonexistent")
    with suppress(OSError):
        if is_private(folder, account):
            return folder
    return None
