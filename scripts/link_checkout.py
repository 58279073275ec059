"""Put this checkout into the running interpreter's venv, with the `gatekeeper` command. Run by scripts/setup.sh.

An editable install without a build backend: hatchling is needed to build a wheel, not to run what lies here.
"""

from __future__ import annotations

import shlex
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A shell's exec, not a #! with the interpreter: that has a length limit and cannot hold blanks.
COMMAND = """#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
import sys

from gatekeeper.cli import main

sys.exit(main())
"""


def link() -> None:
    """Write the path file and the command."""
    paths = sysconfig.get_paths()
    (Path(paths["purelib"]) / "gatekeeper-checkout.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    command = Path(paths["scripts"]) / "gatekeeper"
    command.write_text(COMMAND.format(python=shlex.quote(sys.executable)), encoding="utf-8")
    command.chmod(0o755)


if __name__ == "__main__":
    link()
