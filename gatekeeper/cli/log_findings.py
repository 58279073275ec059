"""What ``gatekeeper check`` says of the login log: can it be spooled, and archived where months are to leave?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gatekeeper.app.login_log import FOLDER
from gatekeeper.cli.findings import Finding, fault, ok, warn
from gatekeeper.config.model import Config

_DAY = 86_400.0


def login_log(config: Config) -> Iterator[Finding]:
    """Nothing is made here: folders come with the first record."""
    logs = config.logs
    spool = config.storage.data_dir / FOLDER
    if not _takes_files(spool):
        yield fault("login log", f"{spool} cannot be written to: attempts are kept there before they are answered")
    if logs.retain is None and logs.retain_size is None:
        yield ok("login log", "attempts stay in the database for good (logs.retain)")
        return
    age = f"after {logs.retain / _DAY:g} days" if logs.retain is not None else "when there are too many"
    if logs.archive_to is None:
        yield warn("login log", f"months leave the database {age} and are dropped: logs.archive_to is null")
    elif _takes_files(logs.archive_to):
        yield ok("login log", f"months leave the database {age} for {logs.archive_to}")
    else:
        yield fault("login log", f"{logs.archive_to} cannot be written to, so old months would stay in the database")


def _takes_files(folder: Path) -> bool:
    """Whether files can be put there, the folder made if need be."""
    for one in (folder, *folder.resolve().parents):
        if one.exists():
            return one.is_dir() and os.access(one, os.W_OK | os.X_OK)
    return False
