"""The section ``admin`` of config.yaml: the panel. Read by ``gatekeeper.app`` and, for its listener, the supervisor."""

from __future__ import annotations

from pydantic import Field

from gatekeeper.config.listening import AnyListener
from gatekeeper.config.section import Section
from gatekeeper.config.types import Duration, PublicUrl


class Admin(Section):
    """The panel for admins (and, to look only, for auditors) under the prefix."""

    listen: AnyListener | None = Field(
        None,
        description=(
            "An address for the panel alone, written as one of `listen`: it is there, with the pages for signing in,"
            " and nowhere else, so that no page of an upstream shares its origin. null: under the prefix at public_url."
        ),
    )
    public_url: PublicUrl | None = Field(
        None,
        description=(
            "Where admins reach `admin.listen`, such as https://gate-admin.example.org; a host of its own keeps its"
            " cookies apart too. null: the address of `admin.listen` itself."
        ),
    )
    idle: Duration = Field(
        15 * 60.0, description="Whoever has not asked for a page of the panel for so long confirms that it is them."
    )
