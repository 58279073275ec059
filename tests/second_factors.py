"""A user with second factors, over the API of a running gate: what an app and a browser would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyotp
from authenticator import Authenticator
from gates import RunningGate, bearer


def code(secret: str, gate: RunningGate, *, steps: int = 0) -> str:
    """The code that an app shows ``steps`` time steps from now."""
    return pyotp.TOTP(secret).at(int(gate.clock.now()), counter_offset=steps)


@dataclass
class Enrolled:
    """What enrolment handed out; ``tokens`` is the token answer that came with it."""

    tokens: dict[str, Any]
    recovery_codes: list[str]
    secret: str = ""
    passkey: Authenticator | None = None
    passkey_id: str = ""


async def enrol_totp(gate: RunningGate, tokens: dict[str, Any]) -> Enrolled:
    """An app is set up; the clock moves on, so that its next code is a new one."""
    begun = await gate.post("factors/totp", headers=bearer(tokens))
    assert begun.status == 200, await begun.text()
    secret = (await begun.json())["secret"]
    answer = await gate.post("factors/totp/confirm", {"code": code(secret, gate)}, headers=bearer(tokens))
    assert answer.status == 200, await answer.text()
    body = await answer.json()
    gate.clock.advance(30)
    return Enrolled({**tokens, **_present(body["tokens"])}, body["recovery_codes"], secret)


async def enrol_passkey(gate: RunningGate, tokens: dict[str, Any], key: Authenticator | None = None) -> Enrolled:
    """A passkey is made and added."""
    key = key or Authenticator(gate.url)
    begun = await gate.post("factors/passkeys/options", headers=bearer(tokens))
    assert begun.status == 200, await begun.text()
    options = await begun.json()
    body = {"challenge": options["challenge"], "response": key.create(options["public_key"]), "name": "My phone"}
    answer = await gate.post("factors/passkeys", body, headers=bearer(tokens))
    assert answer.status == 201, await answer.text()
    made = await answer.json()
    fresh = {**tokens, **_present(made["tokens"])}
    return Enrolled(fresh, made["recovery_codes"], passkey=key, passkey_id=made["passkey"]["id"])


async def challenged(gate: RunningGate, email: str, password: str, **kwargs: Any) -> dict[str, Any]:
    """The problem of a login whose password was right and which waits for a second factor."""
    answer = await gate.post("login", {"email": email, "password": password}, **kwargs)
    assert (answer.status, answer.headers.get("X-Gate-Reason")) == (401, "mfa-required"), await answer.text()
    return await answer.json(content_type=None)


def _present(tokens: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tokens.items() if value is not None}
