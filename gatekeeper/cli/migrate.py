"""``gatekeeper migrate``: brings the database up to date without serving."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    summary = "apply the migrations that the database lacks; `serve` does the same at its start"
    parser = subparsers.add_parser("migrate", help="bring the database up to date", description=summary)
    parser.add_argument("--dry-run", action="store_true", help="only say which would be applied")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Apply or list what is missing, one name a line. Raises StartupError or StoreUnavailable."""
    from gatekeeper.store.migrate import migrate

    with postgres_address(loaded) as dsn:
        names = asyncio.run(migrate(dsn, dry_run=args.dry_run))
    for name in names:
        print(f"{'would apply' if args.dry_run else 'applied'} {name}")
    if not names:
        print("up to date")
    return 0


@contextmanager
def postgres_address(loaded: LoadedConfig) -> Iterator[str]:
    """The configured database, or the embedded one: a running gate's, or started for as long as this lasts."""
    from gatekeeper.errors import StartupError
    from gatekeeper.store.embedded import embedded_servers

    storage = loaded.config.storage
    dsn = storage.postgres.get_secret_value()
    if dsn != EMBEDDED:
        yield dsn
        return
    with embedded_servers(storage.data_dir, postgres=True, redis=False, attach=True) as embedded:
        if embedded.addresses.postgres is None:
            raise StartupError("embedded postgres: it has no address")
        yield embedded.addresses.postgres
