"""What ``gatekeeper check`` understands of sample requests: client, scheme, host, cookie scope, what a proxy asks.

Read by the very code that the gate reads with (``RequestReader``, the dialects of verify), so that a proxy that is not
trusted, forgets a field or names another host shows before anybody is locked out. Nothing is sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from multidict import CIMultiDict, CIMultiDictProxy

from gatekeeper.cli import arguments
from gatekeeper.cli.findings import Finding, ok, warn
from gatekeeper.clock import SystemClock
from gatekeeper.config.model import Config
from gatekeeper.doors import networks
from gatekeeper.errors import StartupError
from gatekeeper.inbound import Arrival, HostList, InboundRequest, Refused, RequestReader, TrustedProxies
from gatekeeper.surfaces.asked import ByEnvoy, Dialect, by_forward, by_nginx
from gatekeeper.tokens.cookies import Cookies
from policies.model import Address
from policies.read import METHODS

CLIENT: Final = "203.0.113.7"  # RFC 5737: nobody's
_ITEM: Final = "sample"


@dataclass(frozen=True, slots=True)
class Sample:
    """A request as it would come in; without fields of its own those that its peer would send are put in."""

    method: str = "GET"
    target: str = "/"
    peer: Address | None = None
    fields: tuple[tuple[str, str], ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that describe a sample request."""
    group = parser.add_argument_group("a request of your own, to see what it is taken for (nothing is sent)")
    group.add_argument(
        "--request", metavar="'M T'", type=_line, help="method and target as sent to the gate, such as 'GET /reports'"
    )
    group.add_argument("--peer", metavar="A", type=arguments.address, help="the address that connects to the gate")
    group.add_argument(
        "--header", metavar="'N: V'", type=arguments.header, action="append", help="a field of it; may be given again"
    )


def of(args: argparse.Namespace) -> Sample | None:
    """The sample that the options describe; None where there are none."""
    if args.request is None and args.peer is None and args.header is None:
        return None
    method, target = args.request or ("GET", "/")
    return Sample(method, target, args.peer, tuple(args.header or ()))


def _line(text: str) -> tuple[str, str]:
    method, blank, target = text.partition(" ")
    if not blank or method not in METHODS or not target.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is no method and target, such as 'GET /reports'")
    return method, target


def samples(config: Config, own: Sample | None) -> Iterator[Finding]:
    """How ``own`` is understood, or else a request straight from a client and one through a trusted proxy."""
    try:
        trusted = TrustedProxies(networks(config))
    except StartupError:  # said elsewhere, of trusted_proxies
        return
    reading = _Reading(config, trusted)
    if own is not None:
        yield from reading.of(own, f"from {own.peer or CLIENT}")
        return
    yield from reading.of(Sample(), f"straight from {CLIENT}")
    proxies = networks(config)
    if proxies:
        peer, public = proxies[0].network_address, urlsplit(config.public_url)
        told = (("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", public.scheme), ("X-Forwarded-Host", public.netloc))
        yield from reading.of(Sample(peer=peer, fields=told), f"from {CLIENT} through {peer}")
    else:
        yield ok(_ITEM, "trusted_proxies is empty: whoever connects is the client, and no X-Forwarded-* counts")


class _Reading:
    def __init__(self, config: Config, trusted: TrustedProxies) -> None:
        public = urlsplit(config.public_url)
        self._public_host, self._scheme = public.netloc, public.scheme
        self._trusted = trusted
        self._hosts = HostList(config.public_url, config.hosts)
        self._reader = RequestReader(trusted, SystemClock(), scheme=public.scheme)
        verify = f"{config.prefix}/verify"
        self._envoy = f"{verify}/envoy/"
        self._dialects: dict[str, Dialect] = {
            verify: by_nginx,
            f"{verify}/forward": by_forward,
            self._envoy: ByEnvoy(f"{verify}/envoy"),
        }

    def of(self, sample: Sample, whence: str) -> Iterator[Finding]:
        fields = CIMultiDict(sample.fields)
        fields.setdefault("Host", self._public_host)
        raw = tuple((name.encode(), value.encode()) for name, value in fields.items())
        arrival = Arrival(str(sample.peer or CLIENT))
        read = self._reader.read(sample.method, sample.target, CIMultiDictProxy(fields), raw, arrival)
        if isinstance(read, Refused):
            yield warn(_ITEM, f"{whence}: refused, {read.status} {read.reason}")
            return
        if "X-Forwarded-For" in fields and not read.trusted:
            yield warn(_ITEM, f"{whence}: {read.peer} is not in trusted_proxies: its X-Forwarded-* count for nothing")
        path = read.target.path
        dialect = self._dialects.get(self._envoy if path.startswith(self._envoy) else path)
        yield self._understood(read, whence) if dialect is None else self._asked(read, dialect, whence)

    def _asked(self, read: InboundRequest, dialect: Dialect, whence: str) -> Finding:
        if not read.trusted:
            return warn(_ITEM, f"{whence}: asks {read.target.path}, 403 untrusted-proxy")
        asked = dialect(read, self._trusted)
        if asked is None:
            return warn(_ITEM, f"{whence}: asks {read.target.path}, but a field is missing, doubled or malformed")
        return self._understood(asked, f"{whence}: asks")

    def _understood(self, request: InboundRequest, whence: str) -> Finding:
        target = request.target
        shown = f"{request.method} {target.scheme}://{target.authority}{target.origin_form} of client {request.client}"
        if not self._hosts.serves(target.host, target.port):
            return warn(_ITEM, f"{whence}: {shown}; 421, as neither public_url nor hosts has {target.authority}")
        if target.scheme != self._scheme:
            return warn(_ITEM, f"{whence}: {shown}; its scheme is not that of public_url, which cookies follow")
        cookie = Cookies(secure=self._scheme == "https").access_name
        return ok(_ITEM, f"{whence}: {shown}; cookie {cookie} for {target.host} alone")
