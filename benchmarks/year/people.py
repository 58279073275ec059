"""How people sign in over a year: their hours, places, journeys, new devices, typing errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from policies.familiar import Sighting
from year.world import CITIES, HOME_CITIES, Device, Network, new_device

DAY = 86_400.0
START = 1_767_225_600.0  # 2026-01-01


@dataclass(frozen=True, slots=True)
class Happening:
    """``kind``: login (right), failure, code (a wrong one), use (of a session), reuse (of a refresh token).

    ``attack`` names the planted one it belongs to; None: a person going about their business.
    """

    time: float
    user: int
    kind: str
    seen: Sighting
    attack: str | None = None


class Person:
    """One user; ``happenings`` are a year of theirs, in order."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.random = random = Random(seed * 100_003 + number)
        self.city = random.choice(HOME_CITIES)
        self.home = self._network(self.city, lease=random.choice((1, 30, 90)))
        self.office = self._network(self.city, lease=2000, accuracy=5) if random.random() < 0.6 else None
        self.mobile = self._network(self.city, lease=0, accuracy=random.choice((50, 100, 200)))
        if random.random() < 0.03:  # a database is not always right
            self.mobile.wrong = random.choice([city for city in CITIES if CITIES[city][0] == CITIES[self.city][0]])
        self.vpn = self._network(random.choice(HOME_CITIES), lease=400) if random.random() < 0.06 else None
        self.laptop, self.phone = new_device(random), new_device(random)
        self.per_day = random.choice((0.05, 0.3, 0.8, 1.2, 2.0))
        self.middle = random.gauss(13, 2) if random.random() < 0.9 else random.uniform(0, 24)  # owls and shifts
        self.spread = random.choice((2.0, 3.5, 6.0))
        self.journeys = sorted(self._journey() for _ in range(random.choice((0, 1, 1, 2, 3))))

    def happenings(self) -> Iterator[Happening]:
        """All of the year."""
        random = self.random
        for day in range(365):
            self._renew(day)
            moments = sorted(self._moments(day))
            for time in moments:
                network, device = self._where(time)
                if random.random() < 0.04:
                    yield from self._mistyped(time, network, device)
                yield Happening(time, self.number, "login", self._seen(network, time, device))
                device.cookie = device.cookie or f"{random.getrandbits(64):016x}"
                for _ in range(random.choice((0, 0, 1, 2))):
                    later = time + random.uniform(300, 6 * 3600)
                    again, _ = self._where(later)
                    if device is self.laptop and again is self.mobile and random.random() < 0.7:
                        continue  # the laptop stays where it is
                    yield Happening(later, self.number, "use", self._seen(again, later, device))

    def _seen(self, network: Network, time: float, device: Device) -> Sighting:
        return network.seen(self.random, time, device)

    def _mistyped(self, time: float, network: Network, device: Device) -> Iterator[Happening]:
        for count in range(self.random.choice((1, 1, 1, 2, 3))):
            moment = time - 60 + 10 * count
            yield Happening(moment, self.number, "failure", self._seen(network, moment, device))

    def _moments(self, day: int) -> Iterator[float]:
        weekend = day % 7 in {2, 3}
        rate = self.per_day * (0.4 if weekend else 1.0)
        moment = self.random.expovariate(rate)
        while moment < 1:
            hour = self.random.gauss(self.middle, self.spread) % 24
            yield START + day * DAY + hour * 3600
            moment += self.random.expovariate(rate)

    def _where(self, time: float) -> tuple[Network, Device]:
        random = self.random
        for begin, end, network in self.journeys:
            if begin <= time < end:
                roaming = random.random() < 0.3
                return (self._roaming(network) if roaming else network), random.choice((self.laptop, self.phone))
        hour = (time - START) % DAY / 3600
        if self.vpn is not None and random.random() < 0.3:
            return self.vpn, self.laptop
        if random.random() < 0.25:
            return self.mobile, self.phone
        if self.office is not None and 8 <= hour < 18 and (time - START) // DAY % 7 not in {2, 3}:
            return self.office, self.laptop
        return self.home, self.laptop

    def _roaming(self, there: Network) -> Network:
        """Abroad, many mobile networks lead home first; at home they are what they always are."""
        return self.mobile if CITIES[there.city][0] != CITIES[self.city][0] else there

    def _renew(self, day: int) -> None:
        """Cookies are cleared, phones replaced, providers changed: each now and then."""
        random = self.random
        if random.random() < 1 / 150:
            self.laptop.cookie = None
        if random.random() < 1 / 700:
            self.phone = new_device(random)
        if random.random() < 1 / 1000:
            self.laptop = new_device(random)
        if random.random() < 1 / 1500:
            self.home = self._network(self.city, lease=30)

    def _journey(self) -> tuple[float, float, Network]:
        random = self.random
        begin = START + random.uniform(10, 350) * DAY
        city = random.choice([city for city in CITIES if city != self.city])
        return begin, begin + random.uniform(2, 14) * DAY, self._network(city, lease=20)

    def _network(self, city: str, lease: float, accuracy: float = 20.0) -> Network:
        number = list(CITIES).index(city)
        return Network(city, 1000 + number * 40 + self.random.randrange(6), lease, accuracy)
