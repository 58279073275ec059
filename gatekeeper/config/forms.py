"""The forms of addresses in config.yaml: URLs, hosts, listening and target addresses. Used by ``config.types``.

Each function returns the value it was given or raises ValueError in words for whoever wrote it. No message
repeats a value that may hold a secret.
"""

from __future__ import annotations

import re
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

SHORTEST_SECRET: Final = 32

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_LONGEST_SOCKET: Final = 107  # sockaddr_un of Linux
_USUAL_PORT: Final = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether a host (IPv6 without brackets) is this machine by its very name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_public_url(value: str) -> str:
    """An origin: scheme, host and, unless it is the usual one, port (RFC 6454)."""
    parts = _split(value, ("http", "https"), "https://app.example.org")
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "http is only for loopback (127.0.0.0/8, ::1, localhost), since cookies and passwords would travel"
            f" in clear; write https://{parts.netloc.lower()}"
        )
    if parts.path == "/" and not parts.query and not parts.fragment:
        raise ValueError(f"leave the slash at the end out: {value.rstrip('/')}")
    if parts.path or "?" in value or "#" in value:
        raise ValueError("only scheme, host and port may stand here: no path, no query")
    usual = f":{_USUAL_PORT[parts.scheme]}"
    if parts.netloc.endswith(usual):
        raise ValueError(f"leave {usual} out, as browsers do: {value.removesuffix(usual)}")
    if value != value.lower():
        raise ValueError(f"write it in lower case, as browsers do: {value.lower()}")
    return value


def check_host(value: str) -> str:
    """A host served: ``host``, ``host:port``, ``[::1]:port`` or with ``*.`` in front."""
    if "/" in value:
        raise ValueError("a host has no scheme and no path: app.example.org or app.example.org:8443")
    host, port = _host_and_port(value)
    if port is not None:
        _check_port(port)
    if value != value.lower():
        raise ValueError(f"write it in lower case: {value.lower()}")
    _check_name(host.removeprefix("*."))
    return value


def check_prefix(value: str) -> str:
    """A path of plain segments, without a slash at the end."""
    if not _PREFIX.fullmatch(value) or len(value) > 64:
        raise ValueError("a path such as /_gate is needed: a slash first and none at the end, plain letters within")
    return value


def check_colour(value: str) -> str:
    """``#rrggbb``."""
    if not _COLOUR.fullmatch(value):
        raise ValueError("a colour such as #3347c9 is needed, in quotes: # and six hexadecimal digits")
    return value.lower()


def check_listen(value: str) -> str:
    """``host:port``; port 0 stands for any free one."""
    host, port = _host_and_port(value)
    if port is None:
        raise ValueError(f"host:port is needed, such as {_bracketed(host or '127.0.0.1')}:8080")
    if not host:
        raise ValueError(f"say which addresses: 127.0.0.1:{port} for this machine only, 0.0.0.0:{port} for all")
    if port != "0":
        _check_port(port)
    _check_name(host)
    return value


