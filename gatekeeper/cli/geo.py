"""``gatekeeper geo``: the databases of places: what is in use, and putting a newer file in its place."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import aiohttp

from gatekeeper.app.places import open_places
from gatekeeper.cli.tables import print_rows
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.errors import Refused
from gatekeeper.notify.outbound import Outbound
from geo.lookup import BUNDLED, Database, DatabaseError

MOST: Final = 1 << 30  # bytes of a database, unpacked
_PATIENCE: Final = 600.0  # seconds for a download
_CHUNK: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"


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
        description="Tries FILE or https URL (an mmdb file, gzipped or not), then puts it where geo.database says.",
    )
    update.add_argument("source", metavar="FILE-or-URL")
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
        with draft.open("wb") as out:
            _fetch(args.source, out, loaded.config)
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


def _fetch(source: str, out: BinaryIO, config: Config) -> None:
    scheme = urlsplit(source).scheme
    if scheme in {"http", "https"}:
        if scheme != "https":
            raise Refused("only https URLs are fetched: whoever is on the way could send another database")
        asyncio.run(_download(source, _Unpacked(out), config))
        return
    with Path(source).open("rb") as file:
        unpacked = _Unpacked(out)
        while chunk := file.read(_CHUNK):
            unpacked.write(chunk)
        unpacked.end()


async def _download(url: str, out: _Unpacked, config: Config) -> None:
    outbound = Outbound(config.notify.allow_private)
    refused = outbound.refused(url)
    if refused is not None:
        raise Refused(refused)
    try:
        async with outbound.session(_PATIENCE) as session, session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise Refused(f"{urlsplit(url).hostname} answered {answer.status}")
            async for chunk in answer.content.iter_chunked(_CHUNK):
                out.write(chunk)
    except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
        raise Refused(f"{urlsplit(url).hostname} cannot be asked: {str(fault) or 'no answer in time'}") from None
    out.end()


class _Unpacked:
    """Writes what it gets, unpacked where it is gzip (RFC 1952), and never more than MOST."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0
        self._began = False
        self._gzip: zlib._Decompress | None = None

    def write(self, chunk: bytes) -> None:
        """Raises Refused for what is broken or too large."""
        if not self._began:
            self._began = True
            if chunk.startswith(_GZIP):
                self._gzip = zlib.decompressobj(wbits=31)
        if self._gzip is None:
            self._keep(chunk)
            return
        try:
            while chunk:
                self._keep(self._gzip.decompress(chunk, _CHUNK * 16))
                chunk = self._gzip.unconsumed_tail
        except zlib.error:
            raise Refused("the gzip data is damaged; nothing was changed") from None

    def end(self) -> None:
        """Nothing more comes. Raises Refused for what was cut off."""
        if self._gzip is not None and not self._gzip.eof:
            raise Refused("the gzip data is cut off; nothing was changed")

    def _keep(self, data: bytes) -> None:
        self._written += len(data)
        if self._written > MOST:
            raise Refused(f"that is more than {MOST >> 30} GiB; nothing was changed")
        self._out.write(data)
