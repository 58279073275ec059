"""The command line. ``main`` is the entry point of ``gatekeeper`` and ``python -m gatekeeper``.

A command module has ``register(subparsers)``, which adds a parser with ``set_defaults(run=...)``, and that
``run(args, loaded) -> int``: 0 good, 1 failed, 2 wrong use. A new one is one line in ``frame.COMMANDS``.
"""

from gatekeeper.cli.frame import main

__all__ = ["main"]
