"""The company's people, and when, where and on what they sign in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from gatekeeper.demo.devices import Browser, desktop, phone
from gatekeeper.demo.world import AWAY, DAY, HOMES, Line
from policies.familiar import Sighting
from policies.model import Reason

DAYS: Final = 30
COUNT: Final = 140
_MOST_BEFORE: Final = 400 * DAY  # how long the oldest account has been there
_FIRST: Final = (
    *("Ada", "Alice", "Amara", "Anna", "Ben", "Carla", "Chen", "Clara", "David", "Elena", "Emil", "Fatima", "Felix"),
    *(
        "Grace",
        "Hana",
        "Henry",
        "Ines",
        "Ivan",
        "Jonas",
        "Julia",
        "Kai",
        "Lara",
        "Leo",
        "Lina",
        "Lucas",
        "Maria",
        "Max",
    ),
    *("Mia", "Nadia", "Noah", "Olga", "Oscar", "Paula", "Priya", "Rosa", "Samuel", "Sofia", "Tim", "Yusuf", "Zoë"),
)
_LAST: Final = (
    *("Almeida", "Baumann", "Becker", "Bernard", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haas", "Huber"),
    *("Ivanova", "Jansen", "Keller", "Kowalski", "Laurent", "Lopez", "Meier", "Moreau", "Müller", "Nakamura", "Novak"),
    *(
        "Okafor",
        "Patel",
        "Reed",
        "Rossi",
        "Santos",
        "Schmid",
        "Silva",
        "Tanaka",
        "Turner",
        "Weber",
        "Wright",
        "Ziegler",
    ),
)
_PLAIN: Final = str.maketrans({"ü": "ue", "ë": "e", "ö": "oe", "ä": "ae"})
#: Whether it is right, the password, the code of an app; by which method.
_METHODS: Final = (("password", 62), ("passkey", 24), ("otp", 14))


@dataclass(frozen=True, slots=True)
class Happening:
    """One attempt to sign in. ``reason`` None: all that was shown was right; ``factor`` the second one, where shown.

    ``planted``: not by the account's owner.
    """

    time: float
    email: str
    user: str | None
    seen: Sighting
    browser: Browser
    method: str = "password"
    reason: Reason | None = None
    factor: str | None = None
    planted: bool = False


@dataclass(slots=True)
class Person:
    """``created_at`` in Unix seconds; ``method``: how they sign in, ``totp``: whether an app is their second factor."""

    id: str
    name: str
    email: str
    roles: tuple[str, ...]
    created_at: float
    method: str
    totp: bool
    home: Line
    office: Line | None
    mobile: Line
    laptop: Browser
    phone: Browser
    per_day: float
    journey: tuple[float, float, Line] | None
    random: Random = field(repr=False)

    def happenings(self, since: float, until: float) -> Iterator[Happening]:
        """What they do, in order but for typing errors."""
        day = max(since, self.created_at) // DAY * DAY
        while day < until:
            weekend = int(day // DAY + 3) % 7 >= 5  # 1970 began on a Thursday
            expected = self.per_day * (0.25 if weekend else 1.0)
            for _ in range(int(expected + self.random.random())):
                hour = self.random.triangular(6.5, 21, 9.5) - self.home.city.offset
                time = day + 3600 * hour + self.random.uniform(0, 600)
                if max(since, self.created_at) < time < until:
                    yield from self._sign_in(time)
            day += DAY

    def _sign_in(self, time: float) -> Iterator[Happening]:
        line, browser = self._where(time)
        while self.method == "password" and self.random.random() < 0.09:
            time += self.random.uniform(8, 40)
            yield self._happening(time, line, browser, Reason.INVALID_CREDENTIALS)
        if self.totp and self.random.random() < 0.04:
            time += 15
            yield self._happening(time, line, browser, Reason.MFA_INVALID)
        yield self._happening(time + 12, line, browser, None)

    def _happening(self, time: float, line: Line, browser: Browser, reason: Reason | None) -> Happening:
        factor = "totp" if self.totp and reason is None and self.method == "password" else None
        # What the browser looks like is the story's to say, which has the gate's key.
        seen = line.seen(self.random, time, browser.cookie, None)
        return Happening(time, self.email, self.id, seen, browser, self.method, reason, factor)

    def _where(self, time: float) -> tuple[Line, Browser]:
        if self.journey is not None and self.journey[0] <= time < self.journey[1]:
            return self.journey[2], self.random.choice((self.laptop, self.phone))
        if self.random.random() < 0.22:
            return self.mobile, self.phone
        local = (time / 3600 + self.home.city.offset) % 24
        if self.office is not None and 8 <= local < 18:
            return self.office, self.laptop
        return self.home, self.laptop


def people(random: Random, now: float) -> list[Person]:
    """All of them; the first two are admins, the third an auditor."""
    names = random.sample([f"{first} {last}" for first in _FIRST for last in _LAST], COUNT)
    return [_person(random, number, name, now) for number, name in enumerate(names)]


def _person(random: Random, number: int, name: str, now: float) -> Person:
    city = random.choices(HOMES, range(len(HOMES), 0, -1))[0]
    created = now - random.uniform(DAYS * DAY, _MOST_BEFORE) if number % 7 else now - random.uniform(2, DAYS) * DAY
    if number < 3:
        created = now - _MOST_BEFORE - number * DAY
    ((method, _),) = random.choices(_METHODS, [share for _, share in _METHODS])
    begin = now - random.uniform(2, DAYS - 2) * DAY
    away = Line(random.choice([*AWAY, *HOMES]), "home", 4 * DAY)
    return Person(
        id=str(uuid.UUID(int=random.getrandbits(128), version=4)),
        name=name,
        email=f"{name.lower().translate(_PLAIN).replace(' ', '.')}@example.com",
        roles=_roles(random, number),
        created_at=created,
        method="password" if number < 3 else method,
        totp=number < 3 or (method == "password" and random.random() < 0.45),
        home=Line(city, "home"),
        office=Line(city, "office", 400 * DAY) if random.random() < 0.6 else None,
        mobile=Line(city, "mobile", 0.0),
        laptop=desktop(random, city.country),
        phone=phone(random, city.country),
        per_day=random.choice((0.15, 0.5, 0.9, 1.3, 2.2)),
        journey=(begin, begin + random.uniform(2, 9) * DAY, away) if random.random() < 0.2 else None,
        random=Random(random.getrandbits(64)),  # noqa: S311  # a story
    )


def _roles(random: Random, number: int) -> tuple[str, ...]:
    if number < 3:
        return ("admin",) if number < 2 else ("auditor",)
    return tuple(role for role, share in (("billing", 0.1), ("editor", 0.3), ("staff", 0.7)) if random.random() < share)
