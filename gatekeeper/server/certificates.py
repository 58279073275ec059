"""What TLS clients are shown: certificates by name (SNI, RFC 6066 3), replaced while connections go on.

Used by ``gatekeeper.doors``, by the supervisor before anything starts, and by ``gatekeeper check``.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509

from gatekeeper.upstream.tls import BadTls, load_own

# TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 4.2); what 1.3 has is all good.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Pair:
    """Files in PEM: a certificate with its chain, and its key (None: in the same file).

    ``place`` is where the configuration names them.
    """

    cert: Path
    key: Path | None = None
    place: str = "tls"

    @property
    def files(self) -> tuple[Path, ...]:
        """Both."""
        return (self.cert,) if self.key is None else (self.cert, self.key)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pair that fits: ``names`` (lower case, ``*.`` possible, addresses too) and its life."""

    pair: Pair
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    context: ssl.SSLContext = field(repr=False)

    def covers(self, host: str) -> bool:
        """Whether it is good for this name or address, in lower case and without brackets (RFC 9525 6.3)."""
        return host in self.names or (not _is_address(host) and f"*.{host.partition('.')[2]}" in self.names)


class Certificates:
    """One or more pairs; the first is shown to clients that ask for no name or for one that nobody has.

    ``context`` is the one to listen with, for the life of the process. Raises BadTls.
    """

    def __init__(self, pairs: Sequence[Pair], *, min_version: str = "1.2") -> None:
        self._pairs = tuple(pairs)
        self._min_version = min_version
        self.context = _listening(min_version)
        self.context.sni_callback = self._choose
        self.loaded: tuple[Loaded, ...] = ()
        self._exact: dict[str, ssl.SSLContext] = {}
        self.use(self.read())

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that ``read`` reads."""
        return tuple(file for pair in self._pairs for file in pair.files)

    def read(self) -> tuple[Loaded, ...]:
        """All pairs as their files have them now. Raises BadTls where one is bad."""
        return tuple(load(pair, self._min_version) for pair in self._pairs)

    def use(self, loaded: tuple[Loaded, ...]) -> None:
        """Show these from the next handshake on."""
        exact: dict[str, ssl.SSLContext] = {}
        for one in loaded:
            for name in one.names:
                exact.setdefault(name, one.context)
        self.loaded, self._exact = loaded, exact

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        """OpenSSL asks on every handshake, also where the client named nobody."""
        asked = (name or "").lower()
        chosen = self._exact.get(asked) or self._exact.get(f"*.{asked.partition('.')[2]}")
        connection.context = chosen or self.loaded[0].context


def load(pair: Pair, min_version: str = "1.2") -> Loaded:
    """Read one pair. Raises BadTls, its key a whole key path, for what is unreadable, encrypted or not a pair."""
    context = _listening(min_version)  # OpenSSL asks the chosen one about ALPN
    try:
        load_own(context, pair.cert, pair.key)
    except BadTls as bad:
        raise BadTls(f"{pair.place}.{bad.key}", str(bad)) from None
    try:
        leaf = x509.load_pem_x509_certificates(pair.cert.read_bytes())[0]
    except (OSError, ValueError):
        raise BadTls(f"{pair.place}.cert", f"{pair.cert} holds no certificate in PEM that can be read") from None
    return Loaded(pair, _names(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc, context)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()  # the subject's common name has long been ignored by clients
    names = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    return (*names, *(str(address) for address in found.get_values_for_type(x509.IPAddress)))


def _listening(min_version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[min_version]
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
