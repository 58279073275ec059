"""The section ``logs`` of config.yaml: log lines, and the login log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from gatekeeper.config.section import Section
from gatekeeper.config.types import AccessForm, Duration, Number, Size


class LoginCaps(Section):
    """Login attempts a minute that get a row each; beyond, failed and refused ones are only counted."""

    session: int = Field(600, ge=1, le=10_000_000, description="Of one session, in each worker.")
    address: int = Field(30_000, ge=1, le=10_000_000, description="From one address (IPv6: one /64), in each worker.")
    minute: int = Field(
        600_000, ge=1, le=10_000_000, description="Of all together; each worker has an even share, rounded up."
    )


class Logs(Section):
    """The gate's own log lines, and the login log: a row for each attempt, in PostgreSQL, a partition a month."""

    format: Literal["auto", "json", "text"] = Field(
        "auto", description="json, text, or `auto`: text on a terminal, else json."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level written: debug, info, warning or error."
    )
    access: AccessForm = Field(
        "auto",
        description=(
            "One line a request: json, text, common or combined (as Apache), `auto`: as `format`, or `off`. Without"
            " queries and secrets."
        ),
    )
    access_sample: Number = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that get a line, 0 to 1; those refused or failed always do.",
    )
    retain: Duration | None = Field(
        90 * 86400.0,
        description="Login attempts stay in the database until their whole month is older than this; null: for good.",
    )
    retain_size: Size | None = Field(
        None, description="What they may take there with their indexes, such as 20GiB; the oldest months leave."
    )
    archive_to: Path | None = Field(
        Path("data/archive"),
        description=(
            "Folder for the months that leave, each a compressed file that `gatekeeper logs restore` reads; null: they"
            " are dropped."
        ),
    )
    caps: LoginCaps = Field(default_factory=LoginCaps)
    unknown_emails: Literal["typed", "hashed"] = Field(
        "typed",
        description=(
            "What is kept of an e-mail that no user has: `typed`, the text, or `hashed`, its HMAC (normalised first, so"
            " that the same one is recognised): people type passwords into the wrong field."
        ),
    )
    spool_sync: bool = Field(
        True,
        description=(
            "Wait for the disk before an attempt is answered, so that none is lost with the power; false: none is lost"
            " with the gate."
        ),
    )
    spool_max: Size = Field(
        1 << 30,
        description="What a worker keeps in `data_dir/spool` while PostgreSQL is away; then logins answer 503.",
    )
