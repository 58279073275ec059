"""The databases of places as the panel shows them: what each knows, and whether a newer one is worth looking for.

Used by ``admin.views.config`` and ``admin.views.overview``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from geo.lookup import Database, PlaceFinder

_STALE: Final = 180  # days after which a database of places is worth a newer one


@dataclass(frozen=True, slots=True)
class ShownDatabase:
    """A database of places: the key that names it, what it says it is, its day and the fields that it fills."""

    key: str
    file: str
    kind: str
    built: date
    days: int
    knows: tuple[str, ...]
    attribution: str | None

    @property
    def stale(self) -> bool:
        """Whether a newer one is worth looking for."""
        return self.days > _STALE

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "built": self.built.isoformat(), "knows": list(self.knows)}


def databases(places: PlaceFinder, now: float) -> list[ShownDatabase]:
    """Those in use, that of places first; ``now`` in Unix seconds."""
    today = datetime.fromtimestamp(now, UTC).date()
    named = [("geo.database", places.places), ("geo.asn_database", places.networks)]
    return [_shown(key, database, today) for key, database in named if database is not None]


def _shown(key: str, database: Database, today: date) -> ShownDatabase:
    return ShownDatabase(
        key=key,
        file=str(database.path),
        kind=database.kind,
        built=database.built,
        days=max(0, (today - database.built).days),
        knows=tuple(sorted(database.covers() - {"longitude"})),
        attribution=database.attribution,
    )
