"""The configuration in force with secrets masked, what became of the newest file, and the databases of places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

from aiohttp import web

from admin.bodies import settings as bodies
from admin.calls import reads
from admin.databases import databases
from admin.guard import Visit
from admin.render import Renderer
from admin.wording import rfc3339
from gatekeeper import __version__
from gatekeeper.answers import json_answer
from gatekeeper.config.listing import Chapter, chapters
from gatekeeper.config.model import Config
from gatekeeper.config.origin import Origin
from geo.lookup import PlaceFinder

_RANGES: Final = {"set": "What is set", "all": "Everything"}


#: Of each upstream by name the addresses of its targets, and whether requests go to it.
Targets = Mapping[str, Sequence[tuple[str, bool]]]


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


class ConfigViews:
    """``P/admin/config`` and ``P/admin/api/config``, of the worker that answers."""

    def __init__(
        self, standing: Standing, places: PlaceFinder, upstreams: Callable[[], Targets], renderer: Renderer
    ) -> None:
        self._standing = standing
        self._read: tuple[Config, Origin, list[Chapter]] | None = None
        self._places = places
        self._upstreams = upstreams
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
            "databases": databases(self._places, visit.now),
            "upstreams": self._upstreams(),
        }
        return self._renderer.page(request, visit, "config.html", context, here="config")

    @reads("config", "The configuration in force, masked", bodies.Configuration)
    async def listing(self, _request: web.Request, visit: Visit) -> web.Response:
        """``{"version", "file", "good", "since", "faults", "waiting", "settings", "databases", "upstreams"}``."""
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
                "databases": [database.row() for database in databases(self._places, visit.now)],
                "upstreams": [
                    {"name": name, "targets": [{"address": address, "up": up} for address, up in targets]}
                    for name, targets in self._upstreams().items()
                ],
            }
        )

    def _chapters(self) -> list[Chapter]:
        """They are the same until the next reload, and take some milliseconds."""
        config, origin, read = self._standing.config, self._standing.origin, self._read
        if read is None or read[0] is not config or read[1] is not origin:
            read = self._read = config, origin, chapters(config, origin)
        return read[2]


def _folder(file: str | None) -> str:
    """What need not be said again of every line of the file."""
    return "" if file is None else f"{Path(file).parent}/"
