"""The filters of accounts as addresses, forms and calls have them. For the views about more than one account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from admin.paging import ago_of, filled, one_of
from admin.user_lists import Held, State, UserFilter

FILTERS: Final = {
    "text": "Search",
    "role": "Role",
    "state": "State",
    "factor": "Second factor",
    "unseen": "No sign-in",
}
EVER: Final = "ever"
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
        state=one_of(State, filters.get("state"), "state"),
        factor=one_of(Held, filters.get("factor"), "factor"),
        unseen_since=_unseen_since(filters.get("unseen"), now),
    )


def said_values(filters: Mapping[str, str]) -> dict[str, str]:
    """How chips say those of them that people know by other words."""
    said = {"state": filters.get("state", "").replace("-", " ")}
    for name, words in (("factor", FACTORS), ("unseen", UNSEEN)):
        value = filters.get(name, "")
        said[name] = words.get(value, value)
    return said


def _unseen_since(text: str | None, now: float) -> float | None:
    return 0.0 if text == EVER else ago_of(text, "unseen", now)
