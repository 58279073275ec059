"""What a request's browser looks like, for ``Caller``: the traits of ``geo.fingerprint``, and the TLS handshake's
fingerprint where a trusted proxy passes one on. Used by ``identity.endpoints``.
"""

from __future__ import annotations

from gatekeeper.inbound import InboundRequest
from geo.fingerprint import fingerprint, traits_of


class Fingerprints:
    """``key`` (32 bytes) is the gate's own; ``header`` the field with a JA3 or JA4, None where no proxy gives one."""

    def __init__(self, key: bytes, header: str | None = None) -> None:
        self._key = key
        self._header = header

    def of(self, inbound: InboundRequest) -> str | None:
        """32 hexadecimal digits, or None where the client says nothing by which to know it again."""
        return fingerprint(self._key, traits_of(inbound.headers, self._tls(inbound)))

    def _tls(self, inbound: InboundRequest) -> str:
        """Only the proxy's word counts, and only one: what a client sent beside it must not be chosen from."""
        if self._header is None or not inbound.trusted:
            return ""
        given = inbound.headers.getall(self._header, [])
        return given[0].strip() if len(given) == 1 else ""
