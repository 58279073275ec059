"""The section ``pages`` of config.yaml: how the gate's own pages look. Read by ``gatekeeper.app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from gatekeeper.config.forms import check_colour
from gatekeeper.config.section import Section

Colour = Annotated[str, AfterValidator(check_colour)]


class Pages(Section):
    """The gate's own pages: login, account and the rest."""

    brand: str = Field("Gatekeeper", min_length=1, max_length=40, description="The name above every form.")
    logo: Path | None = Field(
        None, description="An image beside or instead of the gate's mark: SVG, PNG, WebP, JPEG or GIF, up to 512 KiB."
    )
    colour: Colour = Field(
        "#3347c9", description="Of buttons and links, as #rrggbb; shaded until it can be read, in light and in dark."
    )
    css: Path | None = Field(
        None, description="A style sheet after the gate's own. It may set the variables that gate.css begins with."
    )
