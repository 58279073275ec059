"""One-time codes: asked for, sent, typed. The service behind POST ``otp/request``, ``otp/verify`` and the code page.

A code exists in a message and in nobody's memory: Redis keeps an HMAC (security 19). An unknown e-mail is asked about
with the same steps, and gets a challenge that no code fits (security 15); counters are keyed on an HMAC of the e-mail
and, where there is an account, on its id (security 18).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Challenge, Challenges, Opened, Purpose
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.identity.limits import AttemptCounter, Rate, account_key, take_or_refuse
from gatekeeper.identity.links import CONFIRM_LIFE
from gatekeeper.identity.tallies import OTP_ACCOUNT, OTP_ADDRESS, OTP_MAILBOX
from gatekeeper.inbound import rate_key
from gatekeeper.notify.messages import Kind, Message
from gatekeeper.notify.outbox import Notifier
from gatekeeper.tokens.sealing import Sealer
from policies.model import Reason

METHOD: Final = "otp"
_OVER: Final = "This took too long, or was used already; begin again."
_FACT: Final = "sealed-email"
#: What proves an e-mail goes to that e-mail, wherever other codes go.
_KINDS: Final = {Purpose.VERIFY_EMAIL: Kind.VERIFY_EMAIL, Purpose.CHANGE_EMAIL: Kind.CHANGE_EMAIL}


@dataclass(frozen=True, slots=True)
class OtpSettings:
    """The configuration; ``life`` and ``resend_after`` in seconds."""

    digits: int
    life: float
    resend_after: float
    per_email: Rate
    per_account: Rate
    per_address: Rate


@dataclass(frozen=True, slots=True)
class Asked:
    """A code is on its way, or is not because nobody is there to get one; all in seconds.

    ``fresh`` is False where one was sent a moment ago and this call sent none.
    """

    challenge: str
    expires_in: int
    resend_after: int
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a code is for: an e-mail, canonical where it can be, and the account if there is one that may have it."""

    email: str
    account: Account | None = field(repr=False)

    @property
    def user(self) -> str | None:
        """The account's id."""
        return self.account.state.id if self.account else None


def new_code(digits: int) -> str:
    """Evenly distributed digits."""
    return f"{secrets.randbelow(10**digits):0{digits}}"


