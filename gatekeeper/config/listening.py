"""Where and how clients come in, in config.yaml: ``listen`` and ``tls``. Part of ``config.model``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gatekeeper.config.section import Section
from gatekeeper.config.types import Listen


class Listener(Section):
    """An address that is listened on in another way than in clear."""

    address: Listen = Field(description="host:port or [IPv6]:port.")
    tls: bool = Field(False, description="Speak TLS with the certificates of `tls`.")
    proxy_protocol: bool = Field(
        False,
        description=(
            "Expect the Proxy Protocol, version 1 or 2, from `trusted_proxies`; a connection without it, or from"
            " anybody else, is closed."
        ),
    )


def _kind_of_listener(value: Any) -> str:
    return "(listener)" if isinstance(value, dict | Listener) else "(address)"


AnyListener = Annotated[
    Annotated[Listen, Tag("(address)")] | Annotated[Listener, Tag("(listener)")],
    Discriminator(_kind_of_listener),
]


class CertificateFiles(Section):
    """A further certificate, for clients that ask for its names."""

    cert: Path = Field(description="The certificate and its chain in PEM.")
    key: Path | None = Field(None, description="Its key in PEM, without a password; not set: it is in `cert`.")


class Tls(Section):
    """What TLS clients are shown; read again within 2 s of a change, without losing a connection."""

    cert: Path | None = Field(None, description="The certificate and its chain in PEM; needed where `listen` has TLS.")
    key: Path | None = Field(None, description="Its key in PEM, without a password; not set: it is in `cert`.")
    more: list[CertificateFiles] = Field(
        [], description="Further certificates, `{cert, key}`, shown to clients that ask for a name in them (SNI)."
    )
    min_version: Literal["1.2", "1.3"] = Field("1.2", description="Oldest version of TLS taken: 1.2 or 1.3.")
