"""What ``gatekeeper check`` and ``gatekeeper geo status`` say of the databases of places."""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.app.places import open_places
from gatekeeper.cli.findings import Finding, fault, ok, warn
from gatekeeper.config.model import Config
from gatekeeper.errors import StartupError
from gatekeeper.listed import LISTED, read_listed
from geo.lookup import PlaceFinder

NO_POSITIONS = "knows no positions: impossible travel is not evaluated, and maps show the middle of countries"
NO_MOVES = (
    "not known without geo.asn_database: users hear of sessions that move within their country once in"
    " anomalies.moves_told_every"
)


def places(config: Config) -> Iterator[Finding]:
    """The databases open and answer; what cannot be known by them."""
    try:
        finder = open_places(config.geo)
    except StartupError as problem:
        yield fault("geo", str(problem))
        return
    try:
        yield from _known(config, finder)
    finally:
        finder.close()


def listed(config: Config) -> Iterator[Finding]:
    """The networks that listed_network is about."""
    try:
        entries = read_listed(config)
    except StartupError as problem:
        yield fault("listed networks", str(problem))
        return
    if entries:
        yield ok("listed networks", f"{len(entries)} of {LISTED}")
    if any(isinstance(entry, int) for entry in entries) and config.geo.asn_database is None:
        yield warn("listed networks", f"{LISTED} has numbers of systems, which only geo.asn_database can tell")


def _known(config: Config, finder: PlaceFinder) -> Iterator[Finding]:
    covers = finder.places.covers()
    yield ok("geo", f"{config.geo.database}, built {finder.database_date.isoformat()}, knows {_listed(covers)}")
    if "country" not in covers:
        yield warn("places", f"{config.geo.database} knows no countries: rules and signals that ask for them see none")
    if "latitude" not in covers:
        yield warn("places", f"{config.geo.database} {NO_POSITIONS}")
    networks = finder.networks
    if networks is not None:
        if "asn" in networks.covers():
            yield ok("networks", f"{config.geo.asn_database}, built {networks.built.isoformat()}")
        else:
            yield warn("networks", f"{config.geo.asn_database} knows no networks; is it the right file?")
    elif "latitude" not in covers:
        yield warn("networks", NO_MOVES)


def _listed(covers: frozenset[str]) -> str:
    """What people call the fields."""
    names = {"country": "countries", "region": "regions", "city": "cities", "latitude": "positions", "asn": "networks"}
    return ", ".join(name for field, name in names.items() if field in covers) or "nothing"
