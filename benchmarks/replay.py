"""``python benchmarks/replay.py [--users 200] [--seed 1] [--database full]``: a year of logins with twelve planted
attacks, and what the signals make of it, as the confusion table of the README. ``--database`` is what is known of
addresses: ``full``, ``places`` without networks, or only ``countries``.
"""

from __future__ import annotations

import argparse

from year.replay import Database, replay, table, year


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", type=Database, choices=list(Database), default=Database.FULL, metavar="KNOWS")
    args = parser.parse_args()
    print(table(replay(year(args.users, args.seed, args.database))))


if __name__ == "__main__":
    main()
