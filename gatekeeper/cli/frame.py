"""What all commands share: ``--config`` anywhere, exit codes, one line a fault, no tracebacks. Called as ``main``.

Only the module of the command that was asked for is imported, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NoReturn

GOOD: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

#: Command: its module and what ``gatekeeper --help`` says of it.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("gatekeeper.cli.serve", "run the gate"),
    "check": ("gatekeeper.cli.check", "try everything that the configuration needs, without serving"),
    "config": ("gatekeeper.cli.config_commands", "show, schema, template: the configuration and its documentation"),
    "geo": ("gatekeeper.cli.geo", "the databases of places: status, update"),
    "explain": ("gatekeeper.cli.explain", "which rule decides about a request, and why each other does not"),
    "demo": ("gatekeeper.cli.demo", "a made-up company in an empty database, to see the panel alive"),
    "hash": ("gatekeeper.cli.hash", "the hash of a password, or whether one fits"),
    "logs": ("gatekeeper.cli.logs", "the login log: export, archive, restore"),
    "migrate": ("gatekeeper.cli.migrate", "bring the database up to date"),
    "webhook": ("gatekeeper.cli.webhook", "what waits for webhooks and what was given up: list, retry, drop, test"),
    "audit": ("gatekeeper.cli.audit", "list, verify: who changed what, and whether that is the whole story"),
    "ban": ("gatekeeper.cli.ban", "who may not connect: add, list, lift, history, import, export"),
    "api-key": ("gatekeeper.cli.api_key", "keys for programs: add, list, rotate, revoke"),
    "session": ("gatekeeper.cli.session", "who is signed in: list, revoke"),
    "key": ("gatekeeper.cli.key", "the gate's signing keys: list, rotate, retire"),
    "user": (
        "gatekeeper.cli.user",
        "accounts: add, list, show, passwd, role, lock, unlock, logout, invite, erase",
    ),
}

Subparsers = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for it


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and where to read on."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(WRONG_USE, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Wrong use and ``--help`` raise SystemExit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = build_parser(arguments).parse_args(arguments)
        status = _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has gone; without this the interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, complete for the command that ``arguments`` ask for."""
    parser = Parser(prog="gatekeeper", description="Login, sessions and rules in front of any HTTP service.")
    parser.add_argument("--version", action="version", version=f"gatekeeper {_version()}")
    parser.set_defaults(config=None)
    _add_config(parser)
    subparsers = parser.add_subparsers(dest="command_name", metavar="COMMAND", required=True, title="commands")
    chosen = _chosen(arguments)
    for name, (module, summary) in COMMANDS.items():
        if name == chosen:
            importlib.import_module(module).register(subparsers)
            _complete(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def _chosen(arguments: Sequence[str]) -> str | None:
    """The command among the arguments: the first that is neither an option nor the file of ``--config``."""
    expects_file = False
    for argument in arguments:
        if expects_file:
            expects_file = False
        elif argument == "--config":
            expects_file = True
        elif not argument.startswith("-"):
            return argument
    return None


def _complete(subparsers: Subparsers[Any]) -> None:
    """Let every parser below take ``--config`` too."""
    for parser in subparsers.choices.values():
        _add_config(parser)
        for action in parser._actions:  # noqa: SLF001  # the only way to the parsers of a group
            if isinstance(action, Subparsers):
                _complete(action)


def _add_config(parser: argparse.ArgumentParser) -> None:
    # Not given here must not undo what was given before the command.
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the configuration (default: ./config.yaml, or the defaults where there is none)",
    )


def _run(args: argparse.Namespace) -> int:
    from gatekeeper.errors import ConfigError, GatekeeperError

    mark = getattr(args, "fault_mark", "")
    try:
        loaded = None
        if getattr(args, "needs_config", True):
            from gatekeeper.config.load import load

            loaded = load(args.config, os.environ)
        return int(args.run(args, loaded))
    except ConfigError as error:
        lines = [str(fault) for fault in error.faults]
    except GatekeeperError as error:
        lines = [str(error)]
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line, not a traceback
        lines = [f"unexpected {type(error).__name__}: {error}; GATEKEEPER_DEBUG=1 shows where"]
        if os.environ.get("GATEKEEPER_DEBUG") == "1":
            traceback.print_exc()
    sys.stdout.flush()
    for line in lines:
        print(mark + " ".join(line.splitlines()), file=sys.stderr)
    return FAILED


def _version() -> str:
    try:
        return version("gatekeeper")
    except PackageNotFoundError:
        return "from a source tree"
