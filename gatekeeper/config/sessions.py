"""The section about sessions: what their cookies are held to. Used by ``config.model``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gatekeeper.config.section import Section


class Sessions(Section):
    """What the cookies of a session are held to; bearer tokens may be used from anywhere."""

    bind: list[Literal["device", "network", "country"]] = Field(
        ["device"],
        description=(
            "What must stay as it was at the login: device (family of browser and system, not their versions), network"
            " (IPv4: the /24, IPv6: the /48), country. Empty: nothing."
        ),
    )
    on_mismatch: Literal["log", "step-up", "revoke"] = Field(
        "log",
        description=(
            "Where it does not: log, step-up (the owner proves to be there, which binds the session anew) or revoke"
            " (the session ends)."
        ),
    )
