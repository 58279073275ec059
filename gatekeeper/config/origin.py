"""Where the values of a configuration come from: the supervisor knows and workers show it. Part of ``handover``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from gatekeeper.config.load import LoadedConfig


@dataclass(frozen=True, slots=True)
class Origin:
    """``file`` is None where there is none; ``sources`` are by key path, as ``LoadedConfig`` has them; ``waiting`` are
    keys that the file has other values for, which only a restart puts in force.
    """

    file: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()

    @classmethod
    def of(cls, loaded: LoadedConfig, waiting: tuple[str, ...] = ()) -> Self:
        """What was loaded says."""
        return cls(None if loaded.file is None else str(loaded.file.absolute()), loaded.sources, waiting)

    def as_data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"file": self.file, "sources": dict(self.sources), "waiting": list(self.waiting)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``as_data``."""
        return cls(data["file"], data["sources"], tuple(data["waiting"]))


UNKNOWN: Final = Origin()
