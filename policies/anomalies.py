"""What is odd about a login, or about a session's use: each signal a small function that gives its evidence, or None.

Pure: facts come in (``Sighting``, the user's ``Familiar`` profile, what was counted lately), findings go out. What is
not known is never suspicious by itself, and the first login of an account raises nothing. Called by
``gatekeeper.identity.signals`` before an attempt is written, and by the replay of a year in ``benchmarks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import Any, Final

from policies.familiar import HOURS, Familiar, Sighting
from policies.listed import Listed
from policies.travel import Limits, impossible, nearby

Evidence = Mapping[str, Any]
WITHIN_COUNTRY: Final = "within_country"


class Signal(StrEnum):
    """The names, as rows, events, metrics and the configuration have them."""

    NEW_DEVICE = "new_device"
    NEW_ADDRESS = "new_address"
    ADDRESS_CHANGED = "address_changed"
    NEW_NETWORK = "new_network"
    NEW_COUNTRY = "new_country"
    IMPOSSIBLE_TRAVEL = "impossible_travel"
    DORMANT_ACCOUNT = "dormant_account"
    PASSWORD_SPRAY = "password_spray"
    CREDENTIAL_STUFFING = "credential_stuffing"
    BRUTE_FORCE = "brute_force"
    OTP_GUESSING = "otp_guessing"
    REFRESH_REUSE = "refresh_reuse"
    FINGERPRINT_MISMATCH = "fingerprint_mismatch"
    PARALLEL_COUNTRIES = "parallel_countries"
    ODD_HOUR = "odd_hour"
    LISTED_NETWORK = "listed_network"


WEIGHTS: Final[Mapping[Signal, int]] = {
    Signal.NEW_DEVICE: 20,
    Signal.NEW_ADDRESS: 5,
    Signal.ADDRESS_CHANGED: 10,
    Signal.NEW_NETWORK: 10,
    Signal.NEW_COUNTRY: 30,
    Signal.IMPOSSIBLE_TRAVEL: 70,
    Signal.DORMANT_ACCOUNT: 20,
    Signal.PASSWORD_SPRAY: 60,
    Signal.CREDENTIAL_STUFFING: 60,
    Signal.BRUTE_FORCE: 50,
    Signal.OTP_GUESSING: 60,
    Signal.REFRESH_REUSE: 90,
    Signal.FINGERPRINT_MISMATCH: 60,
    Signal.PARALLEL_COUNTRIES: 60,
    Signal.ODD_HOUR: 10,
    Signal.LISTED_NETWORK: 30,
}
"""How much each adds to the risk, in per cent: independent parts, of which ``risk`` makes one number."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One signal and what it rests on."""

    signal: Signal
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lately:
    """Failures of the last ``Settings.window`` seconds, this attempt's among them if it failed.

    ``accounts_of_address``: on how many accounts this address failed. ``accounts_of_client`` and
    ``addresses_of_client``: on how many accounts, from how many addresses, clients with this fingerprint failed.
    ``failures_of_account``: how often anybody failed on this account; ``codes_of_account``: with codes.
    """

    accounts_of_address: int = 0
    accounts_of_client: int = 0
    addresses_of_client: int = 0
    failures_of_account: int = 0
    codes_of_account: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the signals begin. ``listed`` are networks that often hide who is there: Tor exits, hosting."""

    travel: Limits = field(default_factory=Limits)
    dormant: float = 90 * 86_400.0  # seconds
    parallel: float = 1800.0  # seconds
    window: float = 900.0  # seconds
    spray: int = 5  # accounts
    stuffing: tuple[int, int] = (10, 5)  # accounts, addresses
    brute_force: int = 8
    otp_guessing: int = 4
    hours_known: int = 40  # logins that an habit needs
    moves_told_every: float = 30 * 86_400.0  # seconds; of a user's moves for which ``is_vague`` holds
    listed: Listed = field(default_factory=Listed)


@dataclass(frozen=True, slots=True)
class Login:
    """All that the signals of one attempt may look at."""

    seen: Sighting
    familiar: Familiar
    lately: Lately
    settings: Settings

    @property
    def known(self) -> bool:
        """Whether there is anything to hold it against."""
        return self.familiar.logins > 0

    @property
    def on_known_device(self) -> bool:
        """Whether the browser has signed in to this account before, by its cookie (unless one that looks like it was
        forgotten since), or looks like one that has.
        """
        known_by_cookie = self.seen.device is not None and self.seen.fingerprint not in self.familiar.forgotten
        return known_by_cookie or self.seen.fingerprint in self.familiar.fingerprints

    @property
    def by_usual_ways(self) -> bool:
        """Whether this address, or on a known device this network, is usual for the user: such as a VPN's."""
        return self.seen.place in self.familiar.addresses or (self.on_known_device and self.familiar.has_way(self.seen))


