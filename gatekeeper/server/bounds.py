"""What one client connection may take. Shared by ``server.lane`` and ``server.connection``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds and bytes that one connection may take."""

    head: float
    body_idle: float
    idle: float
    max_fields: int
    max_head: int
    max_body: int
