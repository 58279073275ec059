"""Twelve attacks, each planted once at a time of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from year.people import DAY, START, Happening, Person
from year.world import DARK_CITIES, HOSTING_ASN, Network, new_device

Attack = Callable[[Random, float, Sequence[Person]], Iterator[Happening]]


def _dark(random: Random, lease: float = 0.0) -> Network:
    return Network(random.choice(list(DARK_CITIES)), 60_000 + random.randrange(20), lease)


def _single(
    kind: str,
    times: Sequence[float],
    victims: Sequence[Person],
    networks: Sequence[Network],
    random: Random,
    attack: str,
) -> Iterator[Happening]:
    device = new_device(random)
    for index, time in enumerate(times):
        network = networks[index % len(networks)]
        yield Happening(time, victims[index % len(victims)].number, kind, network.seen(random, time, device), attack)


def stolen_password_abroad(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The right password, from the other side of the world."""
    yield from _single("login", [time], [random.choice(people)], [_dark(random)], random, "stolen password, abroad")


def stolen_password_nearby(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The right password, from the owner's own city and provider, on another device."""
    victim = random.choice(people)
    near = Network(victim.city, victim.home.asn, 0)
    device = new_device(random)
    device.fingerprint = "looks-of-the-thief"
    yield Happening(time, victim.number, "login", near.seen(random, time, device), "stolen password, nearby")


def spray(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """One address, one guess at each of thirty accounts, in five minutes."""
    times = [time + 10 * n for n in range(30)]
    yield from _single("failure", times, random.sample(people, 30), [_dark(random, 1)], random, "password spray")


def slow_spray(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The same at one guess every two minutes."""
    times = [time + 120 * n for n in range(30)]
    yield from _single("failure", times, random.sample(people, 30), [_dark(random, 1)], random, "slow spray")


def stuffing(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """Lists of stolen pairs through sixty addresses, one guess an account."""
    networks = [_dark(random, 1) for _ in range(60)]
    times = [time + 8 * n for n in range(60)]
    yield from _single("failure", times, random.sample(people, 30), networks, random, "credential stuffing")


def brute_force(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """One account, one address, many guesses."""
    times = [time + 5 * n for n in range(40)]
    yield from _single("failure", times, [random.choice(people)], [_dark(random, 1)], random, "brute force")


def distributed_brute_force(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """One account, forty addresses, and at last the right password."""
    victim, networks = random.choice(people), [_dark(random, 1) for _ in range(40)]
    times = [time + 15 * n for n in range(40)]
    yield from _single("failure", times, [victim], networks, random, "distributed brute force")
    yield from _single("login", [time + 700], [victim], networks, random, "distributed brute force")


def code_guessing(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The password is known; codes are guessed."""
    times = [time + 6 * n for n in range(12)]
    yield from _single("code", times, [random.choice(people)], [_dark(random, 1)], random, "code guessing")


def stolen_refresh_token(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """A refresh token comes a second time."""
    yield from _single("reuse", [time], [random.choice(people)], [_dark(random)], random, "stolen refresh token")


def stolen_cookie(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """A session's cookie on another machine, in the owner's country."""
    victim = max(people, key=lambda person: person.per_day)
    near = Network(victim.city, 3_000, 0)
    device = new_device(random)
    device.fingerprint = "looks-of-the-thief"
    yield Happening(time, victim.number, "use", near.seen(random, time, device), "stolen cookie")


def dormant_account(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """Somebody who left months ago signs in."""
    yield Happening(time, len(people), "login", _dark(random).seen(random, time, None), "dormant account")


def hidden(random: Random, time: float, people: Sequence[Person]) -> Iterator[Happening]:
    """The right password from a hosting network in the owner's own country."""
    victim = random.choice(people)
    hosting = Network(victim.city, HOSTING_ASN, 0)
    yield Happening(time, victim.number, "login", hosting.seen(random, time, victim.laptop, cookie=False), "hosting")


ATTACKS: tuple[Attack, ...] = (
    stolen_password_abroad,
    stolen_password_nearby,
    spray,
    slow_spray,
    stuffing,
    brute_force,
    distributed_brute_force,
    code_guessing,
    stolen_refresh_token,
    stolen_cookie,
    dormant_account,
    hidden,
)


def planted(seed: int, people: Sequence[Person]) -> Iterator[Happening]:
    """All twelve, in the second half of the year, when there is something to know of everybody."""
    for number, attack in enumerate(ATTACKS):
        random = Random(seed * 7919 + number)
        yield from attack(random, START + (200 + 12 * number) * DAY + random.uniform(0, DAY), people)
