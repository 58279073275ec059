"""``make bench``: sets up what it needs, measures the gate beside its peers, prints and stores what it saw.

    .venv/bin/python benchmarks/run.py [--quick] [--only forward,websocket] [--source CHECKOUT]

One core for the system under test, the other for the load, the upstream and the stores. Systems take turns, round by
round; medians and ratios count, since absolute figures belong to this machine at this hour. benchmarks/README.md
says how each figure is measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two short rounds: for development, not for the record")
    parser.add_argument("--only", default="", help="parts to run, separated by commas; default: all")
    parser.add_argument("--source", type=Path, default=HOME.parent, help="the checkout whose gate is measured")
    parser.add_argument(
        "--patience", type=float, default=0.0, metavar="SECONDS", help="wait so long for a quiet machine before a round"
    )
    parser.add_argument(
        "--untuned", action="store_true", help="peers as they come, without settings that speed them up"
    )
    args = parser.parse_args()
    sys.path.insert(1, str(args.source.resolve()))
    from gatebench.peers import Tuning
    from gatebench.plan import run_plan
    from gatebench.processes import Quiet

    Quiet.patience, Tuning.on = args.patience, not args.untuned

    return run_plan(quick=args.quick, only=[part for part in args.only.split(",") if part])


if __name__ == "__main__":
    sys.exit(main())
