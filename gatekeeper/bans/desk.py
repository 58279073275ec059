"""Bans by people: made, lifted and imported, each with its entry in the audit log. Called by commands and panel.

What a person types for a subject: an address, a network, a two-letter country, ``agent:PATTERN``, a user's e-mail, or
``user:ID`` (for an account that is gone).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from gatekeeper.bans.lists import BadList, Line
from gatekeeper.bans.own import meets
from gatekeeper.errors import GatekeeperError
from gatekeeper.journal.audit import AuditLog, Change
from policies.bans import LONGEST_REASON, Ban, BanStore, Source, Subject, of_user, parse_subject
from policies.model import Address

USER_PREFIX: Final = "user:"
_PORTION: Final = 500  # lines of a list
_HITS_SHOWN: Final = 20


class BadBan(GatekeeperError):
    """What was asked for cannot be done; ``str()`` says why in one line."""


class OwnBan(BadBan):
    """A ban that would shut out the one who asks for it; ``hits`` say how, a line each. It wants to be said twice."""

    def __init__(self, hits: Sequence[str]) -> None:
        more = len(hits) - _HITS_SHOWN
        self.hits = (*hits[:_HITS_SHOWN], *([f"and {more} more"] if more > 0 else []))
        super().__init__("; ".join(self.hits))


class UserFinder(Protocol):
    """Knows accounts. Raises StoreUnavailable."""

    async def find_user(self, email: str) -> tuple[str, str] | None:
        """Id and canonical e-mail of the account; None where there is none. Raises ValueError for what is no e-mail."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a user's id or ``cli:<operating system user>``, from where, in which request, the id of the API key by
    which, if it was one, and by which User-Agent.
    """

    name: str
    address: Address | None = None
    request_id: str | None = None
    key: str | None = None
    agent: str | None = None


class BanDesk:
    """The service. Times in Unix seconds; every method raises StoreUnavailable.

    ``country_of`` is the country of an address, by which a ban on a country is told from one on those who ask for it.
    """

    def __init__(
        self,
        store: BanStore,
        audit: AuditLog,
        users: UserFinder,
        country_of: Callable[[Address], str | None] = lambda _: None,
    ) -> None:
        self._store = store
        self._audit = audit
        self._users = users
        self._country_of = country_of

    async def subject(self, text: str) -> tuple[Subject, str | None]:
        """What a person typed, and how people know it where that is not the subject's own text. Raises BadBan."""
        given = text.strip()
        try:
            if given.lower().startswith(USER_PREFIX):
                return of_user(str(uuid.UUID(given[len(USER_PREFIX) :]))), None
            if "@" not in given or given.lower().startswith("agent:"):
                return parse_subject(given), None
            user = await self._users.find_user(given)
        except ValueError as fault:
            raise BadBan(f"{given[:100]!r} {fault}") from None
        if user is None:
            raise BadBan(f"there is no user {given[:254]}")
        return of_user(user[0]), user[1]

    async def add(
        self, text: str, by: Actor, now: float, *, length: float | None, reason: str, own: bool = False
    ) -> tuple[Ban, Ban | None]:
        """Ban for ``length`` seconds (None: for good); the ban, and the one whose place it took.

        Raises BadBan, and OwnBan for what would shut out ``by`` unless that is meant (``own``).
        """
        subject, label = await self.subject(text)
        if not own and (hit := self._meets(subject, label, by)) is not None:
            raise OwnBan([hit])
        until = None if length is None else now + length
        ban = Ban(subject, Source.MANUAL, now, until, _reason(reason), by.name, label)
        before = await self._store.find(subject, now)
        await self._store.put([ban], now)
        await self._note("ban.add", subject.text, by, now, None if before is None else facts(before), facts(ban))
        return ban, before

    async def lift(self, text: str, by: Actor, now: float) -> Ban:
        """End the ban on exactly this subject, as it was. Raises BadBan where there is none, and says what reaches."""
        subject, _ = await self.subject(text)
        lifted = await self._store.lift(subject, by.name, now)
        if lifted is None:
            raise BadBan(f"no ban is in force on {text.strip()}{await self._wider(subject, now)}")
        await self._note("ban.lift", subject.text, by, now, facts(lifted), None)
        return lifted

    async def history(self, text: str, count: int) -> list[Ban]:
        """The subject's bans, newest first. Raises BadBan."""
        subject, _ = await self.subject(text)
        return await self._store.history(subject, count)

    async def take_over(
        self, lines: Sequence[Line], by: Actor, now: float, *, length: float | None, reason: str, own: bool = False
    ) -> int:
        """Put a list in force, all of it or, with a mistake, nothing; how many bans it was.

        ``length`` and ``reason`` are for lines that say none; what is over by now is left out. Raises BadList, and
        OwnBan for a list without mistakes that would shut out ``by``, unless that is meant (``own``).
        """
        bans: dict[Subject, Ban] = {}
        faults: list[str] = []
        hits: list[str] = []
        common = _reason(reason)
        usual = None if length is None else now + length
        for place, line in enumerate(lines):
            if place % _PORTION == 0:
                await asyncio.sleep(0)  # a gate has requests to answer meanwhile
            try:
                subject, label = await self.subject(line.subject)
                until = usual if line.until is None else line.until
                said = common if line.reason is None else _reason(line.reason)
            except BadBan as fault:
                faults.append(f"line {line.number}: {fault}")
                continue
            if until is None or until > now:
                bans[subject] = Ban(subject, Source.IMPORT, now, until, said, by.name, label)
                if not own and (hit := self._meets(subject, label, by)) is not None:
                    hits.append(f"line {line.number}: {hit}")
        if faults:
            raise BadList(faults)
        if hits:
            raise OwnBan(hits)
        if bans:
            await self._store.put(list(bans.values()), now)
            after: dict[str, object] = {"bans": len(bans), "until": said_time(usual), "reason": common}
            await self._note("ban.import", f"{len(bans)} bans", by, now, None, after)
        return len(bans)

    def _meets(self, subject: Subject, label: str | None, by: Actor) -> str | None:
        country = None if by.address is None else self._country_of(by.address)
        return meets(subject, label, user=by.name, address=by.address, country=country, agent=by.agent)

    async def _wider(self, subject: Subject, now: float) -> str:
        if not subject.is_address:
            return ""
        reaching = await self._store.reaching(subject.network.network_address, now)
        return f"; it is banned by {', '.join(ban.subject.text for ban in reaching[:5])}" if reaching else ""

    async def _note(
        self,
        action: str,
        subject: str,
        by: Actor,
        now: float,
        before: dict[str, object] | None,
        after: dict[str, object] | None,
    ) -> None:
        change = Change(now, by.name, action, subject, before, after, by.address, by.request_id, by.key)
        await self._audit.record_change(change)


def facts(ban: Ban) -> dict[str, object]:
    """A ban as the audit log has it."""
    said: dict[str, object] = {
        "kind": str(ban.subject.kind),
        "source": str(ban.source),
        "until": said_time(ban.until),
        "reason": ban.reason,
    }
    return said if ban.label is None else {**said, "label": ban.label}


def said_time(seconds: float | None) -> str | None:
    """Unix seconds in words of ISO 8601, to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _reason(text: str) -> str:
    reason = text.strip()
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise BadBan(f"a reason is one printable line of at most {LONGEST_REASON} characters")
    return reason
