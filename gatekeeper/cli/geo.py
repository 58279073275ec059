"""``gatekeeper geo``: the databases of places: what is in use, and putting a newer file in its place."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gatekeeper.app.places import open_places
from gatekeeper.cli.download import fetch, take_member
from gatekeeper.cli.tables import print_rows
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.errors import Refused
from geo.lookup import BUNDLED, Database, DatabaseError

_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    parser = subparsers.add_parser("geo", help="the databases of places")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    status = commands.add_parser("status", help="which databases are in use, how old they are and what they know")
    status.add_argument("--json", action="store_true", help="JSON lines")
    status.set_defaults(run=_status)
    update = commands.add_parser(
        "update",
        help="put a newer database in place; running gates take it up by themselves",
        description="Tries FILE or https URL (an mmdb file, gzipped or not, or a tar archive with one), then puts it"
        " where geo.database says.",
    )
    update.add_argument("source", metavar="FILE-or-URL")
    update.add_argument("--sha256", metavar="HEX", type=_digest, help="what the file must be, as it is published")
    update.add_argument("--member", metavar="NAME", help="which file is meant, of an archive with several")
    update.add_argument("--asn", action="store_true", help="for geo.asn_database")
    update.set_defaults(run=_update)


def _status(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    geo = loaded.config.geo
    finder = open_places(geo)
    try:
        rows = [_row("geo.database", geo.database, finder.places)]
        if finder.networks is not None:
            rows.append(_row("geo.asn_database", str(geo.asn_database), finder.networks))
        print_rows(rows, as_json=args.json)
        if "latitude" not in finder.places.covers() and not args.json:
            print("Without positions impossible travel is not evaluated, and maps show the middle of countries.")
    finally:
        finder.close()
    return 0


def _row(key: str, name: str, database: Database) -> dict[str, object]:
    known = sorted(database.covers() - {"longitude"})
    return {
        "key": key,
        "file": name,
        "kind": database.kind,
        "built": database.built.isoformat(),
        "knows": known,
        "attribution": database.attribution,
    }


def _update(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    target = _target(loaded.config, asn=args.asn)
    with _draft(target) as draft:
        fetch(args.source, draft, loaded.config, digest=args.sha256)
        take_member(draft, ".mmdb", args.member)
        try:
            found = Database(draft)
        except DatabaseError as problem:
            raise Refused(str(problem).replace(str(draft), args.source)) from None
        known, built = found.covers(), found.built
        found.close()
        wanted = "asn" if args.asn else "country"
        if wanted not in known:
            raise Refused(f"{args.source} knows no {'networks' if args.asn else 'countries'}; nothing was changed")
        draft.chmod(0o644)
        draft.replace(target)  # running gates have the old file open, which lives on until they look
    print(f"{target}: built {built.isoformat()}; running gates take it up within seconds")
    return 0


def _target(config: Config, *, asn: bool) -> Path:
    key, value = ("geo.asn_database", config.geo.asn_database) if asn else ("geo.database", config.geo.database)
    if value is None or value == BUNDLED:
        raise Refused(f"set {key} to the path of a file of your own first; that is where the update goes")
    return Path(value)


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A file beside the target, so that the rename is one step; it is gone afterwards in any case."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as fault:
        raise Refused(f"{target.parent}: {fault.strerror}") from None
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
    except OSError as fault:
        raise Refused(f"{fault.filename or target}: {fault.strerror or fault}") from None
    finally:
        draft.unlink(missing_ok=True)


def _digest(text: str) -> str:
    if _SHA256.fullmatch(text) is None:
        raise argparse.ArgumentTypeError("64 hexadecimal digits are needed")
    return text
