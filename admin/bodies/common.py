"""What the bodies of all subjects have in common: strict models of queries and bodies, and often met fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gatekeeper.identity.user_desk import LONGEST_WHY

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, in UTC")]
Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Next = Annotated[str | None, Field(description="`after` of the next page; null on the last one")]
NextNumber = Annotated[int | None, Field(description="`after` of the next page; null on the last one")]
Why = Annotated[
    str, Field(max_length=LONGEST_WHY, description="Goes into the audit log", examples=["left the company"])
]
Roles = Annotated[
    list[str] | str, Field(description="A list, or names with blanks or commas between them", examples=[["staff"]])
]
After = Annotated[str | None, Field(max_length=254, description="`next` of the page before")]


class Query(BaseModel):
    """A query: no field that is not known. What is blank is not there."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Body(BaseModel):
    """A JSON body: strict types, no field that is not known; null is as good as left out."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def fields(self) -> dict[str, str]:
        """As a form would send them."""
        return {name: _sent(value) for name, value in self.model_dump(exclude_none=True).items()}


class Paged(Query):
    """A list in pages."""

    after: After = None


class WhyBody(Body):
    """An act that needs nothing but its reason."""

    why: Why


class Done(TypedDict):
    """What an act led to; ``done`` is a word of the panel's own."""

    done: str


class DoneTo(Done):
    """The same with whom or what it was done to."""

    id: str


def _sent(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
