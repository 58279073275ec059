"""Leaked passwords, asked about by k-anonymity: the first five digits of the SHA-1 leave the gate, nothing else.

The form of https://haveibeenpwned.com/API/v3#SearchingPwnedPasswordsByRange. Called for each new password where the
configuration names a server; while that cannot answer, passwords are taken or refused as the configuration says.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha1
from typing import Final

import aiohttp

from gatekeeper.notify.outbound import Outbound

_LARGEST: Final = 1 << 20  # bytes of an answer; a range has about 40 KiB
_LEAKED: Final = "is in a list of leaked passwords; take another"
_UNKNOWN: Final = "cannot be checked against leaked passwords at the moment; try again shortly"
_log = logging.getLogger("gatekeeper.identity")


class PwnedRanges:
    """Implements ``passwords.LeakedPasswords``. ``timeout`` in seconds; ``required``: no answer is a refusal."""

    def __init__(self, url: str, outbound: Outbound, *, timeout: float, required: bool) -> None:
        self._url = url
        self._outbound = outbound
        self._timeout = timeout
        self._required = required

    async def fault(self, password: str) -> str | None:
        """Whether it has leaked, in words for its owner."""
        digest = sha1(password.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest().upper()
        try:
            answer = await self._ask(digest[:5])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            _log.warning("the check of leaked passwords failed: %s", fault or type(fault).__name__)
            return _UNKNOWN if self._required else None
        for line in answer.splitlines():
            rest, _, count = line.strip().partition(":")
            if rest.upper() == digest[5:]:
                return _LEAKED if count.strip() != "0" else None  # padding has a count of 0
        return None

    async def _ask(self, first: str) -> str:
        url = self._url + first
        refusal = self._outbound.refused(url)
        if refusal is not None:
            raise ValueError(refusal)
        async with (
            asyncio.timeout(self._timeout),
            self._outbound.session(self._timeout) as session,
            session.get(url, headers={"Add-Padding": "true"}, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"answered {answer.status}")
            body = await answer.content.read(_LARGEST + 1)
            while len(body) <= _LARGEST and (more := await answer.content.read(_LARGEST)):
                body += more
            if len(body) > _LARGEST:
                raise ValueError("the answer is too large")
            return body.decode("ascii")
