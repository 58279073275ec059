"""The access log: one line a request, cheap enough to be on. Written by ``surfaces.entrance``.

Paths are logged without the query, and links that carry a secret in their path without that secret. Whatever a client
sent, a line is one line, and what is quoted in it stays within its quotes (security 28).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, Self

import orjson

from gatekeeper.observe.lines import Lines, escaped
from gatekeeper.observe.logging import dump_line, output, timestamp, to_the_second

_SECRET_PATHS: Final = ("/setup/", "/reset/", "/confirm-email/", "/not-me/")  # under the prefix; what follows is secret
_LONGEST_PATH: Final = 2048
_LONGEST_AGENT: Final = 512
_MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]  # in every locale
MASK: Final = "***"

Form = Literal["json", "text", "common", "combined"]


@dataclass(slots=True)
class AccessEntry:
    """What is worth a line about one request.

    ``time`` is in Unix seconds, ``size`` the bytes of the answer's body, ``seconds`` how long the answer took,
    ``user`` the subject, ``reason`` why the request was refused, ``headers`` the request's, of which `combined` shows
    two. Not frozen: it is made on every request, and frozen dataclasses cost three times as much to make.
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
    headers: Mapping[str, str] | None = field(default=None, repr=False)


class AccessLog:
    """Makes lines of entries. ``prefix`` is where the gate's own endpoints live, ``sample`` the share of the requests
    that are written although nothing is wrong with them.
    """

    def __init__(self, lines: Lines, *, format: Form, prefix: str = "/_gate", sample: float = 1.0) -> None:  # noqa: A002  # the name of the key
        self._write = lines.write
        self._prefix = prefix
        self._seconds, self._clock = 0, to_the_second(0)
        self._secret = tuple(f"{prefix}{path}" for path in _SECRET_PATHS)
        self._sample, self._due = sample, 0.0
        self._combined = format == "combined"
        writers = {"json": self._write_json, "text": self._write_text}
        self.write = writers.get(format, self._write_common)

    @classmethod
    def standard(cls, *, prefix: str, form: Form | Literal["auto", "off"] = "auto", sample: float = 1.0) -> Self | None:
        """Beside the process's other log lines, ``auto`` in their form; None for ``off``."""
        where = output()
        if form == "off":
            return None
        return cls(where.writer, format=where.format if form == "auto" else form, prefix=prefix, sample=sample)

    def wants(self, status: int, reason: str | None) -> bool:
        """Whether this request gets a line: all that were refused or failed, and their share of the others."""
        if self._sample >= 1 or status >= 400 or reason is not None:
            return True
        self._due += self._sample
        if self._due < 1:
            return False
        self._due -= 1
        return True

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

    def _write_common(self, entry: AccessEntry) -> None:
        """The Common Log Format, or the combined one (httpd.apache.org/docs/current/logs.html)."""
        asked = f"{entry.method} {self.shown_path(entry.path)} HTTP/1.1"
        line = (
            f"{_word(entry.client)} - {_word(entry.user or '-')} [{_apache_time(int(entry.time))}]"
            f" {_quoted(asked)} {entry.status} {entry.size or '-'}"
        )
        if self._combined:
            headers = entry.headers or {}
            referer, agent = headers.get("Referer", "-"), headers.get("User-Agent", "-")
            line += f" {_quoted(self._shown_address(referer))} {_quoted(agent[:_LONGEST_AGENT])}"
        self._write((line + "\n").encode())

    def _shown_address(self, url: str) -> str:
        """A URL as it may stand in a log: without its query, and without a secret in its path."""
        before, mark, rest = url.partition("#")[0].partition("://")
        if not mark:
            return self.shown_path(url.partition("#")[0])
        host, slash, path = rest.partition("?")[0].partition("/")
        return f"{before}{mark}{host.rpartition('@')[2]}{self.shown_path(slash + path)}"


def _quoted(text: str) -> str:
    """In quotes that nothing within can end."""
    return '"' + escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _word(text: str) -> str:
    """One word, whatever it holds."""
    return escaped("".join("_" if one.isspace() or one in '"[]' else one for one in text)) or "-"


@lru_cache(maxsize=4)
def _apache_time(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{at:%d}/{_MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} +0000"
