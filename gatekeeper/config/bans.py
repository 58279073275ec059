"""The ``bans`` section of config.yaml. Part of ``config.model``."""

from __future__ import annotations

from pydantic import Field, field_validator

from gatekeeper.config.section import Section
from gatekeeper.config.types import Cidr, Duration, Number
from policies.globs import parse_glob


class Spray(Section):
    """Failed logins on many accounts from one address, however slow."""

    accounts: int = Field(10, ge=2, le=1000, description="So many accounts from one address (IPv6: one /64) ban it.")
    within: Duration = Field(3600.0, description="The time in which they are tried.")


class Bans(Section):
    """Who is banned automatically, and for how long."""

    after: int | None = Field(
        10,
        ge=1,
        le=1000,
        description=(
            "Failed logins from one address (IPv6: one /64), unknown e-mails included, and, counted apart, wrong codes"
            " that ban it; null: none."
        ),
    )
    within: Duration = Field(600.0, description="The time in which they happen.")
    length: Duration = Field(900.0, alias="for", description="How long the first ban of an address lasts.")
    growth: Number = Field(2.0, ge=1, le=10, description="How many times longer each further ban is.")
    max: Duration = Field(
        86400.0, description="The longest automatic ban; for each such time that passes, one ban is forgotten."
    )
    allow: list[Cidr] = Field(
        ["127.0.0.0/8"],
        validate_default=True,
        description=(
            "Networks that no ban on an address, network, country or user agent reaches; one on an account holds there"
            " too. Trusted proxies are never banned automatically."
        ),
    )
    spray: Spray | None = Field(
        default_factory=Spray, description="`{accounts, within}`: password spraying; null: not counted apart."
    )
    limited: int | None = Field(
        None,
        ge=2,
        le=1_000_000,
        description="Requests over a limit from one address, in `within`, that ban it; null: none.",
    )
    honeypots: list[str] = Field(
        [],
        description=(
            "Path globs that nobody has business with, such as /wp-login.php: one request bans its address. What"
            " browsers send (with Sec-Fetch-Site) does not count, since a foreign page can make them send it."
        ),
    )

    @field_validator("honeypots")
    @classmethod
    def _globs(cls, value: list[str]) -> list[str]:
        for text in value:
            parse_glob(text)
        return value
