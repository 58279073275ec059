"""What attackers do to the company in its thirty days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from gatekeeper.demo.devices import Browser, desktop, program
from gatekeeper.demo.people import DAYS, Happening, Person
from gatekeeper.demo.world import DARK, DAY, City, Line
from policies.model import Reason

_GUESSED: Final = ("admin", "info", "root", "test", "sales", "office", "hr", "support", "backup", "demo")


def attacks(random: Random, now: float, people: Sequence[Person]) -> Iterator[Happening]:
    """All of them; the newest are hours old, so that something is to be done."""
    for time in _times(random, now, 9, (2 * 3600.0, 6 * 60.0)):
        yield from _brute_force(random, time, people)
    for time in _times(random, now, 5, (20 * 3600.0,)):
        yield from _distributed_brute_force(random, time, people)
    for time in _times(random, now, 5, (5 * 3600.0, 9 * 60.0)):
        yield from _spray(random, time, people)
    for time in _times(random, now, 3, (26 * 3600.0,)):
        yield from _stuffing(random, time, people)
    for days in (23.0, 12.0, 0.4):
        yield from _code_guessing(random, now - days * DAY, people)
    for days in (26.0, 17.3, 8.8, 2.2, 0.15):
        yield from _stolen_password(random, now - days * DAY, people)
    yield from _stolen_nearby(random, now - 1.2 * 3600, people)
    yield from _noise(random, now)


def _times(random: Random, now: float, count: int, ago: Sequence[float]) -> list[float]:
    """So many seconds ago, and ``count`` in all."""
    others = [now - random.uniform(1, DAYS) * DAY for _ in range(count - len(ago))]
    return [*(now - seconds for seconds in ago), *others]


def _brute_force(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """One account, one address, many guesses."""
    victim, line, tool = random.choice(people), _hosting(random), program(random)
    for count in range(random.randrange(15, 60)):
        yield _guess(random, time + 4 * count, victim.email, victim.id, line, tool)


def _distributed_brute_force(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """One account, forty addresses."""
    victim, tool = random.choice(people), program(random)
    lines = [_hosting(random) for _ in range(40)]
    for count in range(60):
        yield _guess(random, time + 7 * count, victim.email, victim.id, random.choice(lines), tool)


def _spray(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """One address, one guess at each of many accounts."""
    line, tool = _hosting(random), program(random)
    for count, victim in enumerate(random.sample(people, 25)):
        yield _guess(random, time + 9 * count, victim.email, victim.id, line, tool)


def _stuffing(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """A list of stolen pairs through many addresses; most of its e-mails have no account here."""
    lines, tool = [_hosting(random) for _ in range(60)], program(random)
    for count in range(150):
        known = random.choice(people) if random.random() < 0.15 else None
        email = known.email if known else f"user{random.randrange(10_000)}@example.net"
        user = known.id if known else None
        yield _guess(random, time + 6 * count, email, user, random.choice(lines), tool)


def _code_guessing(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The password is known; the code of the app is guessed."""
    victim = random.choice([person for person in people if person.totp])
    line, browser = _hosting(random), desktop(random, "RU")
    for count in range(8):
        seen = line.seen(random, time + 7 * count, None, None)
        yield Happening(
            seen.time, victim.email, victim.id, seen, browser, reason=Reason.MFA_INVALID, factor="totp", planted=True
        )


def _stolen_password(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The right password, from the other side of the world, while its owner works at home."""
    often = [
        one for one in people if one.method == "password" and one.per_day >= 0.9 and one.created_at < time - 9 * DAY
    ]
    victim = random.choice(often)
    before = victim.home.seen(random, time - 1500, victim.laptop.cookie, None)
    factor = "totp" if victim.totp else None
    yield Happening(before.time, victim.email, victim.id, before, victim.laptop, factor=factor)
    line, browser = Line(random.choice(DARK), "home"), desktop(random, "RU")
    seen = line.seen(random, time, None, None)
    yield Happening(seen.time, victim.email, victim.id, seen, browser, planted=True)


def _stolen_nearby(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The right password, in the owner's own country, through a hosting network, on another machine: it gets in."""
    victim = random.choice([person for person in people[3:] if person.per_day >= 0.9 and person.method == "password"])
    line, browser = Line(victim.home.city, "hosting"), desktop(random, "RU")
    seen = line.seen(random, time, None, None)
    yield Happening(seen.time, victim.email, victim.id, seen, browser, planted=True)


def _noise(random: Random, now: float) -> Iterator[Happening]:
    """What is tried everywhere, all the time."""
    for _ in range(260):
        line, tool = _hosting(random), program(random)
        email = f"{random.choice(_GUESSED)}@example.com"
        yield _guess(random, now - random.uniform(0, DAYS) * DAY, email, None, line, tool)


def _guess(random: Random, time: float, email: str, user: str | None, line: Line, browser: Browser) -> Happening:
    seen = line.seen(random, time, None, None)
    return Happening(time, email, user, seen, browser, reason=Reason.INVALID_CREDENTIALS, planted=True)


def _hosting(random: Random) -> Line:
    city: City = random.choices(DARK, range(len(DARK), 0, -1))[0]
    return Line(city, "hosting")
