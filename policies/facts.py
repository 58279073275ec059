"""``@fact``: a frozen, slotted dataclass that costs what a plain one does.

``dataclass(frozen=True)`` sets every field through ``object.__setattr__``, which makes the dozen facts of one request
cost more than the decision about it. So type checkers see a frozen class, and at run time it is one nobody assigns
to. Used for what is made on every request; elsewhere write ``dataclass(frozen=True, slots=True)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def fact(cls: type[_Class]) -> type[_Class]:
    """The decorator."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
