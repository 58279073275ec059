"""``gatekeeper webhook``: what waits for the receivers of events, what was given up, and a try by hand."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Sequence
from typing import Final

from gatekeeper.app.mail import webhooks_of
from gatekeeper.cli.stores import attached
from gatekeeper.cli.tables import print_rows
from gatekeeper.clock import SystemClock
from gatekeeper.config.load import LoadedConfig
from gatekeeper.errors import Refused
from gatekeeper.events.event import Event
from gatekeeper.events.hooks import WORTH
from gatekeeper.notify.messages import SendingFailed
from gatekeeper.store.outbox import HookParcel, PostgresOutbox
from gatekeeper.store.postgres import Postgres

_MOST: Final = 1000


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    parser = subparsers.add_parser("webhook", help="what waits for webhooks and what was given up")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    listing = commands.add_parser("list", help="what waits and what was given up, the newest first")
    listing.add_argument("--given-up", action="store_true", help="only what was given up")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=_stored, command=_list)
    for name, command, summary in (
        ("retry", _retry, "send events that were given up again"),
        ("drop", _drop, "forget what was given up"),
    ):
        one = commands.add_parser(name, help=summary, description=summary)
        one.add_argument("ids", metavar="ID", nargs="*", type=_id, help="as `webhook list` shows it")
        one.add_argument("--all", action="store_true", help="all of them")
        one.set_defaults(run=_stored, command=command)
    trying = commands.add_parser("test", help="send an event `test` to a receiver and say what it answers")
    trying.add_argument("url", metavar="URL", help="one of notify.webhooks")
    trying.set_defaults(run=_test)


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no id; `gatekeeper webhook list` shows them") from None


def _stored(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    with attached(loaded) as addresses:
        asyncio.run(_with_outbox(args, addresses.postgres))
    return 0


async def _with_outbox(args: argparse.Namespace, dsn: str) -> None:
    postgres = Postgres(dsn, size=1)
    try:
        await postgres.open()
        await args.command(PostgresOutbox(postgres), args)
    finally:
        await postgres.close()


async def _list(outbox: PostgresOutbox, args: argparse.Namespace) -> None:
    found = await outbox.for_webhooks(_MOST)
    rows = [_row(parcel) for parcel in found if parcel.given_up_at or not args.given_up]
    print_rows(rows, as_json=args.json)


def _row(parcel: HookParcel) -> dict[str, object]:
    return {
        "id": str(parcel.id),
        "event": parcel.kind,
        "receiver": parcel.address,
        "made": f"{parcel.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "state": "given up" if parcel.given_up_at else "waiting",
        "tries": parcel.tries,
        "next_try": None if parcel.given_up_at else f"{parcel.due_at:%Y-%m-%dT%H:%M:%SZ}",
        "fault": parcel.fault,
    }


async def _retry(outbox: PostgresOutbox, args: argparse.Namespace) -> None:
    now = SystemClock.now()
    count = await outbox.retry(await _chosen(outbox, args), now=now, until=now + WORTH)
    print(f"{count} will be sent again by a gate that runs")


async def _drop(outbox: PostgresOutbox, args: argparse.Namespace) -> None:
    print(f"{await outbox.drop(await _chosen(outbox, args))} forgotten")


async def _chosen(outbox: PostgresOutbox, args: argparse.Namespace) -> Sequence[uuid.UUID] | None:
    """The ids, all of which have been given up; None for all. Raises Refused."""
    ids: list[uuid.UUID] = args.ids
    if bool(ids) == args.all:
        raise Refused("name ids or --all; `gatekeeper webhook list --given-up` shows what there is")
    if args.all:
        return None
    known = {parcel.id for parcel in await outbox.for_webhooks(len(ids), ids) if parcel.given_up_at}
    for one in ids:
        if one not in known:
            raise Refused(f"nothing that was given up has the id {one}")
    return ids


def _test(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    webhooks = webhooks_of(loaded.config)
    if webhooks is None or not any(hook.url == args.url for hook in loaded.config.notify.webhooks):
        raise Refused(f"{args.url} is not among notify.webhooks")
    now = SystemClock.now()
    event = Event("test", str(uuid.uuid4()), now, {"text": "a try by hand"})
    try:
        asyncio.run(webhooks.post(args.url, event.id, event.dump(), now))
    except SendingFailed as fault:
        raise Refused(f"{args.url}: {fault}") from None
    print(f"{args.url} took it")
    return 0
