"""How the panel says times and devices. Used in templates (as ``words``) and in its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from babel import Locale

from gatekeeper.clock import as_datetime
from gatekeeper.journal.questions import Area
from geo.device import find_device
from policies.anomalies import WEIGHTS, Signal

_LONGEST_DEVICE: Final = 60
_ENGLISH: Final = Locale("en")
_STEPS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


def rfc3339(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, for ``datetime`` attributes and JSON."""
    return as_datetime(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock_time(seconds: float) -> str:
    """Unix seconds as people read them, in UTC: ``2026-03-01 09:30:12``."""
    return as_datetime(seconds).strftime("%Y-%m-%d %H:%M:%S")


def distance(seconds: float, now: float) -> str:
    """How far off in time: ``4 min ago``, ``in 29 d``."""
    span = abs(seconds - now)
    for size, unit in _STEPS:
        if span >= size:
            count = f"{int(span // size)} {unit}"
            return f"{count} ago" if seconds < now else f"in {count}"
    return "just now" if seconds <= now else "in a moment"


def device(user_agent: str) -> str:
    """A user agent in a few words: ``Chrome 131 on Windows``; what is not known is shown as sent, shortened."""
    found = find_device(user_agent)
    if found.program and found.system:
        return f"{found.program} on {found.system}"
    return found.program or found.system or _shortened(user_agent)


def _shortened(text: str) -> str:
    if not text.strip():
        return "Unknown"
    return text if len(text) <= _LONGEST_DEVICE else f"{text[: _LONGEST_DEVICE - 1]}…"


def span(seconds: float) -> str:
    """A length of time: ``4 min``, ``29 d``."""
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def gravest_first(signals: Iterable[str]) -> list[str]:
    """Names of signals, those that weigh most by default first; a name of another release is last."""
    weights = {signal.value: WEIGHTS.get(signal, 0) for signal in Signal}
    return sorted(signals, key=lambda signal: (-weights.get(signal, -1), signal))


def brief(number: int) -> str:
    """A number in little room: ``950``, ``20k``, ``1.5M``."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def country_name(code: str) -> str:
    """What people call a country of ISO 3166."""
    return str(_ENGLISH.territories.get(code, code))


def area(part: Area) -> str:
    """A part of the map: ``47.1 to 47.6° N, 8.2 to 8.9° E``."""
    return f"{_edges(part.south, part.north, 'N', 'S')}, {_edges(part.west, part.east, 'E', 'W')}"


def _edges(low: float, high: float, above: str, below: str) -> str:
    if low >= 0:
        return f"{low:g} to {high:g}° {above}"
    if high <= 0:
        return f"{-high:g} to {-low:g}° {below}"
    return f"{-low:g}° {below} to {high:g}° {above}"


def facts(value: object) -> str:
    """Anything that JSON can hold, in a line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{str(name).replace('_', ' ')} {facts(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(facts, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value)
