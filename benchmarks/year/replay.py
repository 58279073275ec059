"""Replays the year through ``policies.anomalies``, as the gate would, and counts: found, missed, false alarms."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gatekeeper.config.signals import DEFAULTS, Action
from policies.anomalies import Finding, Lately, Login, Settings, Signal, is_vague, of_failure, of_login, of_use
from policies.familiar import Familiar, Sighting
from policies.listed import Listed
from year.attacks import planted
from year.people import DAY, START, Happening, Person
from year.world import HOSTING_ASN, Network, new_device

QUARTER = 90 * DAY


class Database(StrEnum):
    """What is known of addresses: places and networks, places only, or, as with the bundled one, countries only."""

    FULL = "full"
    PLACES = "places"
    COUNTRIES = "countries"


def known_of(seen: Sighting, database: Database) -> Sighting:
    """What a gate with such a database sees."""
    if database is Database.FULL:
        return seen
    seen = replace(seen, asn=None, as_org=None)
    if database is Database.PLACES:
        return seen
    return replace(seen, city=None, latitude=None, longitude=None, accuracy_km=None)


@dataclass(slots=True)
class Outcome:
    """What came of a year."""

    happenings: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    found: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # attack: signals
    false: list[tuple[int, float, str]] = field(default_factory=list)  # user, time, signals
    users: int = 0

    def worst_quarters(self) -> Counter[tuple[int, int]]:
        """False alarms by user and 90 days."""
        return Counter((user, int((time - START) // QUARTER)) for user, time, _ in self.false)


class _Lately:
    """What the gate counts in Redis: failures within a window."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._failed: deque[Happening] = deque()
        self._right: set[tuple[int, str, float]] = set()

    def counted(self, now: Happening) -> Lately:
        while self._failed and self._failed[0].time < now.time - self._window:
            self._failed.popleft()
        if now.kind in {"failure", "code"}:
            self._failed.append(now)
        elif now.kind == "login":  # whoever gets it right is none of those that fail here
            self._right.add((now.user, now.seen.place, now.time))
        right = {(user, place) for user, place, time in self._right if time > now.time - self._window}
        self._right = {one for one in self._right if one[2] > now.time - self._window}
        same_address = [
            one for one in self._failed if one.seen.place == now.seen.place and (one.user, one.seen.place) not in right
        ]
        same_client = [one for one in self._failed if one.seen.fingerprint == now.seen.fingerprint]
        same_account = [one for one in self._failed if one.user == now.user]
        return Lately(
            len({one.user for one in same_address}),
            len({one.user for one in same_client}),
            len({one.seen.place for one in same_client}),
            len(same_account),
            sum(one.kind == "code" for one in same_account),
        )


class _Moves:
    """Who has been told of a vague move, and when."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._told: dict[int, float] = {}

    def may_tell(self, one: Happening) -> bool:
        if one.time - self._told.get(one.user, -self._every) < self._every:
            return False
        self._told[one.user] = one.time
        return True


def year(users: int, seed: int, database: Database = Database.FULL) -> Iterator[Happening]:
    """All that happens, in order, as a gate with this database sees it."""
    people = [Person(number, seed) for number in range(users)]
    everything = [one for person in people for one in person.happenings()]
    everything += planted(seed, people)
    everything += _gone(users, seed)
    for one in sorted(everything, key=lambda one: one.time):
        yield replace(one, seen=known_of(one.seen, database))


def _gone(user: int, seed: int) -> list[Happening]:
    """Somebody who signed in for a month and then left."""
    person = Person(user, seed)
    device, home = new_device(person.random), Network(person.city, 1, 90)
    times = [START + day * DAY + 36_000 for day in range(30)]
    return [Happening(time, user, "login", home.seen(person.random, time, device)) for time in times]


def replay(
    happenings: Iterable[Happening],
    actions: Mapping[Signal, Action] = DEFAULTS,
    settings: Settings | None = None,
) -> Outcome:
    """What the signals say, and what of it anybody would hear of: an alarm is a signal whose action is not ``log``."""
    settings = settings or Settings(listed=Listed([HOSTING_ASN]))
    outcome, lately = Outcome(), _Lately(settings.window)
    familiar: dict[int, Familiar] = defaultdict(Familiar)
    last: dict[tuple[int, str | None], Sighting] = {}
    moves = _Moves(settings.moves_told_every)
    for one in happenings:
        login = Login(one.seen, familiar[one.user], lately.counted(one), settings)
        findings = _findings(one, login, last)
        alarms = {finding.signal for finding in findings if actions[finding.signal] is not Action.LOG}
        if is_vague(findings) and not moves.may_tell(one):
            alarms = set()
        outcome.happenings += 1
        outcome.by_kind[one.kind] += 1
        if one.attack is not None:
            outcome.found[one.attack] |= {str(signal) for signal in alarms}
            continue  # the step-up is not passed, and what is notified of is not taken for usual by its owner
        if alarms:
            outcome.false.append((one.user, one.time, " ".join(sorted(alarms))))
        if one.kind == "login":
            familiar[one.user] = login.familiar.with_login(one.seen)
        elif one.kind == "use":
            familiar[one.user] = login.familiar.with_use(one.seen)
        if one.kind in {"login", "use"}:
            last[one.user, one.seen.fingerprint] = last[one.user, None] = one.seen
    outcome.users = len(familiar)
    return outcome


def _findings(one: Happening, login: Login, last: Mapping[tuple[int, str | None], Sighting]) -> list[Finding]:
    if one.kind == "reuse":
        return [Finding(Signal.REFRESH_REUSE)]
    if one.kind == "use":
        session = last.get((one.user, one.seen.fingerprint)) or last.get((one.user, None))
        return of_use(session, login) if session else []
    return of_login(login) if one.kind == "login" else of_failure(login)


def table(outcome: Outcome) -> str:
    """The confusion table, in Markdown."""
    quarters = outcome.worst_quarters()
    attempts = outcome.happenings
    planted_ones, found = len(outcome.found), sum(bool(signals) for signals in outcome.found.values())
    false = len(outcome.false)
    rate, more = false / (outcome.users - 1) / (365 / 90), sum(count > 1 for count in quarters.values())
    bothered = (
        f"{outcome.users - 1} users, 365 days: {rate:.2f} false alarms a user and 90 days; more than one in {more} of"
        f" {4 * (outcome.users - 1)} such times, at most {max(quarters.values(), default=0)}."
    )
    lines = [
        "| | alarm | no alarm |",
        "|---|---:|---:|",
        f"| planted attacks | {found} | {planted_ones - found} |",
        f"| what people did ({attempts:,}) | {false} | {attempts - false:,} |",
        "",
        bothered,
        "",
        "| attack | found by |",
        "|---|---|",
        *(f"| {name} | {', '.join(sorted(signals)) or 'nothing'} |" for name, signals in outcome.found.items()),
        "",
        "| false alarms | by |",
        "|---:|---|",
        *(f"| {count} | {names} |" for names, count in Counter(names for *_, names in outcome.false).most_common()),
    ]
    return "\n".join(lines)
