"""What every webhook gets: the payload of the Standard Webhooks, in the gate's form. For messages and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gatekeeper.clock import as_datetime


def envelope(kind: str, name: str, time: float, data: Mapping[str, Any]) -> bytes:
    """``{"type", "id", "time", "data"}`` as JSON; ``time`` in Unix seconds."""
    return orjson.dumps({"type": kind, "id": name, "time": shown_time(time), "data": data})


def shown_time(time: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return as_datetime(time).isoformat(timespec="milliseconds").replace("+00:00", "Z")
