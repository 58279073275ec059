"""The access log: one line a request, cheap enough to be on. Written by ``surfaces.entrance``.

Paths are logged without the query, and links that carry a secret in their path without that secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self

import orjson

from gatekeeper.observe.lines import Lines, escaped
from gatekeeper.observe.logging import dump_line, output, timestamp, to_the_second

_SECRET_PATHS: Final = ("/setup/", "/reset/", "/confirm-email/", "/not-me/")  # under the prefix; what follows is secret
_LONGEST_PATH: Final = 2048
MASK: Final = "***"


@dataclass(slots=True)
class AccessEntry:
    """What is worth a line about one request.

    ``time`` is in Unix seconds, ``size`` the bytes of the answer's body, ``seconds`` how long the answer took,
    ``user`` the subject, ``reason`` why the request was refused. Not frozen: it is made on every request, and
    frozen dataclasses cost three times as much to make.
    """

    time: float
    request_id: str
    client: str
    method: str
    host: str
    path: str
    status: int
    size: int
    seconds: float
    user: str | None = None
    reason: str | None = None
    rule: str | None = None
    upstream: str | None = None


class AccessLog:
    """Makes lines of entries. ``prefix`` is where the gate's own endpoints live."""

    def __init__(self, lines: Lines, *, format: Literal["json", "text"], prefix: str = "/_gate") -> None:  # noqa: A002  # the name of the key
        self._write = lines.write
        self._prefix = prefix
        self._seconds, self._clock = 0, to_the_second(0)
        self._secret = tuple(f"{prefix}{path}" for path in _SECRET_PATHS)
        self.write = self._write_json if format == "json" else self._write_text

    @classmethod
    def standard(cls, *, prefix: str) -> Self:
        """Beside the process's other log lines, in their form."""
        where = output()
        return cls(where.writer, format=where.format, prefix=prefix)

    def shown_path(self, path: str) -> str:
        """``path`` as it may stand in a log."""
        path = path.partition("?")[0]
        if path.startswith(self._secret):
            start = next(one for one in self._secret if path.startswith(one))
            return start + MASK
        return path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "…"

    def _write_json(self, entry: AccessEntry) -> None:
        path = entry.path
        seconds = int(entry.time)
        if seconds != self._seconds:
            self._seconds, self._clock = seconds, to_the_second(seconds)
        if path.startswith(self._prefix) or "?" in path or len(path) > _LONGEST_PATH:
            path = self.shown_path(path)
        fields = {
            "time": f"{self._clock}.{int(entry.time % 1 * 1000):03d}Z",
            "request_id": entry.request_id,
            "client": entry.client,
            "method": entry.method,
            "host": entry.host,
            "path": path,
            "status": entry.status,
            "bytes": entry.size,
            "ms": int(entry.seconds * 100_000) / 100,
            "user": entry.user,
            "reason": entry.reason,
            "rule": entry.rule,
            "upstream": entry.upstream,
        }
        try:
            line = orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            line = dump_line(fields)
        if not line.isascii() or b"\x7f" in line:
            line = dump_line(fields)
        self._write(line)

    def _write_text(self, entry: AccessEntry) -> None:
        what = f"{entry.method} {entry.host}{self.shown_path(entry.path)}"
        words = [
            timestamp(entry.time),
            "ACCESS ",
            str(entry.status),
            what,
            f"{entry.seconds * 1000:.1f}ms",
            f"{entry.size}B",
            entry.client,
            *(
                f"{name}={value}"
                for name, value in (
                    ("user", entry.user),
                    ("reason", entry.reason),
                    ("rule", entry.rule),
                    ("upstream", entry.upstream),
                    ("id", entry.request_id),
                )
                if value is not None
            ),
        ]
        self._write((escaped(" ".join(words)) + "\n").encode())
