"""Webhooks: signed JSON in the Standard Webhooks form, for SMS gates, chat and whatever else listens.

``{"type", "id", "time", "data"}`` with ``webhook-id`` (the same for every try), ``webhook-timestamp`` and
``webhook-signature: v1,<base64 of HMAC-SHA256 over id.timestamp.body>``. Anything but 2xx is tried again, 410 never.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import aiohttp

from gatekeeper.notify.envelope import envelope
from gatekeeper.notify.messages import Message, SendingFailed
from gatekeeper.notify.outbound import Outbound
from gatekeeper.notify.outbox import Parcel

_PREFIX: Final = "whsec_"


def key_of(secret: str) -> bytes:
    """The signature's key: base64 after ``whsec_``, as Standard Webhooks writes it, else the text itself."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def signed(key: bytes, name: str, time: float, body: bytes) -> dict[str, str]:
    """The header fields of one delivery."""
    timestamp = str(int(time))
    signature = hmac.new(key, b".".join((name.encode(), timestamp.encode(), body)), sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


class Webhooks:
    """The channel; ``keys`` by URL are those of the configuration, ``timeout`` in seconds for the whole answer."""

    def __init__(self, keys: Mapping[str, bytes], outbound: Outbound, timeout: float) -> None:
        self._keys = keys
        self._outbound = outbound
        self._timeout = timeout

    async def send(self, content: bytes, parcel: Parcel, now: float) -> None:
        """One message, as the event of its kind. Raises SendingFailed."""
        message = Message.load(content)
        data = {"to": message.to, **message.facts}
        name = str(parcel.id)
        await self.post(parcel.address, name, envelope(str(message.kind), name, now, data), now)

    async def post(self, url: str, name: str, body: bytes, now: float) -> None:
        """One event to one receiver. Raises SendingFailed."""
        key = self._keys.get(url)
        if key is None:
            raise SendingFailed("this webhook is not configured any more", final=True)
        refusal = self._outbound.refused(url)
        if refusal is not None:
            raise SendingFailed(refusal)
        try:
            async with (
                self._outbound.session(self._timeout) as session,
                session.post(url, data=body, headers=signed(key, name, now, body), allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            raise SendingFailed(f"{' '.join(str(fault).split())[:200] or 'no answer in time'}") from None
        if not 200 <= status < 300:
            raise SendingFailed(f"answered {status}", final=status == 410)
