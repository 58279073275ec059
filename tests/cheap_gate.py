"""``gatekeeper.app`` with the tests' cheap Argon2: what workers serve where a test is about logins by the thousand."""

from __future__ import annotations

from typing import Any

from gates import CHEAP

from gatekeeper.app import Gatekeeper
from gatekeeper.app import build as real


async def build(*args: Any, **kwargs: Any) -> Gatekeeper:
    return await real(*args, argon2=CHEAP, **kwargs)
