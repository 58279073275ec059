"""Where the stores are: handed from ``supervisor`` (or a command) to ``app``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreAddresses:
    """A libpq URL or DSN and a redis-py URL, both with their passwords."""

    postgres: str = field(repr=False)
    redis: str = field(repr=False)
