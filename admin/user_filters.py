"""The filters of accounts as addresses, forms and calls have them. For the views about more than one account."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from admin.paging import filled
from admin.user_lists import Held, State, UserFilter
from gatekeeper.config.types import parse_duration
from gatekeeper.identity.user_desk import invalid

FILTERS: Final = {
    "text": "Search",
    "role": "Role",
    "state": "State",
    "factor": "Second factor",
    "unseen": "No sign-in",
}
EVER: Final = "ever"
_Choice = TypeVar("_Choice", bound=StrEnum)
#: Values of filters that people know by other words.
FACTORS: Final[Mapping[str, str]] = {
    Held.NONE: "none",
    Held.ANY: "any",
    Held.APP: "an app",
    Held.PASSKEY: "a passkey",
}
UNSEEN: Final[Mapping[str, str]] = {
    EVER: "never signed in",
    "7d": "for a week",
    "30d": "for 30 days",
    "90d": "for 90 days",
    "365d": "for a year",
}


def users_asked(query: Mapping[str, str], now: float) -> tuple[dict[str, str], UserFilter]:
    """What a query says, and what it means. Raises Problem (422)."""
    filters = filled(query, FILTERS)
    return filters, UserFilter(
        text=filters.get("text"),
        role=filters.get("role"),
        state=_one_of(State, filters, "state"),
        factor=_one_of(Held, filters, "factor"),
        unseen_since=_unseen_since(filters.get("unseen"), now),
    )


def said_values(filters: Mapping[str, str]) -> dict[str, str]:
    """How chips say those of them that people know by other words."""
    said = {"state": filters.get("state", "").replace("-", " ")}
    for name, words in (("factor", FACTORS), ("unseen", UNSEEN)):
        value = filters.get(name, "")
        said[name] = words.get(value, value)
    return said


def _one_of(choices: type[_Choice], filters: Mapping[str, str], name: str) -> _Choice | None:
    value = filters.get(name)
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise invalid(name, f"{FILTERS[name]}: one of {', '.join(choices)}.") from None


def _unseen_since(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    if text == EVER:
        return 0.0
    try:
        return now - parse_duration(text)
    except ValueError as fault:
        raise invalid("unseen", f"No sign-in: {EVER}, or {fault}.") from None
