"""``gatekeeper key``: the keys that sign tokens. Every change is in the audit log as ``cli:<user>``.

A rotation publishes the new key before it signs, and lets the old one verify until the last token that it signed is
over (security 13). Retiring one is for a key that somebody else may have.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gatekeeper.app.parts import KEYS_EVERY
from gatekeeper.bootstrap import secret_of
from gatekeeper.cli.arguments import duration, whoami
from gatekeeper.cli.stores import Desk, carry_out
from gatekeeper.cli.tables import print_rows
from gatekeeper.clock import as_datetime
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.errors import Refused
from gatekeeper.journal.audit import Change
from gatekeeper.store.accounts import PostgresKeys
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.signing_keys import PostgresKeyRotation
from gatekeeper.tokens import assertion
from gatekeeper.tokens.codec import CLOCK_SKEW
from gatekeeper.tokens.keyring import SealedKey, generate

LEAD: Final = 600.0  # seconds: clients may keep jwks.json for 300, and gates look for new keys
PURPOSES: Final = ("access", "assertion")


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a key command works with."""

    keys: PostgresKeys
    rotation: PostgresKeyRotation
    journal: PostgresJournal
    config: Config
    secret: str
    now: float

    def made(self, purpose: str, not_before: float) -> SealedKey:
        """A new key of this purpose."""
        algorithm = self.config.tokens.algorithm if purpose == "access" else "EdDSA"
        return generate(algorithm, purpose, self.secret, self.now, not_before=not_before)

    def life(self, purpose: str) -> float:
        """Seconds for which a token of this purpose may be shown after it was signed."""
        return CLOCK_SKEW + (self.config.tokens.access_ttl if purpose == "access" else float(assertion.LIFE))

    async def note(self, action: str, kid: str, after: dict[str, object]) -> None:
        """The entry in the audit log."""
        await self.journal.record_change(Change(self.now, f"cli:{whoami()}", action, kid, None, after))


Command = Callable[[_Desk, argparse.Namespace], Awaitable[None]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("key", help="the gate's signing keys: list, rotate, retire")
    commands = group.add_subparsers(dest="key_command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="every key, newest first; never its private half")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    listing.set_defaults(run=run, command=_list)
    summary = "publish a new key now, sign with it after a while, and let the old one verify until its tokens are over"
    rotate = commands.add_parser("rotate", help=summary, description=summary)
    rotate.add_argument("--purpose", choices=PURPOSES, default="access", help="what it signs (default: access)")
    rotate.add_argument(
        "--lead", type=duration, default=LEAD, metavar="D", help="after how long it signs (default: 10m)"
    )
    rotate.set_defaults(run=run, command=_rotate)
    summary = "end a key at once: what it signed is refused; another takes its place where none signs"
    retire = commands.add_parser("retire", help=summary, description=summary)
    retire.add_argument("kid", metavar="KID", help="as `key list` shows it; after -- where it begins with a dash")
    retire.set_defaults(run=run, command=_retire)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Carry out one command; 0 good. Faults are raised for ``main`` to print."""

    async def work(desk: Desk) -> None:
        keys, rotation = PostgresKeys(desk.postgres), PostgresKeyRotation(desk.postgres)
        secret = secret_of(desk.config.storage)
        await args.command(_Desk(keys, rotation, desk.journal, desk.config, secret, desk.now), args)

    return carry_out(work, loaded)


async def _list(desk: _Desk, args: argparse.Namespace) -> None:
    keys = sorted(await desk.keys.load(), key=lambda key: -key.not_before)
    print_rows([_row(key, keys, desk.now) for key in keys], as_json=args.json)


def _row(key: SealedKey, keys: list[SealedKey], now: float) -> dict[str, object]:
    return {
        "kid": key.kid,
        "purpose": key.purpose,
        "algorithm": key.algorithm,
        "state": _state(key, keys, now),
        "created": _time(key.created_at),
        "signs_from": _time(key.not_before),
        "retired": _time(key.retired_at),
    }


def _state(key: SealedKey, keys: list[SealedKey], now: float) -> str:
    if key.retired_at is not None and key.retired_at <= now:
        return "retired"
    if key.not_before > now:
        return "published"
    same = [other for other in keys if other.purpose == key.purpose and other.not_before <= now]
    newest = max(
        (one for one in same if one.retired_at is None or one.retired_at > now), key=lambda one: one.not_before
    )
    return "signs" if newest is key else "verifies"


async def _rotate(desk: _Desk, args: argparse.Namespace) -> None:
    starts = desk.now + args.lead
    made = desk.made(args.purpose, starts)
    until = starts + desk.life(args.purpose)
    waiting = await desk.rotation.rotate(made, until=until, now=desk.now)
    if waiting is not None:
        raise Refused(f"a rotation is under way: {waiting} is published and does not sign yet; `key list` says when")
    await desk.note("key.rotate", made.kid, {"purpose": made.purpose, "signs_from": _time(starts)})
    print(made.kid, flush=True)
    print(f"it signs from {_time(starts)} on; the others verify until {_time(until)}", file=sys.stderr)
    if args.lead < LEAD:
        print("that is soon: who keeps jwks.json for 5 minutes may not know it by then", file=sys.stderr)


async def _retire(desk: _Desk, args: argparse.Namespace) -> None:
    key = next((key for key in await desk.keys.load() if key.kid == args.kid), None)
    if key is None or (key.retired_at is not None and key.retired_at <= desk.now):
        raise Refused(f"there is no key {args.kid} that is in use")
    made = desk.made(key.purpose, desk.now)
    replaced = await desk.rotation.retire(key.kid, made, desk.now)
    await desk.note("key.retire", key.kid, {"purpose": key.purpose, "successor": made.kid if replaced else None})
    print(f"retired {key.kid}; what it signed is refused within {KEYS_EVERY:g} s")
    if replaced:
        print(f"{made.kid} signs in its place", file=sys.stderr)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else as_datetime(seconds).isoformat(timespec="seconds")
