"""``gatekeeper check``: tries everything that the configuration needs, without serving.

One line an item: ``ok`` and ``warn`` on standard output, ``FAULT`` on standard error; exit 0, or 1 with a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

from gatekeeper.cli import doors, findings, geo_findings, sample
from gatekeeper.cli.factor_findings import factors
from gatekeeper.cli.findings import Finding, Level, fault, ok, warn
from gatekeeper.cli.issuer_findings import issuers
from gatekeeper.cli.log_findings import login_log
from gatekeeper.cli.mail_findings import mail, outbox
from gatekeeper.cli.sample import Sample
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED, Storage
from gatekeeper.config.show import mask
from gatekeeper.errors import GatekeeperError, StartupError
from gatekeeper.store.embedded import embedded_servers
from gatekeeper.store.migrate import migrate
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.redis import CommandRefused, Redis

REDIS_PATIENCE = 3.0  # seconds to connect, and for each call


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    summary = (
        "Try everything that the configuration needs, without serving: its values, the secret, certificates, the"
        " database of places, names of upstreams, listening addresses, PostgreSQL and Redis; and say what a request is"
        " taken for. Exit 0, or 1 with a FAULT."
    )
    parser = subparsers.add_parser("check", help="try everything that the configuration needs", description=summary)
    sample.add_arguments(parser)
    parser.add_argument("--send-to", metavar="ADDRESS", help="also send a mail there, by the configured server")
    parser.set_defaults(run=run, fault_mark=f"{Level.FAULT} ")


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Print every finding; 1 where one is a fault."""
    failed = False
    for finding in inspect(loaded, sample.of(args), args.send_to):
        failed = failed or finding.level is Level.FAULT
        sys.stdout.flush()
        print(finding, file=sys.stderr if finding.level is Level.FAULT else sys.stdout)
    return 1 if failed else 0


def inspect(loaded: LoadedConfig, own: Sample | None = None, send_to: str | None = None) -> Iterator[Finding]:
    """Every finding, with ``own`` as the sample request; ``send_to`` gets a mail.

    The ports come before the stores, whose lock a command holds while it runs them.
    """
    config = loaded.config
    return chain(
        findings.configuration(loaded),
        findings.address(config),
        doors.way_in(config),
        findings.secret(config),
        login_log(config),
        geo_findings.places(config),
        geo_findings.listed(config),
        findings.look(config),
        findings.upstreams(config),
        factors(config),
        issuers(config),
        mail(config, send_to),
        doors.certificates(config),
        doors.trusted(config),
        sample.samples(config, own),
        doors.ports(config),
        stores(config.storage),
    )


def stores(storage: Storage) -> Iterator[Finding]:
    """PostgreSQL and Redis answer, and are fit for use; embedded ones are started where no gate runs them."""
    postgres, redis = storage.postgres.get_secret_value(), storage.redis.get_secret_value()
    with ExitStack() as held:
        try:
            embedded = held.enter_context(
                embedded_servers(storage.data_dir, postgres=postgres == EMBEDDED, redis=redis == EMBEDDED, attach=True)
            )
        except StartupError as problem:
            yield fault("storage", str(problem))
            return
        places = embedded.addresses
        yield from asyncio.run(_postgres(places.postgres or postgres, mask(postgres)))
        yield from asyncio.run(_redis(places.redis or redis, mask(redis)))


async def _postgres(dsn: str, shown: str) -> list[Finding]:
    try:
        postgres = Postgres(dsn, size=1)
        try:
            await postgres.open()
            pending = await migrate(dsn, dry_run=True)
            waiting = [] if pending else await outbox(postgres)
        finally:
            await postgres.close()
    except GatekeeperError as problem:
        return [fault("postgres", f"{shown}: {problem}")]
    words = f"{len(pending)} to be applied at the next start" if pending else "up to date"
    return [ok("postgres", f"{shown} answers; migrations: {words}"), *waiting]


async def _redis(url: str, shown: str) -> list[Finding]:
    redis = Redis(url, timeout=REDIS_PATIENCE, connect_timeout=REDIS_PATIENCE)
    try:
        await redis.open()
        policy = await redis.eviction_policy()
    except CommandRefused as problem:
        return [warn("redis", f"{shown} answers, but does not tell its maxmemory-policy: {problem}")]
    except GatekeeperError as problem:
        return [fault("redis", f"{shown}: {problem}")]
    finally:
        await redis.close()
    if policy != "noeviction":
        why = "it may drop sessions and revocations; set it to noeviction"
        return [fault("redis", f"{shown}: maxmemory-policy is {policy}: {why}")]
    return [ok("redis", f"{shown} answers; maxmemory-policy noeviction")]
