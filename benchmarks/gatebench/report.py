"""What was seen, for people and programs: tables on the terminal and as Markdown, and a plot as SVG."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that the design sets; ``value`` None where it could not be measured."""

    what: str
    value: float | None
    sign: str
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it was, or None."""
        compare = operator.ge if self.sign == ">=" else operator.le
        return None if self.value is None else bool(compare(self.value, self.bound))

    def row(self) -> list[str]:
        """As a row of the table of goals."""
        verdict = {True: "yes", False: "no", None: "not measured"}[self.met]
        seen = "-" if self.value is None else f"{self.value:.3g}{self.unit}"
        return [self.what, f"{self.sign} {self.bound:g}{self.unit}", seen, verdict]


@dataclass(slots=True)
class Part:
    """One part of the benchmark: a table, what it says of the goals, and every single figure."""

    title: str
    columns: Sequence[str] = ()
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def row(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append([str(cell) for cell in cells])


def plain(part: Part) -> str:
    """For a terminal."""
    widths = [max(len(row[n]) if n < len(row) else 0 for row in [part.columns, *part.rows]) for n in _columns(part)]
    lines = [part.title]
    for row in [list(part.columns), *part.rows]:
        cells = [
            cell.rjust(width) if _is_figure(cell) else cell.ljust(width) for n, (cell, width) in _wide(row, widths)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, *(f"  {note}" for note in part.notes)])


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell in {"-", ""}


def _columns(part: Part) -> range:
    return range(len(part.columns))


def _wide(row: Sequence[str], widths: Sequence[int]) -> Any:
    return enumerate(zip(row, widths, strict=False))


def markdown(parts: Sequence[Part]) -> str:
    """For the README and the results."""
    blocks = []
    for part in parts:
        lines = [f"### {part.title}", ""]
        if part.rows:
            lines.append("| " + " | ".join(part.columns) + " |")
            lines.append("|---|" + "---:|" * (len(part.columns) - 1))
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in part.rows]
            lines.append("")
        lines += [f"{note}  " for note in part.notes]
        blocks.append("\n".join(lines).rstrip())
    return "\n\n".join(blocks) + "\n"


def goals(parts: Sequence[Part]) -> Part:
    """All goals in one table."""
    table = Part("Goals of the design", ["what", "goal", "seen", "met"])
    table.rows = [goal.row() for part in parts for goal in part.goals]
    return table


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the plot."""

    name: str
    value: float
    own: bool = False


_WIDTH, _LEFT, _ROW, _TOP = 760, 250, 30, 56


def svg(bars: Sequence[Bar], caption: str) -> str:
    """Requests a second as horizontal bars; readable on light and dark pages."""
    height = _TOP + _ROW * len(bars) + 34
    most = max((bar.value for bar in bars), default=1.0) or 1.0
    room = _WIDTH - _LEFT - 90
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<style>text { font: 14px system-ui, sans-serif; fill: #1f2933 } .end { text-anchor: end }</style>",
        f"<title>Requests a second through one core: {escape(caption)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        '<text x="20" y="32" style="font-size: 17px; font-weight: 600">Requests a second through one core</text>',
    ]
    for number, bar in enumerate(bars):
        y, width = _TOP + _ROW * number, max(2.0, room * bar.value / most)
        colour, style = ("#0f766e", ' style="font-weight: 600"') if bar.own else ("#9aa5b1", "")
        lines += [
            f'<text class="end" x="{_LEFT - 10}" y="{y + 16}"{style}>{escape(bar.name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="22" rx="3" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 8:.1f}" y="{y + 16}"{style}>{bar.value:,.0f}</text>',
        ]
    lines.append(f'<text x="20" y="{height - 12}" style="font-size: 12px">{escape(caption)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
