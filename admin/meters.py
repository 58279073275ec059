"""Limits as the panel's page of limits looks at them. Built from what is in force by ``gatekeeper.app.panel``."""

from __future__ import annotations

from typing import Final

from limits import RateLimitItem

from admin.limit_use import Meter
from gatekeeper.identity.tallies import Part, Tally
from policies.rates import Limit, LimitBy

_PARTS: Final = {
    LimitBy.ADDRESS: Part.ADDRESS,
    LimitBy.USER: Part.ACCOUNT,
    LimitBy.SESSION: Part.SESSION,
    LimitBy.KEY: Part.KEY,
    LimitBy.RULE: Part.EVERYBODY,
    LimitBy.HEADER: Part.HEADER,
}
_SAYS: Final = {
    LimitBy.ADDRESS: "of one address",
    LimitBy.USER: "of one user",
    LimitBy.SESSION: "of one session",
    LimitBy.KEY: "of one API key",
    LimitBy.RULE: "of everybody",
    LimitBy.HEADER: "with one value of {}",
}


def of_requests(limit: Limit, setting: str, *, rule: bool = False) -> Meter:
    """A limit of requests: that of all addresses, or, with ``rule``, a rule's."""
    whose = _SAYS[limit.by].format(limit.header)
    says = f"Requests {whose} by the rule {limit.name}" if rule else f"All requests {whose}"
    return Meter(limit.name, setting, says, (_PARTS[limit.by],), limit.windows, limit.report_only, rule=rule)


def of_attempts(tally: Tally, item: RateLimitItem) -> Meter:
    """A limit of attempts, at the rate in force."""
    rate = f"{item.amount}/{item.multiples}/{item.GRANULARITY.name}"  # as the library ends its keys
    window = (item.amount, item.get_expiry())
    return Meter(tally.name, tally.setting, tally.says, tally.of, (window,), rate=rate)
