"""Passkeys (WebAuthn Level 2): registered by their owners, shown as a second factor or in place of a password.

The ceremonies are fido2's; this module needs the extra ``passkeys``. A WebAuthn challenge is an HMAC of the gate's own
one-use challenge, whose id the client sends back: so it is unpredictable, bound to that challenge's purpose, user and
session, and good once. The relying party is public_url's host; other served hosts below it may use the same keys.
"""

from __future__ import annotations

import hmac
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from fido2 import cbor
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from gatekeeper.identity.factors.records import Passkey, PasskeyStore

_TRANSPORTS: Final = frozenset(transport.value for transport in AuthenticatorTransport)
_SHORTEST_ID, _LONGEST_ID = 16, 1023  # bytes of a credential id (WebAuthn 4, 5.8.3)
_TIMEOUT_MS: Final = 300_000
_INNER: Final = ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle")
#: The ways in which fido2 and cryptography say that bytes from a client are not what they should be.
_MALFORMED: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    UnsupportedAlgorithm,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A passkey that was shown, and whether its owner proved to be there by PIN or biometrics."""

    passkey: Passkey
    user_verified: bool

    @property
    def amr(self) -> tuple[str, ...]:
        """RFC 8176: a synced key lives in software; user verification makes two factors of one key."""
        key = "swk" if self.passkey.synced else "hwk"
        return (key, "mfa") if self.user_verified else (key,)


class Passkeys:
    """Registers and checks; ``key`` (32 bytes) makes WebAuthn challenges, ``serves`` knows the hosts of this gate."""

    def __init__(
        self, store: PasskeyStore, key: bytes, *, public_url: str, serves: Callable[[str, int | None], bool]
    ) -> None:
        url = urlsplit(public_url)
        self._store = store
        self._key = key
        self._scheme = url.scheme
        self._rp_id = url.hostname or ""
        self._serves = serves
        rp = PublicKeyCredentialRpEntity(name=self._rp_id, id=self._rp_id)
        self._server = Fido2Server(rp, verify_origin=self._is_ours)

    async def creation_options(self, challenge: str, user: str, email: str, name: str | None) -> dict[str, Any]:
        """PublicKeyCredentialCreationOptionsJSON (WebAuthn 3, 5.1.9): a discoverable credential, not one they have.

        Raises StoreUnavailable.
        """
        entity = PublicKeyCredentialUserEntity(id=uuid.UUID(user).bytes, name=email, display_name=name or email)
        options, _ = self._server.register_begin(
            entity,
            [_descriptor(passkey) for passkey in await self._store.passkeys(user)],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.PREFERRED,
            challenge=self._challenge(challenge),
        )
        return {**options.public_key, "timeout": _TIMEOUT_MS}

    async def register(
        self, challenge: str, user: str, name: str, response: Mapping[str, Any], now: float
    ) -> Passkey | None:
        """Keep what the browser made; None where it does not fit the challenge or is registered already.

        Raises StoreUnavailable.
        """
        try:
            registration = RegistrationResponse.from_dict(_texts(response))
            if registration.response.client_data.cross_origin:
                return None
            made = self._server.register_complete(self._state(challenge, verified=False), registration)
        except _MALFORMED:
            return None
        credential = made.credential_data
        if credential is None or credential.public_key.ALGORITHM not in _algorithms(self._server):
            return None
        if not _SHORTEST_ID <= len(credential.credential_id) <= _LONGEST_ID:
            return None
        passkey = Passkey(
            id=str(uuid.uuid4()),
            user_id=user,
            credential=credential.credential_id,
            public_data=bytes(credential),
            name=name,
            sign_count=made.counter,
            synced=made.is_backup_eligible(),
            transports=_transports(response),
            created_at=now,
        )
        return passkey if await self._store.add_passkey(passkey) else None

    async def request_options(self, challenge: str, user: str | None) -> dict[str, Any]:
        """PublicKeyCredentialRequestOptionsJSON: for one of the user's keys, or for any discoverable one.

        Raises StoreUnavailable.
        """
        keys = None if user is None else [_descriptor(key) for key in await self._store.passkeys(user)]
        wanted = UserVerificationRequirement.REQUIRED if user is None else UserVerificationRequirement.PREFERRED
        options, _ = self._server.authenticate_begin(keys, wanted, self._challenge(challenge))
        return {**options.public_key, "timeout": _TIMEOUT_MS}

    async def verify(self, challenge: str, user: str | None, response: Mapping[str, Any], now: float) -> Shown | None:
        """The passkey that signed, of this user or, with user verification, of whomever it belongs to.

        None where anything does not fit, a sign counter that did not rise included: two authenticators with one key
        (WebAuthn 6.1.1). Raises StoreUnavailable.
        """
        try:
            shown = AuthenticationResponse.from_dict(_texts(response))
            passkey = await self._store.passkey(shown.raw_id)
            if passkey is None or shown.response.client_data.cross_origin or not _belongs(passkey, user, shown):
                return None
            known = AttestedCredentialData(passkey.public_data)
            self._server.authenticate_complete(self._state(challenge, verified=user is None), [known], shown)
        except _MALFORMED:
            return None
        data = shown.response.authenticator_data
        if not await self._store.count_signature(passkey.id, data.counter, now):
            return None
        return Shown(passkey, data.is_user_verified())

    async def remove(self, user: str, passkey: str) -> Passkey | None:
        """None where the user has no such passkey. Raises StoreUnavailable."""
        try:
            uuid.UUID(passkey)
        except ValueError:
            return None
        return await self._store.remove_passkey(user, passkey)

    def _challenge(self, challenge: str) -> bytes:
        return hmac.new(self._key, f"webauthn\0{challenge}".encode(), sha256).digest()

    def _state(self, challenge: str, *, verified: bool) -> dict[str, object]:
        wanted = UserVerificationRequirement.REQUIRED if verified else UserVerificationRequirement.PREFERRED
        return {"challenge": websafe_encode(self._challenge(challenge)), "user_verification": wanted}

    def _is_ours(self, origin: str) -> bool:
        """An origin of a served host at or below the relying party's id, under public_url's scheme."""
        try:
            url = urlsplit(origin)
            host, port = url.hostname or "", url.port
        except ValueError:
            return False
        if url.scheme != self._scheme or (host != self._rp_id and not host.endswith(f".{self._rp_id}")):
            return False
        return origin == f"{url.scheme}://{url.netloc}" and "@" not in url.netloc and self._serves(host, port)


def _algorithms(server: Fido2Server) -> frozenset[int]:
    return frozenset(parameters.alg for parameters in server.allowed_algorithms)


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(name) for name in passkey.transports if name in _TRANSPORTS]
    return PublicKeyCredentialDescriptor(
        type=PublicKeyCredentialType.PUBLIC_KEY, id=passkey.credential, transports=transports or None
    )


def _transports(response: Mapping[str, Any]) -> tuple[str, ...]:
    inner = response.get("response")
    named = inner.get("transports") if isinstance(inner, Mapping) else None
    if not isinstance(named, Sequence) or isinstance(named, str):
        return ()
    return tuple(sorted({name for name in named if isinstance(name, str)} & _TRANSPORTS))


def _texts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a client's answer that fido2 is to read, each a text as in WebAuthn's JSON; raises ValueError.

    fido2 makes ``bytes`` of what it finds: of a number that would be a buffer of so many bytes.
    """
    inner = answer["response"]
    texts = {name: answer[name] for name in ("id", "rawId", "type") if name in answer}
    within = {name: inner[name] for name in _INNER if inner.get(name) is not None}
    if not all(isinstance(value, str) for value in (*texts.values(), *within.values())):
        raise ValueError("a member that is not text")
    if "attestationObject" in within:
        attested = cbor.decode(websafe_decode(within["attestationObject"]))
        if not isinstance(attested, Mapping) or not isinstance(attested.get("authData"), bytes):
            raise ValueError("an attestation without authenticator data")
    return {**texts, "response": within}


def _belongs(passkey: Passkey, user: str | None, shown: AuthenticationResponse) -> bool:
    """Of the user who is asked for it; where nobody is, the key must say whose it is (WebAuthn 7.2 step 6)."""
    handle = shown.response.user_handle
    if user is None and handle is None:
        return False
    owner = uuid.UUID(passkey.user_id).bytes
    return (user is None or passkey.user_id == user) and (handle is None or hmac.compare_digest(handle, owner))
