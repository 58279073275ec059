"""One call of the JSON API, as ``openapi`` describes it. Listed in ``openapi`` and ``factor_operations``."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: its path below the prefix, what it takes (JSON, or a ``form``) and answers."""

    method: str
    path: str
    summary: str
    answers: dict[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    secured: bool = False
    refusals: tuple[int, ...] = ()
    form: bool = False
