"""What a rule may ask of a request beyond host, path and method. Judged by ``policies.rules``, read by
``policies.load``.

Each criterion answers yes, no, or that it cannot tell. Where it cannot tell, because a client says two things at
once or because nobody knows the country, the rule decides and refuses: going on to the next one would let whoever
blurs the question pick the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar, Final, Protocol, TypeAlias
from urllib.parse import unquote_plus

from policies.countries import UNKNOWN
from policies.fields import canonical_field
from policies.model import Address, RequestTarget
from policies.patterns import ValuePattern
from policies.schedule import Schedule

Network = IPv4Network | IPv6Network
CountryOf: TypeAlias = Callable[[Address], str | None]

_AMPERSAND: Final = re.compile(r"&")
_EITHER: Final = re.compile(r"[&;]")


class Fields(Protocol):
    """Header fields: every line with its name."""

    def items(self) -> Iterable[tuple[str, str]]: ...


class AccessRequest(Protocol):
    """A request as criteria see it. ``received`` is in Unix seconds, ``client`` the derived address."""

    @property
    def target(self) -> RequestTarget: ...
    @property
    def client(self) -> Address: ...
    @property
    def headers(self) -> Fields: ...
    @property
    def received(self) -> float: ...


class Answer(IntEnum):
    """Whether a criterion is met."""

    NO = 0
    YES = 1
    UNCLEAR = 2


class Criterion(Protocol):
    """One condition of a rule; ``key`` is its name in the configuration."""

    key: ClassVar[str]

    def judge(self, request: AccessRequest, country_of: CountryOf) -> Answer: ...

    def miss(self, request: AccessRequest, country_of: CountryOf) -> str:
        """Why it is not met, for an operator."""

    def __str__(self) -> str:
        """What is asked for, for an operator."""

    def covers(self, other: Criterion) -> bool:
        """Whether it is met, or unclear, wherever ``other`` is. Sound, not complete."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query, by its decoded name and value (application/x-www-form-urlencoded).

    Given several times, or read differently by those who take ``;`` for ``&``, all readings must agree.
    """

    key: ClassVar[str] = "query"
    name: str
    wanted: ValuePattern

    def judge(self, request: AccessRequest, country_of: CountryOf) -> Answer:
        query = request.target.query
        if query is None:
            return _agreed(self.wanted, ())
        answer = _agreed(self.wanted, _values(query, self.name, _AMPERSAND))
        if ";" in query and _agreed(self.wanted, _values(query, self.name, _EITHER)) is not answer:
            return Answer.UNCLEAR
        return answer

    def miss(self, request: AccessRequest, country_of: CountryOf) -> str:
        values = _values(request.target.query or "", self.name, _EITHER)
        return _said(f"parameter {self.name}", self.wanted, values)

    def __str__(self) -> str:
        return f"{self.name}: {self.wanted}"

    def covers(self, other: Criterion) -> bool:
        return self == other


def _values(query: str, name: str, separator: re.Pattern[str]) -> list[str]:
    found: list[str] = []
    for pair in separator.split(query):
        begin, _, value = pair.partition("=")
        if begin == name or unquote_plus(begin) == name:
            found.append(unquote_plus(value))
    return found


@dataclass(frozen=True, slots=True)
class Header:
    """A header field, in whatever spelling of its name (``_`` for ``-`` too). All its lines must agree."""

    key: ClassVar[str] = "headers"
    name: str
    wanted: ValuePattern
    canonical: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "canonical", canonical_field(self.name))

    def judge(self, request: AccessRequest, country_of: CountryOf) -> Answer:
        values, dropped = self._read(request)
        # RFC 9110 7.6.1: what Connection names stays here, so the upstream would not see what was decided on.
        return Answer.UNCLEAR if dropped and values else _agreed(self.wanted, values)

    def miss(self, request: AccessRequest, country_of: CountryOf) -> str:
        values, dropped = self._read(request)
        said = _said(self.name, self.wanted, values)
        return f"{said}, and Connection names it" if dropped else said

    def __str__(self) -> str:
        return f"{self.name}: {self.wanted}"

    def _read(self, request: AccessRequest) -> tuple[list[str], bool]:
        wanted, values, dropped = self.canonical, [], False
        for name, value in request.headers.items():
            canonical = canonical_field(name)
            if canonical == wanted:
                values.append(value)
            elif canonical == "connection":
                dropped = dropped or wanted in (canonical_field(option.strip(" \t")) for option in value.split(","))
        return values, dropped

    def covers(self, other: Criterion) -> bool:
        return isinstance(other, Header) and (self.canonical, self.wanted) == (other.canonical, other.wanted)


def _agreed(wanted: ValuePattern, values: Sequence[str]) -> Answer:
    if not values:
        return Answer.YES if wanted.text is None else Answer.NO
    if len(values) == 1:
        return Answer.YES if wanted.takes(values[0]) else Answer.NO
    taken = {wanted.takes(value) for value in values}
    return Answer.UNCLEAR if len(taken) > 1 else Answer(taken.pop())


def _said(what: str, wanted: ValuePattern, values: Sequence[str]) -> str:
    sent = " and ".join(repr(value) for value in values[:3]) or "absent"
    return f"{what} is {sent}, not {wanted}" if len(set(values)) < 2 else f"{what} is {sent} at once"


@dataclass(frozen=True, slots=True)
class Networks:
    """The client's address, as trusted proxies give it."""

    key: ClassVar[str] = "networks"
    networks: tuple[Network, ...]
    _v4: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)
    _v6: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, version in (("_v4", 4), ("_v6", 6)):
            pairs = [(int(net.netmask), int(net.network_address)) for net in self.networks if net.version == version]
            object.__setattr__(self, name, tuple(pairs))

    def judge(self, request: AccessRequest, country_of: CountryOf) -> Answer:
        client = request.client
        value = int(client)
        return Answer(any(value & mask == net for mask, net in (self._v4 if client.version == 4 else self._v6)))

    def miss(self, request: AccessRequest, country_of: CountryOf) -> str:
        return f"{request.client} is not in {self}"

    def __str__(self) -> str:
        return ", ".join(map(str, self.networks))

    def covers(self, other: Criterion) -> bool:
        return isinstance(other, Networks) and all(
            any(net.version == wide.version and net.subnet_of(wide) for wide in self.networks)  # type: ignore[arg-type]
            for net in other.networks
        )


