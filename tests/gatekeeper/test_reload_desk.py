"""A worker asks its supervisor to read the configuration again."""

import signal
import subprocess
import sys

ASKS = """
import os
from gatekeeper.reload_desk import ReloadDesk, ask_of_parent
desk = ReloadDesk(request=ask_of_parent())
assert desk.ask()
"""
ORPHAN = """
import os, sys
from gatekeeper import reload_desk
request = reload_desk.ask_of_parent()
reload_desk.os.getppid = lambda: 1
request()
"""


def _hung_up(script):
    heard = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: heard.append(number))
    try:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    finally:
        signal.signal(signal.SIGHUP, before)
    return heard


def test_whoever_has_started_it_hears_a_hang_up():
    assert _hung_up(ASKS) == [signal.SIGHUP]


def test_nobody_else_hears_it_once_that_one_is_gone():
    assert _hung_up(ORPHAN) == []