def new_device(login: Login) -> Evidence | None:
    """A browser without a cookie of an earlier login to this account, and that looks like none of its browsers."""
    seen, familiar = login.seen, login.familiar
    anything = familiar.fingerprints or familiar.forgotten
    if login.on_known_device or seen.fingerprint is None or not anything:
        return None
    return {"known_devices": len(familiar.fingerprints)}


def new_address(login: Login) -> Evidence | None:
    """An address (IPv6: a /64) that this user has not used."""
    place = login.seen.place
    return None if place in login.familiar.addresses else {"address": place}


def new_network(login: Login) -> Evidence | None:
    """An autonomous system that this user has not come from."""
    seen, familiar = login.seen, login.familiar
    if seen.asn is None or not familiar.networks or str(seen.asn) in familiar.networks:
        return None
    return {"asn": seen.asn, "as_org": seen.as_org}


def new_country(login: Login) -> Evidence | None:
    """A country that this user has not come from."""
    seen, familiar = login.seen, login.familiar
    if seen.country is None or not familiar.countries or seen.country in familiar.countries:
        return None
    return {"country": seen.country, "usual": sorted(familiar.countries, key=familiar.countries.__getitem__)[-5:]}


def impossible_travel(login: Login) -> Evidence | None:
    """Nobody gets from one of the latest places to this one in the time between, unless by usual ways."""
    spot = login.seen.spot
    journey = impossible(spot, login.familiar.spots, login.settings.travel) if spot else None
    if journey is None or login.by_usual_ways:
        return None
    return {
        "from": journey.start.label or journey.start.where,
        "to": journey.end.label or journey.end.where,
        "km": round(journey.km),
        "hours": round(journey.hours, 2),
        "km_per_hour": round(journey.speed),
    }


