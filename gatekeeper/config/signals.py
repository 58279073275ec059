"""The section ``anomalies``: what follows from each signal. Used by ``config.model``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from gatekeeper.config.networks import ListedOrFile
from gatekeeper.config.section import Section
from gatekeeper.config.types import Duration
from policies.anomalies import Settings, Signal
from policies.listed import Listed
from policies.travel import Limits


class Action(StrEnum):
    """What follows, from the mildest to the strictest."""

    LOG = "log"
    NOTIFY = "notify"
    STEP_UP = "step-up"
    DENY = "deny"
    BAN = "ban"
    REVOKE = "revoke"


_WORDS: Final[Mapping[Signal, str]] = {
    Signal.NEW_DEVICE: "A browser that the user has not signed in with.",
    Signal.NEW_ADDRESS: "An address that the user has not used.",
    Signal.ADDRESS_CHANGED: "A session goes on from an unusual address.",
    Signal.NEW_NETWORK: "A network (autonomous system) that the user has not come from.",
    Signal.NEW_COUNTRY: "A country that the user has not come from.",
    Signal.IMPOSSIBLE_TRAVEL: "Nobody gets from one of the latest places to this one in the time between.",
    Signal.DORMANT_ACCOUNT: "The first login after a long silence.",
    Signal.PASSWORD_SPRAY: "One address fails on many accounts.",
    Signal.CREDENTIAL_STUFFING: "Clients that look alike fail on many accounts from many addresses.",
    Signal.BRUTE_FORCE: "Many failures on one account.",
    Signal.OTP_GUESSING: "Many wrong codes on one account.",
    Signal.REFRESH_REUSE: "A refresh token comes a second time; its session ends in any case.",
    Signal.FINGERPRINT_MISMATCH: "A session goes on with a browser that looks different.",
    Signal.PARALLEL_COUNTRIES: "The user is in two countries at once.",
    Signal.ODD_HOUR: "An hour in which the user hardly ever signs in.",
    Signal.LISTED_NETWORK: "A network of listed_networks.",
}

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
    Signal.REFRESH_REUSE: Action.NOTIFY,
    Signal.FINGERPRINT_MISMATCH: Action.NOTIFY,
    Signal.PARALLEL_COUNTRIES: Action.NOTIFY,
    Signal.ODD_HOUR: Action.LOG,
    Signal.LISTED_NETWORK: Action.NOTIFY,
}


def _action(signal: Signal) -> Any:
    return Field(DEFAULTS[signal], description=_WORDS[signal])


class Travel(Section):
    """Impossible travel."""

    speed: float = Field(1000.0, ge=100, le=100_000, description="km/h that nobody exceeds.")
    tolerance: float = Field(
        200.0, ge=0, le=20_000, description="km taken off each distance, beside the accuracy of the places."
    )
    nearby: float = Field(
        100.0,
        ge=0,
        le=20_000,
        description="A session that goes on within so many km of a place of the user's logins has not changed address.",
    )


class Anomalies(Section):
    """What follows from each signal about a login or a session; docs/signals.md says when each is raised.

    log: the row and the events have it. notify: the user is told too. step-up: a second factor is asked for, whatever
    is remembered of the device. deny: the sign-in is refused. ban: and its address is banned. revoke: all sessions of
    the user end.
    """

    report_only: bool = Field(False, description="Find and log, but do nothing.")
    new_device: Action = _action(Signal.NEW_DEVICE)
    new_address: Action = _action(Signal.NEW_ADDRESS)
    address_changed: Action = _action(Signal.ADDRESS_CHANGED)
    new_network: Action = _action(Signal.NEW_NETWORK)
    new_country: Action = _action(Signal.NEW_COUNTRY)
    impossible_travel: Action = _action(Signal.IMPOSSIBLE_TRAVEL)
    dormant_account: Action = _action(Signal.DORMANT_ACCOUNT)
    password_spray: Action = _action(Signal.PASSWORD_SPRAY)
    credential_stuffing: Action = _action(Signal.CREDENTIAL_STUFFING)
    brute_force: Action = _action(Signal.BRUTE_FORCE)
    otp_guessing: Action = _action(Signal.OTP_GUESSING)
    refresh_reuse: Action = _action(Signal.REFRESH_REUSE)
    fingerprint_mismatch: Action = _action(Signal.FINGERPRINT_MISMATCH)
    parallel_countries: Action = _action(Signal.PARALLEL_COUNTRIES)
    odd_hour: Action = _action(Signal.ODD_HOUR)
    listed_network: Action = _action(Signal.LISTED_NETWORK)
    travel: Travel = Field(default_factory=Travel)
    dormant_after: Duration = Field(90 * 86_400.0, description="Silence after which an account is dormant.")
    parallel_within: Duration = Field(1800.0, description="Time in which two countries are at once.")
    moves_told_every: Duration = Field(
        30 * 86_400.0,
        description=(
            "Time in which a user is told once of sessions that move within a usual country, where the databases know"
            " neither place nor network of the address."
        ),
    )
    window: Duration = Field(900.0, description="Time in which failures are counted.")
    spray_accounts: int = Field(5, ge=2, le=100, description="Accounts that one address must fail on.")
    stuffing_accounts: int = Field(10, ge=2, le=100, description="Accounts that like clients must fail on, and")
    stuffing_addresses: int = Field(5, ge=2, le=100, description="addresses from which they must do so.")
    brute_force_failures: int = Field(8, ge=2, le=100, description="Failures on one account.")
    otp_failures: int = Field(4, ge=2, le=100, description="Wrong codes on one account.")
    listed_networks: list[ListedOrFile] = Field(
        [],
        description="What listed_network is about, such as Tor exits and hosting: numbers of autonomous systems,"
        " addresses, networks, or file:PATH with one of these a line, read again when it changes.",
    )

    def actions(self) -> dict[Signal, Action]:
        """By signal."""
        return {signal: getattr(self, signal) for signal in Signal}

    def settings(self, listed: Listed) -> Settings:
        """As ``policies.anomalies`` takes them; ``listed`` is what ``listed_networks`` comes to."""
        return Settings(
            travel=Limits(self.travel.speed, self.travel.tolerance, nearby=self.travel.nearby),
            dormant=self.dormant_after,
            parallel=self.parallel_within,
            moves_told_every=self.moves_told_every,
            window=self.window,
            spray=self.spray_accounts,
            stuffing=(self.stuffing_accounts, self.stuffing_addresses),
            brute_force=self.brute_force_failures,
            otp_guessing=self.otp_failures,
            listed=listed,
        )