@dataclass(frozen=True, slots=True)
class Countries:
    """The country of the client's address (ISO 3166-1 alpha-2), or ``unknown``."""

    key: ClassVar[str] = "countries"
    codes: frozenset[str]

    def judge(self, request: AccessRequest, country_of: CountryOf) -> Answer:
        country = country_of(request.client)
        if country is None:
            return Answer.YES if UNKNOWN in self.codes else Answer.UNCLEAR
        return Answer(country in self.codes)

    def miss(self, request: AccessRequest, country_of: CountryOf) -> str:
        country = country_of(request.client)
        if country is None:
            return f"nobody knows the country of {request.client}; a rule with countries: [{UNKNOWN}] would take it"
        return f"{country} is not {self}"

    def __str__(self) -> str:
        return ", ".join(sorted(self.codes))

    def covers(self, other: Criterion) -> bool:
        return isinstance(other, Countries) and other.codes <= self.codes


@dataclass(frozen=True, slots=True)
class Timing:
    """The time at which the request came."""

    key: ClassVar[str] = "schedule"
    schedule: Schedule

    def judge(self, request: AccessRequest, country_of: CountryOf) -> Answer:
        return Answer(self.schedule.holds(request.received))

    def miss(self, request: AccessRequest, country_of: CountryOf) -> str:
        return f"now is not {self}"

    def __str__(self) -> str:
        return str(self.schedule)

    def covers(self, other: Criterion) -> bool:
        return self == other


def judge_all(criteria: Sequence[Criterion], request: AccessRequest | None, country_of: CountryOf) -> Answer:
    """All of them together; without a request to look at nobody can tell."""
    if request is None:
        return Answer.UNCLEAR
    unclear = False
    for criterion in criteria:
        answer = criterion.judge(request, country_of)
        if answer is Answer.NO:
            return Answer.NO
        unclear = unclear or answer is Answer.UNCLEAR
    return Answer.UNCLEAR if unclear else Answer.YES
