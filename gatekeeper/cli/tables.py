"""Lists on the command line: a table for people, JSON lines for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson


def print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Rows with the same keys."""
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
        return
    if not rows:
        print("none")
        return
    cells = [[name.upper() for name in rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case True:
            return "yes"
        case False:
            return "no"
        case list():
            return ",".join(str(item) for item in value) or "-"
        case _:
            return "".join(char if char.isprintable() else "\ufffd" for char in str(value))
