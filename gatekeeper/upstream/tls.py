"""TLS towards upstreams: own authority, client certificate. Used by ``gatekeeper.app`` and ``gatekeeper check``.

``server.certificates`` loads the pairs that clients are shown with it too.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class BadTls(ValueError):
    """A file that cannot be used, in words for an operator; ``key`` is that of the configuration."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def client_context(
    *, ca: Path | None = None, cert: Path | None = None, key: Path | None = None, verify: bool = True
) -> ssl.SSLContext:
    """How https targets are met: TLS 1.2 or newer, HTTP/1.1.

    ``ca`` replaces the system's authorities, ``cert`` (with its chain) and ``key`` (not given: in ``cert``) are the
    gate's own. Raises BadTls.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        _load_authority(context, ca)
    if cert is not None:
        load_own(context, cert, key)
    return context


def _load_authority(context: ssl.SSLContext, ca: Path) -> None:
    _readable("ca", ca)
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError:
        raise BadTls("ca", f"{ca} holds no certificate in PEM") from None


def load_own(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    """Let ``context`` show a certificate of the gate's own. Raises BadTls."""
    _readable("cert", cert)
    if key is not None:
        _readable("key", key)
    blamed, file = ("cert", cert) if key is None else ("key", key)

    def no_password() -> str:
        raise BadTls(blamed, f"{file} is encrypted; the gate needs a key without a password")

    try:
        context.load_cert_chain(cert, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadTls(blamed, f"the key in {file} does not belong to the certificate in {cert}") from None
        raise BadTls("cert", f"{_pair(cert, key)}: no certificate and key in PEM that can be used") from None


def _pair(cert: Path, key: Path | None) -> str:
    return str(cert) if key is None else f"{cert} with {key}"


def _readable(name: str, file: Path) -> None:
    try:
        with file.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        raise BadTls(name, f"{file}: {error.strerror or 'cannot be read'}") from None
