"""Bans: who may not connect, until when. The facts, the words for them, and what a store of bans must do.

``policies.ban_list`` holds what is in force and is asked on every request; ``gatekeeper.bans`` follows the store, makes
the automatic ones and serves people.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from math import ceil
from typing import Final, Protocol

from policies.countries import CODES
from policies.globs import segment_matches
from policies.model import Address

Network = IPv4Network | IPv6Network

LONGEST_PATTERN: Final = 200  # characters of a user-agent pattern
LONGEST_REASON: Final = 500
AGENT_PREFIX: Final = "agent:"
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class BanKind(StrEnum):
    """What a ban is on; an address is a network of one."""

    NETWORK = "network"
    COUNTRY = "country"
    USER = "user"
    AGENT = "agent"


class Source(StrEnum):
    """Who or what made a ban: people, or one of the offences that the gate counts."""

    MANUAL = "manual"
    IMPORT = "import"
    FAILURES = "failures"  # failed logins from one address
    SPRAY = "spray"  # failed logins on many accounts from one address
    OTP = "otp"  # wrong one-time codes from one address
    LIMITS = "limits"  # requests over a limit
    HONEYPOT = "honeypot"  # a path that nobody has business with


AUTOMATIC: Final = frozenset(Source) - {Source.MANUAL, Source.IMPORT}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a ban is on, in canonical text: a network in CIDR or an address, an ISO 3166 code in capitals, a user's
    id, or a user-agent pattern in lower case.
    """

    kind: BanKind
    text: str

    @property
    def network(self) -> Network:
        """The network of a ``NETWORK`` subject; an address has all bits."""
        return ip_network(self.text)

    @property
    def is_address(self) -> bool:
        """Whether it is one single address."""
        return self.kind is BanKind.NETWORK and "/" not in self.text


@dataclass(frozen=True, slots=True)
class Ban:
    """One ban with its history; times in Unix seconds, ``until`` None: for good.

    ``actor`` is who made it (a user's id, ``cli:<operating system user>``, or ``gate``), ``label`` how people know the
    subject where its text does not say it (a user's e-mail).
    """

    subject: Subject
    source: Source
    since: float
    until: float | None = None
    reason: str = ""
    actor: str = "gate"
    label: str | None = None
    lifted_at: float | None = None
    lifted_by: str | None = None

    @property
    def ended_at(self) -> float | None:
        """When it was lifted or is over, whichever came first; None for one without an end."""
        ends = [end for end in (self.lifted_at, self.until) if end is not None]
        return min(ends, default=None)

    def in_force(self, now: float) -> bool:
        """Neither lifted nor over."""
        return self.lifted_at is None and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class Banned:
    """The answer to "is this one banned?": what was hit and when it ends (Unix seconds; None: never)."""

    kind: BanKind
    until: float | None

    def retry_after(self, now: float) -> float | None:
        """Seconds until it ends, None for one that does not."""
        return None if self.until is None else max(self.until - now, 0.0)


@dataclass(frozen=True, slots=True)
class Entries:
    """A portion of changes, packed: ``(value, prefix length, until)`` of networks and ``(subject, until)`` of the rest.

    ``until`` is in whole Unix seconds, 0: for good, -1: not in force any more.
    """

    v4: Sequence[tuple[int, int, int]] = ()
    v6: Sequence[tuple[int, int, int]] = ()
    others: Sequence[tuple[Subject, int]] = ()


class BanStore(Protocol):
    """Bans with their history. Every change raises the version by one; all methods raise StoreUnavailable."""

    async def put(self, bans: Sequence[Ban], now: float) -> int:
        """Put bans in force, in one transaction; the new version. Of several on one subject the last counts.

        Each takes the place of the one that its subject has, but an automatic ban never that of a longer one.
        """

    async def lift(self, subject: Subject, by: str, now: float) -> Ban | None:
        """End the ban of a subject; as it was, or None where none is in force."""

    async def find(self, subject: Subject, now: float) -> Ban | None:
        """The ban in force on exactly this subject."""

    def in_force(self, now: float) -> AsyncGenerator[list[Ban], None]:
        """Every ban in force, oldest first, in portions."""

    async def reaching(self, address: Address, now: float) -> list[Ban]:
        """Every ban in force on a network that holds the address, the narrowest first."""

    async def on_agents(self, now: float) -> list[Ban]:
        """Every ban in force on a user-agent pattern, oldest first."""

    async def history(self, subject: Subject, count: int = 50) -> list[Ban]:
        """What a subject's bans were, newest first."""

    async def version(self) -> int:
        """The number of the last change."""

    def changes(self, since: int, now: float) -> AsyncGenerator[Entries, None]:
        """What differs from version ``since`` (0: everything in force), in portions; endings come first."""


