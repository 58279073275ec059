"""The ``geo`` section of config.yaml. Part of ``config.model``."""

from __future__ import annotations

from pydantic import Field

from gatekeeper.config.section import Section


class Geo(Section):
    """Which place an address is in. Files are opened anew within 5 s once others stand at their paths."""

    database: str = Field(
        "bundled", min_length=1, description="`bundled`, or the path of an mmdb file (MaxMind or flat schema)."
    )
    asn_database: str | None = Field(
        None,
        min_length=1,
        description="The path of a second mmdb file that says which network (autonomous system) an address belongs to.",
    )
