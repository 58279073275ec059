"""How the configuration stands in one worker, and how somebody has it read again. Shared by worker, reloader and panel.

Reading is the supervisor's business, as on SIGHUP: what is no good changes nothing, and all workers get the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gatekeeper.config.model import Config
from gatekeeper.config.origin import UNKNOWN, Origin


@dataclass(slots=True)
class ReloadDesk:
    """``good``: the newest configuration that was read is in force, since ``at`` (Unix seconds); else it was refused
    then, for ``faults``, and an older one still is. ``config`` is the one in force, ``origin`` where it comes from.
    ``request`` asks for another look; None where nobody is there to take one.
    """

    good: bool = True
    at: float | None = None
    request: Callable[[], None] | None = None
    config: Config = field(default_factory=Config)
    origin: Origin = UNKNOWN
    faults: tuple[str, ...] = ()

    def note(self, *, good: bool, now: float) -> None:
        """What became of a configuration."""
        self.good, self.at, self.faults = good, now, ()

    def ask(self) -> bool:
        """Have it read again, soon and by whoever does that; False where nobody does."""
        if self.request is None:
            return False
        self.request()
        return True


def ask_of_parent() -> Callable[[], None]:
    """SIGHUP to the process that has started this one, as long as that is still the same."""
    return partial(_hang_up, os.getppid())


def _hang_up(parent: int) -> None:
    if os.getppid() == parent:
        os.kill(parent, signal.SIGHUP)
