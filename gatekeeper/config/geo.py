"""The ``geo`` section of config.yaml. Part of ``config.model``."""

from __future__ import annotations

from pydantic import Field

from gatekeeper.config.section import Section


class Geo(Section):
    """Which place an address is in, what a client looks like. Files are opened anew soon after they are replaced."""

    database: str = Field(
        "bundled", min_length=1, description="`bundled`, or the path of an mmdb file (MaxMind or flat schema)."
    )
    asn_database: str | None = Field(
        None,
        min_length=1,
        description="The path of a second mmdb file that says which network (autonomous system) an address belongs to.",
    )
    tls_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        description=(
            "Header field in which `trusted_proxies` pass on a client's TLS fingerprint (JA3 or JA4), such as X-JA4; it"
            " becomes part of the fingerprint of its browser in the login log."
        ),
    )