class OneTimeCodes:
    """The service; ``on_event`` hears requested, repeated, resent, right, wrong, late."""

    def __init__(
        self,
        accounts: Accounts,
        challenges: Challenges,
        notifier: Notifier,
        counter: AttemptCounter,
        sealer: Sealer,
        settings: OtpSettings,
        *,
        counter_secret: bytes,
        on_event: Callable[[str], None] = lambda _event: None,
    ) -> None:
        self._accounts = accounts
        self._challenges = challenges
        self._notifier = notifier
        self._counter = counter
        self._sealer = sealer
        self.settings = settings
        self._secret = counter_secret
        self._on_event = on_event

    async def find(self, email: str, purpose: Purpose) -> Recipient:
        """Who is behind a typed e-mail; for verification only who has yet to verify. Raises StoreUnavailable."""
        account = await self._accounts.find_by_email(_canonical(email) or "")
        if account is not None and account.state.locked:
            account = None
        if account is not None and purpose is Purpose.VERIFY_EMAIL and account.state.email_verified:
            account = None
        return Recipient(_canonical(email) or email.casefold(), account)

    async def request_login(self, email: str, caller: Caller, now: float) -> Asked:
        """A code for a login without a password. Raises Problem (429), StoreUnavailable."""
        recipient = await self.find(email, Purpose.LOGIN)
        asked, code = await self.open(recipient, Purpose.LOGIN, caller, now)
        if code is not None:
            await self.send(recipient, Purpose.LOGIN, code, now)
        return asked

    async def request_step_up(self, user: str, session: str, caller: Caller, now: float) -> Asked:
        """A code for somebody who is signed in. Raises Problem (401, 429), StoreUnavailable."""
        account = await self._accounts.find(user)
        if account is None:
            raise Problem(401, Reason.SESSION_ENDED)
        recipient = Recipient(account.state.email, account)
        asked, code = await self.open(recipient, Purpose.STEP_UP, caller, now, whom=session, session=session)
        if code is not None:
            await self.send(recipient, Purpose.STEP_UP, code, now)
        return asked

    async def open(
        self,
        recipient: Recipient,
        purpose: Purpose,
        caller: Caller,
        now: float,
        *,
        whom: str | None = None,
        session: str = "",
        epoch: int | None = None,
    ) -> tuple[Asked, str | None]:
        """A challenge and the code to be sent for it; None where one was sent a moment ago. ``epoch`` is that of the
        user where the code is worth nothing after the next.

        Raises Problem (429), StoreUnavailable.
        """
        code = new_code(self.settings.digits)
        await self._take_limits(recipient, purpose, caller)
        facts = {_FACT: self._sealer.seal(recipient.email.encode(), purpose).hex(), "session": session}
        if epoch is not None:
            facts["epoch"] = str(epoch)
        opened = await self._challenges.open_with_code(
            purpose,
            code,
            whom=recipient.email if whom is None else whom,
            user=recipient.user,
            methods=(METHOD,),
            life=self.settings.life,
            again_after=self.settings.resend_after,
            now=now,
            facts=facts,
        )
        if not opened.fresh:
            await self._give_back(recipient, purpose)
        self._on_event("requested" if opened.fresh else "repeated")
        return self._asked(opened, self.settings.life), code if opened.fresh else None

    async def resend(self, challenge: str, caller: Caller, now: float) -> Asked:
        """A (further) code for an open challenge: its id and its count stay.

        Raises Problem (401 otp-expired, 429), StoreUnavailable.
        """
        found = await self._challenges.find(challenge)
        if found is None or METHOD not in found.methods or now >= found.expires_at:
            raise Problem(401, Reason.OTP_EXPIRED, _OVER)
        recipient = await self._recipient_of(found)
        await self._take_limits(recipient, found.purpose, caller)
        code = new_code(self.settings.digits)
        opened = await self._challenges.put_code(found, code, again_after=self.settings.resend_after, now=now)
        if opened is None:
            raise Problem(401, Reason.OTP_EXPIRED, _OVER)
        if opened.fresh:
            await self.send(recipient, found.purpose, code, now)
        else:
            await self._give_back(recipient, found.purpose)
        self._on_event("resent" if opened.fresh else "repeated")
        return self._asked(opened, found.expires_at - now)

    async def answer(self, challenge: str, code: str, *purposes: Purpose, now: float) -> Challenge:
        """What a code was right for; it is spent. Raises Problem (401 otp-invalid, otp-expired), StoreUnavailable."""
        answered = await self._challenges.answer_code(challenge, code.strip(), *purposes, now=now)
        if not isinstance(answered, Reason):
            self._on_event("right")
            return answered
        self._on_event("late" if answered is Reason.OTP_EXPIRED else "wrong")
        late = answered is Reason.OTP_EXPIRED
        raise Problem(401, answered, "The code has expired; ask for another." if late else "The code is not right.")

    def email_of(self, challenge: Challenge) -> str:
        """The e-mail that a challenge was opened for, as it was typed or is in the account."""
        sealed = challenge.facts.get(_FACT)
        if sealed is None:
            return challenge.facts.get("email", "")
        return (self._sealer.open(bytes.fromhex(sealed), challenge.purpose) or b"").decode()

    async def _recipient_of(self, challenge: Challenge) -> Recipient:
        account = await self._accounts.find(challenge.user) if challenge.user else None
        if account is not None and account.state.locked:
            account = None
        # A new address is told its code itself; every other purpose is the account's own.
        own = account is not None and challenge.purpose is not Purpose.CHANGE_EMAIL
        email = account.state.email if account is not None and own else self.email_of(challenge)
        return Recipient(email, account)

    async def send(
        self, recipient: Recipient, purpose: Purpose, code: str, now: float, *, link: str | None = None
    ) -> None:
        """Tell the code (to nobody, where there is no account). Raises StoreUnavailable."""
        facts = {"code": code, "purpose": str(purpose), "minutes": str(max(round(self.settings.life / 60), 1))}
        until = now + self.settings.life
        if link is not None:
            facts["link"], until = link, now + CONFIRM_LIFE
        message = Message(_KINDS.get(purpose, Kind.OTP), recipient.email, until, facts)
        await self._notifier.send(message, now, decoy=recipient.account is None)

    async def _take_limits(self, recipient: Recipient, purpose: Purpose, caller: Caller) -> None:
        settings = self.settings
        await take_or_refuse(self._counter, settings.per_address, *OTP_ADDRESS.key(rate_key(caller.address)))
        for limit, key in self._limits(recipient, purpose):
            await take_or_refuse(self._counter, limit, *key)

    async def _give_back(self, recipient: Recipient, purpose: Purpose) -> None:
        for limit, key in self._limits(recipient, purpose):
            await self._counter.give_back(limit, *key)

    def _limits(self, recipient: Recipient, purpose: Purpose) -> tuple[tuple[Rate, tuple[str, ...]], ...]:
        mailbox = account_key(self._secret, recipient.email)
        return (
            (self.settings.per_email, OTP_MAILBOX.key(purpose, mailbox)),
            (self.settings.per_account, OTP_ACCOUNT.key(recipient.user or mailbox)),
        )

    def _asked(self, opened: Opened, life: float) -> Asked:
        return Asked(opened.id, int(life), max(int(opened.wait + 0.999), 0), opened.fresh)


def _canonical(email: str) -> str | None:
    try:
        return canonical_email(email)
    except InvalidEmail:
        return None
