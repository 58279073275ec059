"""What the company's admins did in the thirty days: roles, locks, bans. ``work`` is called by ``app.demo``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from random import Random
from typing import Final

from gatekeeper.bans.desk import facts
from gatekeeper.demo.people import Person
from gatekeeper.demo.story import Told
from gatekeeper.demo.world import DAY
from gatekeeper.journal.attempts import Result
from gatekeeper.journal.audit import Change
from policies.bans import Ban, Source, Subject, of_network, parse_subject
from policies.familiar import Sighting
from policies.model import Reason

_COUNTRY: Final = "KP"
_AGENT: Final = "agent:*sqlmap*"


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be carried out and written down; bans that were lifted have their end in ``lifted_at``."""

    changes: list[Change]
    bans: list[Ban]


class Admins:
    """Two of them, taking turns."""

    def __init__(self, random: Random, admins: Sequence[Person], told: Told, now: float) -> None:
        self._random = random
        self._admins = admins
        self._seen = {one.user: one.sighting for one in told.sessions}
        self._now = now
        self.changes: list[Change] = []
        self.bans: list[Ban] = []

    def change(self, days: float, action: str, subject: str, before: object, after: object) -> Change:
        """One, so many days ago; both sides are JSON objects or None."""
        admin = self._random.choice(self._admins)
        sighting: Sighting | None = self._seen.get(admin.id)
        change = Change(
            self._now - days * DAY,
            admin.id,
            action,
            subject,
            before if isinstance(before, dict) else None,
            after if isinstance(after, dict) else None,
            sighting.address if sighting else None,
            f"{self._random.getrandbits(64):016x}",
        )
        self.changes.append(change)
        return change

    def ban(self, days: float, subject: Subject, lasts: float | None, reason: str, lifted: float | None = None) -> None:
        """So many days ago for ``lasts`` days, lifted ``lifted`` days ago."""
        since = self._now - days * DAY
        ban = Ban(subject, Source.MANUAL, since, None if lasts is None else since + lasts * DAY, reason)
        ban = replace(ban, actor=self.change(days, "ban.add", subject.text, None, facts(ban)).actor)
        if lifted is not None:
            end = self.change(lifted, "ban.lift", subject.text, facts(ban), None)
            ban = replace(ban, lifted_at=end.time, lifted_by=end.actor)
        self.bans.append(ban)


def work(random: Random, people: Sequence[Person], told: Told, now: float) -> Work:
    """Ends sessions in ``told`` where an act did."""
    desk = Admins(random, people[:2], told, now)
    _promotions(random, desk, people[3:])
    _locks(desk, told, now)
    for person in people:
        if now - person.created_at < 30 * DAY:
            days = (now - person.created_at) / DAY
            desk.change(days, "user.invite", person.email, None, {"roles": list(person.roles)})
    worst = Counter(
        one.address for one in told.attempts if one.reason is Reason.INVALID_CREDENTIALS and one.user_id is None
    ).most_common(1)[0][0]
    desk.ban(6.2, of_network(ip_network(f"{worst}/24", strict=False)), 30, "nothing but guessed passwords")
    desk.ban(21.4, parse_subject(_COUNTRY), None, "no customers there")
    desk.ban(13.7, parse_subject(_AGENT), None, "a scanner by its own account")
    office = next(one.sighting.address for one in told.sessions)
    desk.ban(9.1, of_network(ip_network(office)), 1, "many wrong passwords", lifted=9.05)
    return Work(desk.changes, desk.bans)


def _promotions(random: Random, desk: Admins, people: Sequence[Person]) -> None:
    for days, person in zip((27.5, 19.2, 11.8, 4.4, 1.3), random.sample(people, 5), strict=True):
        after = sorted({*person.roles, random.choice(("billing", "editor", "support"))})
        before: dict[str, object] = {"roles": list(person.roles), "locked": False, "epoch": 1}
        desk.change(days, "user.role", person.id, before, {**before, "roles": after})


def _locks(desk: Admins, told: Told, now: float) -> None:
    """Whoever's password was known to somebody else is locked the same day; the older ones are unlocked again."""
    known = [one for one in told.attempts if one.reason is Reason.MFA_REQUIRED and one.time < now - 0.5 * DAY]
    seen: set[str] = set()
    for one in known:
        if one.user_id is None or one.user_id in seen:
            continue
        seen.add(one.user_id)
        days = (now - one.time) / DAY - 0.1
        before: dict[str, object] = {"roles": [], "locked": False, "epoch": 1}
        after = {**before, "locked": True, "epoch": 2}
        at = desk.change(days, "user.lock", one.user_id, before, after).time
        until = now
        if days > 4:
            until = desk.change(days - 0.8, "user.unlock", one.user_id, after, {**after, "locked": False}).time
        _shut_out(told, one.user_id, at, until)


def _shut_out(told: Told, user: str, since: float, until: float) -> None:
    """Sessions end, and for a while none begins."""
    for session in told.sessions:
        if session.user == user and session.started < since and (session.ended is None or session.ended > since):
            session.ended, session.reason = since, "locked"
    told.sessions = [one for one in told.sessions if one.user != user or not since <= one.started < until]
    told.attempts = [
        one
        for one in told.attempts
        if one.user_id != user or one.result is not Result.SUCCESS or not since <= one.time < until
    ]
