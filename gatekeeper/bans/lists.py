"""Bans as plain lists: one a line, as people keep them and as public blocklists come. Called by ``gatekeeper ban``.

``SUBJECT [until=TIME] [# reason]``, with tabs or blanks in between; ``;`` begins a comment too. Lines of nothing but a
comment are none. What is written here is read here; what is read holds also for lists of other makers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gatekeeper.errors import GatekeeperError
from policies.bans import AGENT_PREFIX, LONGEST_REASON, Ban, BanKind

MOST_BYTES: Final = 10 << 20
MOST_LINES: Final = 100_000

_FAULTS_SHOWN: Final = 20

_BY_TAB: Final = re.compile(r"(?P<subject>[^\t]+)(?:\tuntil=(?P<until>[^\t]*))?(?:\t#(?P<reason>.*))?")
_BY_BLANK: Final = re.compile(r"(?P<subject>[^\s#;]+)(?:\s+until=(?P<until>\S+))?(?:\s*[#;](?P<reason>.*))?")
# A pattern may hold blanks and semicolons, as user agents do.
_AGENT: Final = re.compile(r"(?P<subject>.+?)(?:\s+until=(?P<until>\S+))?(?:\s+#(?P<reason>.*))?")


class BadList(GatekeeperError):
    """A list of which nothing is taken; ``faults`` are its first mistakes, a line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = len(faults) - _FAULTS_SHOWN
        self.faults = (*faults[:_FAULTS_SHOWN], *([f"and {more} more mistakes"] if more > 0 else []))
        super().__init__("; ".join(self.faults))


@dataclass(frozen=True, slots=True)
class Line:
    """One ban of a list as it was written; ``until`` in Unix seconds; None: not said."""

    number: int
    subject: str
    until: float | None = None
    reason: str | None = None


def read(content: bytes) -> list[Line]:
    """The bans of a list. Raises BadList."""
    if len(content) > MOST_BYTES:
        raise BadList([f"is larger than {MOST_BYTES >> 20} MiB; split it"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadList(["is no text in UTF-8"]) from None
    faults: list[str] = []
    lines: list[Line] = []
    for number, raw in enumerate(text.split("\n"), 1):
        given = raw.strip()
        if not given or given[0] in "#;":
            continue
        if len(lines) >= MOST_LINES:
            raise BadList([f"holds more than {MOST_LINES} bans; split it"])
        try:
            lines.append(_line(number, given))
        except ValueError as fault:
            faults.append(f"line {number}: {fault}")
    if faults:
        raise BadList(faults)
    return lines


def write(ban: Ban) -> str:
    """A ban as a line, without its end."""
    subject = ban.subject.text
    if ban.subject.kind is BanKind.AGENT:
        subject = f"{AGENT_PREFIX}{subject}"
    elif ban.subject.kind is BanKind.USER:
        subject = ban.label or f"user:{subject}"
    until = "" if ban.until is None else f"\tuntil={datetime.fromtimestamp(ban.until, UTC).isoformat()}"
    reason = _clean(ban.reason)
    if reason:
        return f"{subject}{until}\t# {reason}"
    # A tab, so that nothing of the subject is taken for a comment.
    return f"{subject}{until}\t#" if set(subject) & set(" #;") else f"{subject}{until}"


def heading(now: float) -> Iterator[str]:
    """What stands above an exported list."""
    yield f"# bans in force at {datetime.fromtimestamp(now, UTC).isoformat(timespec='seconds')}"
    yield "# SUBJECT [until=TIME] [# reason]"


def _line(number: int, given: str) -> Line:
    form = _BY_TAB if "\t" in given else _AGENT if given.lower().startswith(AGENT_PREFIX) else _BY_BLANK
    # Tabs of another maker are as good as blanks.
    match = form.fullmatch(given) or (_BY_BLANK.fullmatch(given) if form is _BY_TAB else None)
    if match is None:
        raise ValueError("is not SUBJECT [until=TIME] [# reason]")
    return Line(number, match["subject"].strip(), _until(match["until"]), _clean(match["reason"] or "") or None)


def _clean(reason: str) -> str:
    """As the reason of a ban must be: a comment is nobody's mistake."""
    return "".join(char if char.isprintable() else " " for char in reason).strip()[:LONGEST_REASON]


def _until(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"until={text[:40]} is no time such as 2026-03-01T22:30:00+01:00") from None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
