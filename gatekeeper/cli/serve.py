"""``gatekeeper serve``: hands over to the supervisor."""

from __future__ import annotations

import argparse

from gatekeeper.config.load import LoadedConfig


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    summary = "run the gate: start embedded servers if configured, migrate, serve until SIGTERM or Ctrl-C"
    parser = subparsers.add_parser("serve", help="run the gate", description=summary)
    parser.add_argument(
        "--example-upstream", action="store_true", help="also run an upstream that echoes what reaches it as JSON"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """Serve until told to stop."""
    from gatekeeper.supervisor import serve

    return serve(loaded, example_upstream=bool(args.example_upstream))
