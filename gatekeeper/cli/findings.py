"""What ``gatekeeper check`` looks at, apart from stores and listeners: addresses, secret, upstreams.

Each function yields findings; none raises for what it looks at.
"""

from __future__ import annotations

import queue
import socket
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gatekeeper.bootstrap import secret_of
from gatekeeper.config.forms import target_place
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import EMBEDDED, Config
from gatekeeper.config.upstreams import UpstreamTls
from gatekeeper.errors import StartupError
from gatekeeper.pages.brand import BadBrand, Brand
from gatekeeper.tokens.cookies import Cookies
from gatekeeper.upstream.tls import BadTls, client_context

DNS_PATIENCE: Final = 5.0  # seconds for all names together
USUAL_PORT: Final = {"http": 80, "https": 443}


class Level(StrEnum):
    """How good it is; the value is what is printed."""

    OK = "ok"
    WARN = "warn"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Level
    item: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.item:<14} {self.text}"


def ok(item: str, text: str) -> Finding:
    """Good, and what was found."""
    return Finding(Level.OK, item, text)


def warn(item: str, text: str) -> Finding:
    """Worth a look; nothing fails."""
    return Finding(Level.WARN, item, text)


def fault(item: str, text: str) -> Finding:
    """The gate would not start, or not do its work."""
    return Finding(Level.FAULT, item, text)


def configuration(loaded: LoadedConfig) -> Iterator[Finding]:
    """The file and its warnings; that it holds is known already."""
    config, file = loaded.config, loaded.file or "no file, every default"
    yield ok("config", f"{file}: {_count(len(config.upstreams), 'upstream')}, {_count(len(config.rules), 'rule')}")
    for warning in loaded.warnings:
        yield warn("config", str(warning))
    if not config.rules:
        yield warn("rules", "there are none, so every request is refused")


def address(config: Config) -> Iterator[Finding]:
    """public_url as it is understood, and what follows from it."""
    url = urlsplit(config.public_url)
    port = url.port or USUAL_PORT[url.scheme]
    yield ok("address", f"{config.public_url}: scheme {url.scheme}, host {url.hostname}, port {port}")
    for host in config.hosts:
        yield ok("address", f"also served: {host}{'' if _names_port(host) else ' (any port)'}")
    cookies = Cookies(secure=url.scheme == "https")
    secure = "Secure" if url.scheme == "https" else "not Secure, as the address is http on loopback"
    scope = f"each for exactly the host it is set on, Path=/, SameSite=Lax, {secure}"
    yield ok("cookies", f"{cookies.access_name}, {cookies.refresh_name}: {scope}")
    yield _panel(config)


def _panel(config: Config) -> Finding:
    place = f"{config.panel_url}{config.prefix}/admin"
    if config.panel_listener is not None:
        return ok("panel", f"{place}, by admin.listen ({config.panel_listener.address}) alone")
    return warn(
        "panel",
        f"{place} shares its origin with the upstreams: a page of theirs can act as whoever is signed in to it; set"
        " admin.listen (THREAT_MODEL.md)",
    )


def secret(config: Config) -> Iterator[Finding]:
    """The secret that keys derive from."""
    storage = config.storage
    if storage.secret is not None:
        yield ok("secret", "given by the configuration")
        return
    path = storage.data_dir / "secret"
    try:
        if path.exists():
            secret_of(storage)
            yield ok("secret", f"in {path}")
        else:
            yield ok("secret", f"will be made in {path} at the first start")
    except (StartupError, OSError) as problem:
        yield fault("secret", str(problem))
    if EMBEDDED not in {storage.postgres.get_secret_value(), storage.redis.get_secret_value()}:
        yield warn("secret", "several gates on these servers need the same one: set storage.secret for all")


def look(config: Config) -> Iterator[Finding]:
    """What makes the pages look like their owner's can be used."""
    pages = config.pages
    try:
        brand = Brand.load(name=pages.brand, logo=pages.logo, colour=pages.colour, css=pages.css)
    except BadBrand as bad:
        yield fault("pages", f"pages.{bad.key}: {bad}")
        return
    yield ok("pages", f"{brand.name}, {brand.logo or 'no logo'}, {pages.colour}")


def upstreams(config: Config) -> Iterator[Finding]:
    """Names of targets resolve; sockets are there; what TLS towards them needs can be used."""
    wanted = {name: upstream.addresses for name, upstream in config.upstreams.items()}
    hosts = {place[0] for targets in wanted.values() for place in map(target_place, targets) if place is not None}
    found = resolve(hosts, DNS_PATIENCE)
    for name, targets in wanted.items():
        for target in targets:
            place = target_place(target)
            item = f"upstreams.{name}"
            if place is None:
                yield _socket_at(item, Path(target.removeprefix("unix:")))
            elif found[place[0]] is None:
                yield fault(item, f"{target}: the name does not resolve")
            else:
                yield ok(item, f"{target} is {', '.join(found[place[0]] or ())}")
    for name, upstream in config.upstreams.items():
        yield from _tls_of(f"upstreams.{name}.tls", upstream.tls)


def _tls_of(item: str, tls: UpstreamTls) -> Iterator[Finding]:
    try:
        client_context(ca=tls.ca, cert=tls.cert, key=tls.key, verify=tls.verify)
    except BadTls as problem:
        yield fault(f"{item}.{problem.key}", str(problem))
    if not tls.verify:
        yield warn(f"{item}.verify", "false: whoever gets between the gate and this upstream can read and change it")
    holder = tls.key or tls.cert
    if holder is not None and readable_by_all(holder):
        yield warn(
            f"{item}.{'cert' if tls.key is None else 'key'}",
            f"everyone on this machine can read {holder}; make it mode 600",
        )


def readable_by_all(path: Path) -> bool:
    """Whether everyone on this machine can read the file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _socket_at(item: str, path: Path) -> Finding:
    try:
        there = stat.S_ISSOCK(path.stat().st_mode)
    except OSError as problem:
        return warn(item, f"unix:{path}: {problem.strerror}")
    return ok(item, f"unix:{path}") if there else fault(item, f"unix:{path} is not a socket")


def resolve(hosts: set[str], patience: float) -> dict[str, list[str] | None]:
    """The addresses of each host; None where the name is unknown or was not answered within ``patience`` seconds.

    The resolver of the C library cannot be interrupted, so each name has a thread that is left behind if need be.
    """
    answers: queue.Queue[tuple[str, list[str] | None]] = queue.Queue()

    def look_up(host: str) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            answers.put((host, None))
        else:
            answers.put((host, sorted({str(entry[4][0]) for entry in found})))

    for host in hosts:
        threading.Thread(target=look_up, args=(host,), daemon=True).start()
    results: dict[str, list[str] | None] = dict.fromkeys(hosts)
    deadline = time.monotonic() + patience
    for _ in hosts:
        try:
            host, addresses = answers.get(timeout=max(deadline - time.monotonic(), 0.0))
        except queue.Empty:
            break
        results[host] = addresses
    return results


def _names_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
