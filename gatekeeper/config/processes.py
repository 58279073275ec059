"""How many workers ``workers`` means. Asked by the supervisor, which starts them, and by what they share out."""

from __future__ import annotations

import os


def worker_count(workers: int | str) -> int:
    """The number; ``auto`` is one for each core that this process may use, which its children inherit."""
    if workers != "auto":
        return int(workers)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