def whole_end(until: float | None) -> int:
    """The end of a ban as ``Entries`` has it."""
    return 0 if until is None else ceil(until)


def entries_of(subject: Subject, until: int) -> Entries:
    """One change; ``until`` as in ``Entries``."""
    if subject.kind is not BanKind.NETWORK:
        return Entries(others=[(subject, until)])
    network = subject.network
    packed = [(int(network.network_address), network.prefixlen, until)]
    return Entries(v4=packed) if network.version == 4 else Entries(v6=packed)


def parse_subject(text: str) -> Subject:
    """An address, a network, a two-letter country or ``agent:PATTERN``. Raises ValueError, which says what is wrong.

    E-mails stand for users and are the caller's to look up.
    """
    given = text.strip()
    if given.lower().startswith(AGENT_PREFIX):
        return Subject(BanKind.AGENT, agent_pattern(given[len(AGENT_PREFIX) :]))
    if _COUNTRY.fullmatch(given):
        if given.upper() not in CODES:
            raise ValueError("is no country of ISO 3166")
        return Subject(BanKind.COUNTRY, given.upper())
    try:
        network = ip_network(given)
    except ValueError as fault:
        if "has host bits set" in str(fault):
            raise ValueError(f"has bits set behind its prefix; {_masked(given)} is meant, or the one address") from None
        raise ValueError("is no address, network in CIDR, two-letter country, e-mail or agent:PATTERN") from None
    return of_network(network)


def of_network(network: Network) -> Subject:
    """The subject of a network, ``::ffff:`` ones as IPv4. Raises ValueError for one that holds everybody."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        network = IPv4Network((mapped, network.prefixlen - 96))
    if network.prefixlen == 0:
        raise ValueError("holds everybody")
    whole = network.prefixlen == network.max_prefixlen
    return Subject(BanKind.NETWORK, str(network.network_address) if whole else str(network))


def of_offender(address: Address) -> Subject:
    """What is banned of an address that misbehaved: itself, or the /64 of an IPv6 one (security 5)."""
    if isinstance(address, IPv4Address):
        return Subject(BanKind.NETWORK, str(address))
    return Subject(BanKind.NETWORK, str(IPv6Network((int(address) >> 64 << 64, 64))))


def of_user(user: str) -> Subject:
    """The subject of an account."""
    return Subject(BanKind.USER, user)


def agent_pattern(text: str) -> str:
    """A pattern as it is matched: lower case. Raises ValueError."""
    pattern = text.strip().lower()
    if len(pattern.replace("*", "").strip()) < 3:
        raise ValueError("needs at least three characters beside *")
    if len(pattern) > LONGEST_PATTERN or not pattern.isprintable():
        raise ValueError(f"must be printable and at most {LONGEST_PATTERN} characters long")
    return pattern


def agent_matches(pattern: str, agent: str) -> bool:
    """Whether a lower-case user agent holds the pattern; one with ``*`` (any text) must fit whole. Linear."""
    return segment_matches(pattern, agent) if "*" in pattern else pattern in agent


def _masked(text: str) -> str:
    return str(ip_network(text, strict=False))


@dataclass(frozen=True, slots=True)
class Penalty:
    """How long an offender stays out: ``first`` seconds, ``growth`` times more each time, at most ``longest``.

    One offence is forgotten for every ``longest`` seconds that pass after it.
    """

    first: float
    growth: float
    longest: float

    def length(self, level: int) -> float:
        """Seconds of the ``level``-th ban in a row (1 is the first)."""
        # The exponent is bounded because a float is.
        return min(self.first * self.growth ** min(level - 1, 64), self.longest)

    def level_after(self, level: int, at: float, now: float) -> int:
        """The level of a ban at ``now`` where the last was at ``level`` (0: none) and ``at``."""
        return max(level - int(max(now - at, 0.0) // self.longest), 0) + 1
