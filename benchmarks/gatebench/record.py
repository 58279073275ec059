"""The record: what each part said when it last ran at full size, with its date and the gate's version.

Kept as results/newest.json; results/newest.md and newest.svg are made from it, for the README. Used by gatebench.plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gatebench.report import Bar, Goal, Part, goals, markdown, svg

_NAME = "newest.json"
_TABLE = ("title", "columns", "rows", "notes", "data")


def keep(folder: Path, about: Mapping[str, Any], parts: Mapping[str, Part], bars: Sequence[Bar]) -> list[Path]:
    """Put what was measured into the record in ``folder``; what could not be measured leaves there what stood.

    ``about`` has ``date``, ``machine``, ``versions`` and ``bounds``. Returns the files that were written.
    """
    folder.mkdir(exist_ok=True)
    place = folder / _NAME
    record = json.loads(place.read_text()) if place.exists() else {"parts": {}, "bars": []}
    for name, part in parts.items():
        if "why_not" not in part.data:
            record["parts"][name] = {"about": about, **asdict(part)}
    if bars:
        record["bars"] = [asdict(bar) for bar in bars]
    contents = {_NAME: json.dumps(record, indent=1) + "\n", "newest.md": _text(record), "newest.svg": _plot(record)}
    for name, content in contents.items():
        (folder / name).write_text(content)
    return [folder / name for name in contents]


def _text(record: Mapping[str, Any]) -> str:
    everything = []
    for entry in record["parts"].values():
        about = entry["about"]
        seen = (
            f"Seen on {about['date']}, gate {about['versions']['gate']}, load before {about['machine']['load before']}."
        )
        part = Part(**{name: entry[name] for name in _TABLE}, goals=[Goal(**goal) for goal in entry["goals"]])
        part.notes = [*part.notes, seen]
        everything.append(part)
    machines = {json.dumps(_same(entry["about"]["machine"])) for entry in record["parts"].values()}
    heads = ["\n".join(f"- {name}: {value}" for name, value in json.loads(one).items()) for one in sorted(machines)]
    return "\n\n".join(["# Benchmark", *heads, markdown([*everything, goals(everything)])])


def _same(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in machine.items() if name != "load before"}


def _plot(record: Mapping[str, Any]) -> str:
    entry = record["parts"].get("forward")
    said = (
        f"{entry['about']['machine']['processor']}, one core for each system, {entry['about']['date']}" if entry else ""
    )
    return svg([Bar(**bar) for bar in record["bars"]], said)