def check_target(value: str) -> str:
    """``http://host:port``, ``https://host:port`` or ``unix:/path`` of an upstream."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/") or path.startswith("//") or len(path) < 2:
            raise ValueError("a socket is written unix:/path/to/socket, with one slash and the whole path")
        if not path.isprintable() or len(path.encode()) > _LONGEST_SOCKET:
            raise ValueError(f"a socket's path has at most {_LONGEST_SOCKET} bytes, all printable")
        return value
    parts = _split(value, ("http", "https"), "http://127.0.0.1:9000 or unix:/run/api.sock")
    if parts.path == "/" and not parts.query and not parts.fragment:
        raise ValueError(f"leave the slash at the end out: {value.rstrip('/')}")
    if parts.path or "?" in value or "#" in value:
        raise ValueError("a target has no path and no query: requests are forwarded with the path they came with")
    return value


def check_host_field(value: str) -> str:
    """One host as a Host field says it, with or without port."""
    if "*" in value:
        raise ValueError("one host is needed, such as api.internal or api.internal:8080")
    return check_host(value)


def check_server_name(value: str) -> str:
    """A name as a certificate carries it."""
    _check_name(value)
    return value


def check_path(value: str) -> str:
    """A path, with a query if need be, as it stands in a request."""
    if not value.startswith("/") or not value.isascii() or not value.isprintable() or " " in value or "#" in value:
        raise ValueError("a path such as /health is needed, all ASCII and without blanks")
    return value


def check_postgres(value: str) -> str:
    """``embedded`` or a connection URI of libpq."""
    if value != "embedded" and not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("`embedded` or postgresql://user:password@host:port/database is needed")
    return value


def check_redis(value: str) -> str:
    """``embedded`` or a URL of redis-py."""
    if value != "embedded" and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("`embedded` or redis://, rediss:// or unix:// (with password and database) is needed")
    return value


def check_secret(value: str) -> str:
    """Long enough not to be guessed."""
    if len(value) < SHORTEST_SECRET:
        raise ValueError(
            f"has {len(value)} characters, at least {SHORTEST_SECRET} are needed: `openssl rand -hex 32` makes one"
        )
    return value


def check_called_url(value: str) -> str:
    """An address that the gate calls: http or https, a path and a query if need be."""
    parts = _split(value, ("http", "https"), "https://hooks.example.org/gate")
    if "#" in value or not value.isascii():
        raise ValueError("no fragment and only ASCII may stand in the address")
    return value if parts.path else f"{value}/"


def check_range_url(value: str) -> str:
    """The same, to which five hexadecimal digits are added."""
    if check_called_url(value)[-1] != "/" or "?" in value:
        raise ValueError("an address that ends in a slash is needed: the first digits of the hash are put behind it")
    return check_called_url(value)


def check_mail_address(value: str) -> str:
    """``gate@example.org`` or ``Example <gate@example.org>``."""
    name, address = parseaddr(value)
    local, at, domain = address.rpartition("@")
    if not at or not local or not address.isascii() or not value.isprintable() or " " in address:
        raise ValueError("a sender such as gate@example.org or `Example <gate@example.org>` is needed")
    if value.strip() not in {address, f"<{address}>"} and not name:
        raise ValueError("a sender such as gate@example.org or `Example <gate@example.org>` is needed")
    _check_name(domain)
    return value


def check_syslog(value: str) -> str:
    """``udp://host:514``, ``tcp://host:601``, ``tls://host:6514`` (the ports may be left out) or ``unix:/dev/log``."""
    if value.startswith("unix:/"):
        return value
    parts = _split(value, ("udp", "tcp", "tls"), "udp://logs.example.org:514 or unix:/dev/log")
    if parts.path not in {"", "/"} or parts.query:
        raise ValueError("only a scheme, a host and a port may stand in the address")
    return value.removesuffix("/")


def target_place(value: str) -> tuple[str, int] | None:
    """Host and port of a checked target, None for a socket."""
    if value.startswith("unix:"):
        return None
    parts = urlsplit(value)
    return parts.hostname or "", parts.port or _USUAL_PORT[parts.scheme]


def listen_place(value: str) -> tuple[str, int]:
    """Host (without brackets) and port of a checked listening address."""
    host, port = _host_and_port(value)
    return host, int(port or 0)


def own_url(value: str, *, tls: bool) -> str:
    """The origin of a checked listening address, as browsers spell it."""
    (host, port), scheme = listen_place(value), "https" if tls else "http"
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port == _USUAL_PORT[scheme] else f"{scheme}://{name}:{port}"


def is_every_address(value: str) -> bool:
    """Whether a checked listening address stands for all of this machine."""
    return listen_place(value)[0] in {"", "0.0.0.0", "::", "*"}  # noqa: S104  # that is what is asked


def _split(value: str, schemes: tuple[str, ...], example: str) -> SplitResult:
    if any(character <= " " or character == "\x7f" for character in value):
        raise ValueError("no blank and no control character may stand in an address")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 1 to 65535 and an IPv6 address stand in [ ]") from None
    if parts.scheme not in schemes or not parts.hostname or "//" not in value:
        raise ValueError(f"an address such as {example} is needed")
    if "@" in parts.netloc:
        raise ValueError("no user and no password may stand in the address")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("the port must be a number from 1 to 65535")
    _check_name(parts.hostname)
    return parts


def _host_and_port(value: str) -> tuple[str, str | None]:
    if value.startswith("["):
        host, closed, rest = value[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address is written [::1]:8080")
        return host, rest[1:] if rest else None
    if value.count(":") > 1:
        raise ValueError(f"an IPv6 address is written in brackets: [{value}], with a port [{value}]:8080")
    host, colon, port = value.partition(":")
    return host, port if colon else None


def _check_port(port: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise ValueError("the port must be a number from 1 to 65535")


def _check_name(host: str) -> None:
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return
    if not host.isascii():
        raise ValueError("write an international name in its ASCII form, xn--...")
    if "*" in host:
        raise ValueError("* may only stand for whole leading labels of a host, as in *.example.org")
    if len(host) > 253 or not _NAME.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
        raise ValueError("this is no host name and no address")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
