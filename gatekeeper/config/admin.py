"""The section ``admin`` of config.yaml: the panel. Read by ``gatekeeper.app``."""

from __future__ import annotations

from pydantic import Field

from gatekeeper.config.section import Section
from gatekeeper.config.types import Duration


class Admin(Section):
    """The panel for admins (and, to look only, for auditors) under the prefix."""

    idle: Duration = Field(
        15 * 60.0, description="Whoever has not asked for a page of the panel for so long confirms that it is them."
    )
