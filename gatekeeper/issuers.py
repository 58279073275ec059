"""Where the keys of other issuers come from, and who keeps them fresh. Built and run by ``gatekeeper.app``; ``check``
tries the sources.

Addresses stand in the configuration, never in a token (security 30).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp

from gatekeeper.clock import Clock
from gatekeeper.config.issuers import AcceptedIssuer
from gatekeeper.config.model import Config
from gatekeeper.notify.outbound import Outbound
from gatekeeper.tokens.foreign import ForeignTokens, Issuer
from gatekeeper.tokens.issuer_keys import IssuerKeys, KeySource, KeysUnavailable

EVERY: Final = 300.0  # seconds between looks at all issuers' keys
PATIENCE: Final = 3.0  # seconds for a whole answer; a request may be waiting
LARGEST: Final = 256 << 10  # bytes of a JWKS


class FileKeys:
    """Implements ``tokens.issuer_keys.KeySource`` over a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self) -> bytes:
        """Raises KeysUnavailable."""
        try:
            return await asyncio.to_thread(self._read)
        except OSError as fault:
            raise KeysUnavailable(f"{self._path}: {fault.strerror or 'it cannot be read'}") from None

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            return _bounded(file.read(LARGEST + 1))


class HttpKeys:
    """Implements ``tokens.issuer_keys.KeySource`` over an address."""

    def __init__(self, url: str, outbound: Outbound) -> None:
        self._url = url
        self._outbound = outbound

    async def fetch(self) -> bytes:
        """Raises KeysUnavailable."""
        refusal = self._outbound.refused(self._url)
        if refusal is not None:
            raise KeysUnavailable(refusal)
        try:
            return await self._ask()
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise KeysUnavailable(f"{self._url}: {fault or type(fault).__name__}") from None

    async def _ask(self) -> bytes:
        async with (
            asyncio.timeout(PATIENCE),
            self._outbound.session(PATIENCE) as session,
            session.get(self._url, headers={"Accept": "application/json"}, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise KeysUnavailable(f"{self._url} answered {answer.status}")
            body = b""
            while len(body) <= LARGEST and (more := await answer.content.read(LARGEST)):
                body += more
            return _bounded(body)


def _bounded(document: bytes) -> bytes:
    if len(document) > LARGEST:
        raise KeysUnavailable(f"it is larger than {LARGEST} bytes")
    return document


def key_source(accepted: AcceptedIssuer, outbound: Outbound) -> KeySource:
    """The source that the configuration names."""
    return HttpKeys(accepted.jwks, outbound) if "://" in accepted.jwks else FileKeys(Path(accepted.jwks))


def foreign_tokens(config: Config) -> ForeignTokens | None:
    """The reader of other issuers' tokens; None where none are accepted."""
    if not config.tokens.accept:
        return None
    outbound = Outbound(config.notify.allow_private)
    return ForeignTokens([_issuer(accepted, key_source(accepted, outbound)) for accepted in config.tokens.accept])


def _issuer(accepted: AcceptedIssuer, source: KeySource) -> Issuer:
    return Issuer(
        accepted.issuer,
        frozenset(accepted.audiences),
        IssuerKeys(accepted.issuer, source, accepted.algorithms),
        subject_claim=accepted.claims.subject,
        id_claim=accepted.claims.id,
        roles_claim=accepted.claims.roles,
        email_claim=accepted.claims.email,
    )


async def keep_fresh(issuers: Sequence[Issuer], clock: Clock) -> None:
    """Read all keys now and every few minutes, for ever, until cancelled."""
    while True:
        await asyncio.gather(*(issuer.keys.refresh(clock.now()) for issuer in issuers))
        await asyncio.sleep(EVERY)
