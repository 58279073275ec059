"""What a client is, by its User-Agent. Used by the pages and the panel, never on the way of a forwarded request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ua_parser import parse

_OTHER: Final = "Other"
_LONGEST: Final = 512  # characters that are looked at


@dataclass(frozen=True, slots=True)
class Device:
    """``program`` such as ``Chrome 131``, ``system`` such as ``Windows``; None where the text does not say."""

    program: str | None = None
    system: str | None = None


@lru_cache(maxsize=4096)
def find_device(user_agent: str) -> Device:
    """Program and system that a User-Agent names."""
    found = parse(user_agent[:_LONGEST])
    system = found.os.family if found.os and found.os.family != _OTHER else None
    agent = found.user_agent
    if agent is None or agent.family == _OTHER:
        return Device(None, system)
    return Device(f"{agent.family} {agent.major}" if agent.major else agent.family, system)
