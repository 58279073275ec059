"""Every limit in force, as the panel's page of limits looks at them. Called by ``gatekeeper.app.panel``."""

from __future__ import annotations

from admin.limit_use import Meter
from admin.meters import of_attempts, of_requests
from gatekeeper.app.rates import AttemptRates
from gatekeeper.gate import Gate
from gatekeeper.identity.tallies import TALLIES


def meters(gate: Gate, rates: AttemptRates) -> list[Meter]:
    """Attempts first, then all requests of an address, then rules in their order."""
    limited = [rule.limit for rule in gate.rules.rules if rule.limit is not None]
    return [
        *(of_attempts(tally, rates.of(tally.setting).item) for tally in TALLIES),
        of_requests(gate.address_limit, "limits.default"),
        *(of_requests(limit, "rules", rule=True) for limit in limited),
    ]
