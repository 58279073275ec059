"""The gate's log: the standard library's loggers, one line an event. Called by supervisor, workers and commands.

JSON lines for machines, readable text for a terminal. A line is one line whatever a client sent (security 28).
Headers, cookies and bodies are nobody's business here: callers log names and numbers.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, TextIO

import orjson

from gatekeeper.observe.lines import LineWriter, escaped

Format = Literal["auto", "json", "text"]
Level = Literal["debug", "info", "warning", "error"]

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST_MESSAGE: Final = 8192  # characters
_QUIET: Final = ("asyncio", "aiohttp", "redis", "aiopg")  # at `debug` they speak of every packet


@dataclass(frozen=True, slots=True)
class Output:
    """Where this process's lines go, and in which form."""

    writer: LineWriter
    format: Literal["json", "text"]


_outputs: list[Output] = []


def configure(format: Format = "auto", level: Level = "info", stream: TextIO | None = None) -> Output:  # noqa: A002  # the name of the key
    """Send the root logger's records to ``stream`` (standard error), without ever waiting for it.

    ``auto`` is text on a terminal, else JSON. Called again, it replaces what it set up before.
    """
    stream = sys.stderr if stream is None else stream
    form: Literal["json", "text"] = ("text" if stream.isatty() else "json") if format == "auto" else format
    close()
    output = Output(LineWriter(stream), form)
    _outputs.append(output)
    handler = _LineHandler(output)
    root = logging.getLogger()
    root.addHandler(handler)
    set_level(level)
    logging.captureWarnings(True)
    return output


def set_level(level: Level) -> None:
    """The least severe level that is written."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))


def output() -> Output:
    """What ``configure`` set up last, or its default."""
    return _outputs[-1] if _outputs else configure()


def close() -> None:
    """Write what waits and leave the root logger as it was found. Also runs at exit."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _LineHandler)]:
        root.removeHandler(handler)
    logging.captureWarnings(False)
    while _outputs:
        _outputs.pop().writer.close()


atexit.register(close)


class _LineHandler(logging.Handler):
    """Makes a line of a record and gives it to the writer; blocks nobody."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._writer = output.writer
        self._render = json_line if output.format == "json" else text_line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self._render(record))
        except Exception:  # noqa: BLE001  # logging's own convention: a bad record never harms its caller
            self.handleError(record)


def json_line(record: logging.LogRecord) -> bytes:
    """The record as one JSON object: time, level, logger, pid, message, its extras, and `exception` as one field."""
    fields: dict[str, Any] = {
        "time": timestamp(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "pid": record.process,
        "message": _message(record),
    }
    for name, value in _extras(record):
        fields.setdefault(name, value)
    trace = _trace(record)
    if trace is not None:
        fields["exception"] = trace
    return dump_line(fields)


def text_line(record: logging.LogRecord) -> bytes:
    """The record for a reader at a terminal; a traceback follows as indented lines."""
    parts = [timestamp(record.created), f"{record.levelname:<7}", record.name, escaped(_message(record))]
    parts.extend(f"{escaped(name)}={escaped(str(value))}" for name, value in _extras(record))
    lines = [" ".join(parts)]
    trace = _trace(record)
    if trace is not None:
        lines.extend(f"    {escaped(line)}" for line in trace.splitlines())
    return ("\n".join(lines) + "\n").encode()


def dump_line(fields: Mapping[str, Any]) -> bytes:
    """A JSON object on one line, in which nothing but plain text stands unescaped."""
    try:
        line = orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates (raw bytes of a request) or a key that is no text
        clean = {escaped(str(name)): escaped(str(value)) for name, value in fields.items()}
        line = orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)
    if line.isascii() and b"\x7f" not in line:
        return line
    return (escaped(line[:-1].decode()) + "\n").encode()


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    return f"{to_the_second(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@lru_cache(maxsize=4)
def to_the_second(seconds: int) -> str:
    """Whole Unix seconds as RFC 3339 in UTC, without the Z."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"


def _extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(record).items() if name not in _STANDARD]


def _trace(record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[1] is not None:
        return "".join(traceback.format_exception(record.exc_info[1])).rstrip(os.linesep)
    return record.exc_text or record.stack_info
