"""The section ``anomalies``: what follows from each signal. Used by ``config.model``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from policies.anomalies import Signal


class Action(StrEnum):
    """What follows, from the mildest to the strictest."""

    LOG = "log"
    NOTIFY = "notify"
    STEP_UP = "step-up"
    DENY = "deny"
    BAN = "ban"
    REVOKE = "revoke"


DEFAULTS: Final[Mapping[Signal, Action]] = {
    Signal.NEW_DEVICE: Action.NOTIFY,
    Signal.NEW_ADDRESS: Action.LOG,
    Signal.ADDRESS_CHANGED: Action.NOTIFY,
    Signal.NEW_NETWORK: Action.LOG,
    Signal.NEW_COUNTRY: Action.STEP_UP,
    Signal.IMPOSSIBLE_TRAVEL: Action.STEP_UP,
    Signal.DORMANT_ACCOUNT: Action.NOTIFY,
    Signal.PASSWORD_SPRAY: Action.BAN,
    Signal.CREDENTIAL_STUFFING: Action.NOTIFY,
    Signal.BRUTE_FORCE: Action.NOTIFY,
    Signal.OTP_GUESSING: Action.NOTIFY,
    Signal.REFRESH_REUSE: Action.REVOKE,
    Signal.FINGERPRINT_MISMATCH: Action.NOTIFY,
    Signal.PARALLEL_COUNTRIES: Action.NOTIFY,
    Signal.ODD_HOUR: Action.LOG,
    Signal.LISTED_NETWORK: Action.NOTIFY,
}
