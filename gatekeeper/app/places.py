"""The databases of places in one worker: opened at the start, opened anew when others stand at their paths.

Called by ``gatekeeper.app.build`` and by the commands that look places up.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gatekeeper.config.geo import Geo
from gatekeeper.errors import StartupError
from geo.lookup import DatabaseError, PlaceFinder

LOOK_EVERY: Final = 2.0  # seconds

_log = logging.getLogger("gatekeeper.geo")


def open_places(geo: Geo) -> PlaceFinder:
    """Raises StartupError, which names the file."""
    try:
        return PlaceFinder.open(geo.database, geo.asn_database)
    except DatabaseError as problem:
        raise StartupError(f"geo: {problem}") from None


async def keep_places(places: PlaceFinder) -> None:
    """Look for other files, for ever, until cancelled. What cannot be used is said once and changes nothing."""
    said = ""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        said = look(places, said)


def look(places: PlaceFinder, said: str = "") -> str:
    """One look; what was wrong, if it is to be said only once."""
    try:
        if places.reload_if_changed():
            _log.info("database of places opened anew", extra={"built": places.database_date.isoformat()})
    except DatabaseError as problem:
        if str(problem) != said:
            _log.warning("the database of places stays the old one: %s", problem)
        return str(problem)
    return ""
