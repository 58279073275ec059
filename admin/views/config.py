"""The configuration in force with secrets masked, what became of the newest file, and the databases of places."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import web

from admin.bodies import settings as bodies
from admin.calls import reads
from admin.guard import Visit
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper import __version__
from gatekeeper.answers import json_answer
from gatekeeper.config.listing import Chapter, chapters
from gatekeeper.config.model import Config
from gatekeeper.config.origin import Origin
from geo.lookup import Database, PlaceFinder

_STALE: Final = 180  # days after which a database of places is worth a newer one
_RANGES: Final = {"set": "What is set", "all": "Everything"}


class Standing(Protocol):
    """How the configuration stands (``reload_desk.ReloadDesk``)."""

    @property
    def good(self) -> bool: ...

    @property
    def at(self) -> float | None: ...

    @property
    def config(self) -> Config: ...

    @property
    def origin(self) -> Origin: ...

    @property
    def faults(self) -> tuple[str, ...]: ...


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


class ConfigViews:
    """``P/admin/config`` and ``P/admin/api/config``, of the worker that answers."""

    def __init__(self, standing: Standing, places: PlaceFinder, renderer: Renderer) -> None:
        self._standing = standing
        self._read: tuple[Config, Origin, list[Chapter]] | None = None
        self._places = places
        self._renderer = renderer

    async def page(self, request: web.Request, visit: Visit) -> web.Response:
        """What is not left at its default; with ``show=all`` every key with its meaning."""
        show = "all" if request.query.get("show") == "all" else "set"
        found = self._chapters()
        context = {
            "chapters": found,
            "given": [one for chapter in found for one in chapter.settings if one.given or one.waiting],
            "folder": _folder(self._standing.origin.file),
            "show": show,
            "ranges": _RANGES,
            "standing": self._standing,
            "version": __version__,
            "databases": self._databases(visit.now),
        }
        return self._renderer.page(request, visit, "config.html", context, here="config")

    @reads("config", "The configuration in force, masked", bodies.Configuration)
    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"version", "file", "good", "since", "faults", "waiting", "settings": [...], "databases": [...]}``."""
        standing = self._standing
        settings = [asdict(one) for chapter in self._chapters() for one in chapter.settings]
        return json_answer(
            {
                "version": __version__,
                "file": standing.origin.file,
                "good": standing.good,
                "since": None if standing.at is None else rfc3339(standing.at),
                "faults": list(standing.faults),
                "waiting": list(standing.origin.waiting),
                "settings": settings,
                "databases": [_row(database) for database in self._databases(visit.now)],
            }
        )

    def _chapters(self) -> list[Chapter]:
        """They are the same until the next reload, and take some milliseconds."""
        config, origin, read = self._standing.config, self._standing.origin, self._read
        if read is None or read[0] is not config or read[1] is not origin:
            read = self._read = config, origin, chapters(config, origin)
        return read[2]

    def _databases(self, now: float) -> list[ShownDatabase]:
        today, places = datetime.fromtimestamp(now, UTC).date(), self._places
        named = [("geo.database", places.places), ("geo.asn_database", places.networks)]
        return [_shown(key, database, today) for key, database in named if database is not None]


def _folder(file: str | None) -> str:
    """What need not be said again of every line of the file."""
    return "" if file is None else f"{Path(file).parent}/"


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


def _row(database: ShownDatabase) -> dict[str, Any]:
    return {**asdict(database), "built": database.built.isoformat(), "knows": list(database.knows)}