def dormant_account(login: Login) -> Evidence | None:
    """The first login after a long time."""
    quiet = login.seen.time - login.familiar.last
    return {"days": int(quiet // 86_400)} if quiet > login.settings.dormant else None


def parallel_countries(login: Login) -> Evidence | None:
    """Somebody signs in while the same user was in another country just now, and not by usual ways."""
    seen = login.seen
    if seen.country is None:
        return None
    for country, at in login.familiar.countries.items():
        if country != seen.country and 0 <= seen.time - at < login.settings.parallel and not login.by_usual_ways:
            return {"countries": sorted((country, seen.country)), "minutes": int((seen.time - at) // 60)}
    return None


def odd_hour(login: Login) -> Evidence | None:
    """An hour (UTC) in which this user, of whom enough is known, has hardly ever signed in, nor in those around it."""
    hours, hour = login.familiar.hours, login.seen.hour
    total = sum(hours)
    if total < login.settings.hours_known:
        return None
    around = sum(hours[(hour + shift) % HOURS] for shift in (-2, -1, 0, 1, 2))
    return {"hour_utc": hour, "share_percent": round(100 * around / total, 1)} if around * 50 < total else None


def listed_network(login: Login) -> Evidence | None:
    """A network of the operator's list, such as Tor exits and hosting."""
    seen = login.seen
    entry = login.settings.listed.naming(seen.address, seen.asn)
    return None if entry is None else {"listed": entry, "asn": seen.asn, "as_org": seen.as_org}


def password_spray(login: Login) -> Evidence | None:
    """One address failed on many accounts."""
    accounts = login.lately.accounts_of_address
    return {"accounts": accounts} if accounts >= login.settings.spray else None


def credential_stuffing(login: Login) -> Evidence | None:
    """Clients that look the same failed on many accounts from many addresses."""
    accounts, addresses = login.lately.accounts_of_client, login.lately.addresses_of_client
    least_accounts, least_addresses = login.settings.stuffing
    if accounts < least_accounts or addresses < least_addresses:
        return None
    return {"accounts": accounts, "addresses": addresses}


def brute_force(login: Login) -> Evidence | None:
    """Many failures on one account, from wherever."""
    failures = login.lately.failures_of_account
    return {"failures": failures} if failures >= login.settings.brute_force else None


def otp_guessing(login: Login) -> Evidence | None:
    """Many wrong codes on one account."""
    codes = login.lately.codes_of_account
    return {"wrong_codes": codes} if codes >= login.settings.otp_guessing else None


_Function = Callable[[Login], Evidence | None]
_OF_ATTEMPTS: Final[Mapping[Signal, _Function]] = {
    Signal.PASSWORD_SPRAY: password_spray,
    Signal.CREDENTIAL_STUFFING: credential_stuffing,
    Signal.BRUTE_FORCE: brute_force,
    Signal.OTP_GUESSING: otp_guessing,
    Signal.LISTED_NETWORK: listed_network,
}
_OF_LOGINS: Final[Mapping[Signal, _Function]] = {
    Signal.NEW_DEVICE: new_device,
    Signal.NEW_ADDRESS: new_address,
    Signal.NEW_NETWORK: new_network,
    Signal.NEW_COUNTRY: new_country,
    Signal.IMPOSSIBLE_TRAVEL: impossible_travel,
    Signal.DORMANT_ACCOUNT: dormant_account,
    Signal.PARALLEL_COUNTRIES: parallel_countries,
    Signal.ODD_HOUR: odd_hour,
}


def of_login(login: Login) -> list[Finding]:
    """The signals of an attempt whose first proof was right."""
    return _found({**_OF_LOGINS, **_OF_ATTEMPTS}, login) if login.known else []


def of_failure(login: Login) -> list[Finding]:
    """The signals of an attempt that was wrong: what is usual for a user says nothing about a stranger's guess."""
    return _found(_OF_ATTEMPTS, login)


def _found(functions: Mapping[Signal, _Function], login: Login) -> list[Finding]:
    found = ((signal, function(login)) for signal, function in functions.items())
    return [Finding(signal, evidence) for signal, evidence in found if evidence is not None]


def of_use(before: Sighting, login: Login) -> list[Finding]:
    """The signals of a session that is used again: where and on what it was used before, and now.

    An address or a network that is usual for the user is no change that anybody need hear of.
    """
    now, moved = login.seen, _moved(before, login)
    found = [] if moved is None else [moved]
    if moved is not None and moved.signal is Signal.ADDRESS_CHANGED:
        elsewhere = before.country and now.country and before.country != now.country
        if elsewhere and 0 <= now.time - before.time < login.settings.parallel:
            countries = sorted((str(before.country), str(now.country)))
            minutes = int((now.time - before.time) // 60)
            found.append(Finding(Signal.PARALLEL_COUNTRIES, {"countries": countries, "minutes": minutes}))
    if not _looks_alike(before, now):
        found.append(Finding(Signal.FINGERPRINT_MISMATCH))
    return found


def _looks_alike(before: Sighting, now: Sighting) -> bool:
    return not before.fingerprint or not now.fingerprint or before.fingerprint == now.fingerprint


def _moved(before: Sighting, login: Login) -> Finding | None:
    """A session somewhere else: of a browser that stays the same and near to where its user always is, such as from
    their desk into the street, it is a new network and no more. Where nothing but the country is known, and that is a
    usual one, it may be such a move or a longer one: then the evidence says so (``WITHIN_COUNTRY``).
    """
    now, familiar = login.seen, login.familiar
    if before.place == now.place or familiar.has_way(now):
        return None
    facts = {"from": before.place, "to": now.place, "from_country": before.country, "to_country": now.country}
    at_home = now.country in familiar.countries and _looks_alike(before, now) and listed_network(login) is None
    km = nearby(now.spot, familiar.spots, login.settings.travel) if at_home and now.spot else None
    if km is None:
        nowhere = at_home and now.asn is None and now.spot is None
        return Finding(Signal.ADDRESS_CHANGED, {**facts, WITHIN_COUNTRY: True} if nowhere else facts)
    if now.asn is None:
        return Finding(Signal.NEW_ADDRESS, {**facts, "km_from_usual": round(km)})
    return Finding(Signal.NEW_NETWORK, {**facts, "km_from_usual": round(km), "asn": now.asn, "as_org": now.as_org})


def is_vague(findings: Sequence[Finding]) -> bool:
    """Whether all that is odd is a move within the usual country, of which nobody can tell how far it went."""
    return bool(findings) and all(WITHIN_COUNTRY in one.evidence for one in findings)


def risk(signals: Iterable[Signal]) -> int:
    """From 0 to 100: the signals as independent parts, so that many small ones add up and none exceeds the whole."""
    return round(100 * (1 - prod(1 - WEIGHTS[signal] / 100 for signal in set(signals))))


def evidence_of(findings: Sequence[Finding]) -> dict[str, Any]:
    """What a row keeps: each signal's evidence, with its part of the risk."""
    return {str(one.signal): {**one.evidence, "weight": WEIGHTS[one.signal]} for one in findings}
