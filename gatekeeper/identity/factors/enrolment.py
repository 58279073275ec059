"""Adding, listing and removing one's second factors. Called by the endpoints under ``factors`` and the pages.

What changes something wants a fresh login or step-up (``StepUps.require_fresh``), is in the audit log, and ends no
session. Adding a factor proves it, so the session at hand becomes one of two factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gatekeeper.errors import Problem
from gatekeeper.identity.caller import Caller
from gatekeeper.identity.challenges import Challenges, Purpose
from gatekeeper.identity.factors.checks import FactorChecks
from gatekeeper.identity.factors.devices import Devices
from gatekeeper.identity.factors.records import Factors, FactorStore, Method, Passkey
from gatekeeper.identity.factors.recovery_codes import RecoveryCodes
from gatekeeper.identity.factors.totp import NewTotp, Totp
from gatekeeper.identity.notices import A_PASSKEY, APP, Notices
from gatekeeper.identity.step_up import StepUps
from gatekeeper.journal.audit import AuditLog, Change
from gatekeeper.tokens.sessions import Sessions, TokenPair
from policies.model import Principal, Reason

if TYPE_CHECKING:  # fido2 comes with an extra
    from gatekeeper.identity.factors.passkeys import Passkeys

LIFE: Final = 600.0  # seconds to make a passkey
MOST_PASSKEYS: Final = 20


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A factor was added: fresh tokens of the session, and recovery codes where the user had none."""

    pair: TokenPair
    recovery_codes: tuple[str, ...] | None = field(default=None, repr=False)
    passkey: Passkey | None = None


class Enrolment:
    """The service."""

    def __init__(
        self,
        store: FactorStore,
        totp: Totp,
        recovery_codes: RecoveryCodes,
        passkeys: Passkeys | None,
        devices: Devices,
        checks: FactorChecks,
        step_ups: StepUps,
        challenges: Challenges,
        sessions: Sessions,
        audit: AuditLog,
        notices: Notices,
    ) -> None:
        self._store = store
        self._totp = totp
        self._recovery_codes = recovery_codes
        self._passkeys = passkeys
        self._devices = devices
        self._checks = checks
        self._step_ups = step_ups
        self._challenges = challenges
        self._sessions = sessions
        self._audit = audit
        self._notices = notices

    async def factors_of(self, user: str, now: float) -> Factors:
        """What a user has. Raises StoreUnavailable."""
        return await self._store.factors_of(user, now)

    async def begin_totp(self, who: Principal, now: float) -> NewTotp:
        """A secret for an app, good once a code of it is confirmed. Raises Problem (401 step-up-required, 404)."""
        if not self._checks.takes(Method.TOTP):
            raise _not_here()
        await self._step_ups.require_fresh(who, now)
        return await self._totp.begin(who.subject, who.email, now)

    async def confirm_totp(self, who: Principal, code: str, caller: Caller, now: float) -> Enrolled:
        """Raises Problem (401 mfa-invalid or session-ended, 429)."""
        await self._checks.take_try(who.subject)
        if not await self._totp.confirm(who.subject, code, now):
            raise Problem(401, Reason.MFA_INVALID, "That is not a code of the new secret, or it came too late.")
        await self._checks.clear_tries(who.subject)
        await self._note(who, "factor.totp.add", caller, now)
        await self._notices.factor_added(who.subject, who.email, APP, caller, now)
        return await self._enrolled(who, ("otp",), now)

    async def remove_totp(self, who: Principal, caller: Caller, now: float) -> None:
        """Raises Problem (401 step-up-required, 404)."""
        await self._step_ups.require_fresh(who, now)
        if not await self._totp.remove(who.subject):
            raise Problem(404, Reason.NOT_FOUND, "No authenticator app is set up.")
        await self._removed(who, "factor.totp.remove", caller, now)
        await self._notices.factor_removed(who.subject, who.email, APP, caller, now)

    async def begin_passkey(self, who: Principal, now: float) -> tuple[str, dict[str, Any]]:
        """A challenge and PublicKeyCredentialCreationOptionsJSON. Raises Problem (401 step-up-required, 404, 409)."""
        passkeys = self._able()
        await self._step_ups.require_fresh(who, now)
        factors = await self._store.factors_of(who.subject, now)
        if len(factors.passkeys) >= MOST_PASSKEYS:
            raise Problem(409, Reason.VALIDATION, f"There are {MOST_PASSKEYS} passkeys already; remove one first.")
        challenge = await self._challenges.open(
            Purpose.ENROL,
            user=who.subject,
            methods=(str(Method.PASSKEY),),
            facts={"session": who.session},
            life=LIFE,
            now=now,
        )
        return challenge.id, await passkeys.creation_options(challenge.id, who.subject, who.email, who.name)

    async def add_passkey(
        self, who: Principal, challenge: str, name: str, response: Mapping[str, Any], caller: Caller, now: float
    ) -> Enrolled:
        """Raises Problem (401 mfa-invalid or session-ended, 404)."""
        passkeys = self._able()
        found = await self._challenges.take_try(challenge, Purpose.ENROL, now=now)
        mine = not isinstance(found, Reason) and (found.user, found.facts.get("session")) == (who.subject, who.session)
        if isinstance(found, Reason) or not mine or not await self._challenges.spend(found):
            raise Problem(401, Reason.MFA_INVALID, "This took too long; begin again.")
        passkey = await passkeys.register(challenge, who.subject, name, response, now)
        if passkey is None:
            raise Problem(401, Reason.MFA_INVALID, "That passkey cannot be added, or is added already.")
        await self._note(who, "factor.passkey.add", caller, now, after=_shown(passkey))
        await self._notices.factor_added(who.subject, who.email, A_PASSKEY, caller, now)
        return await self._enrolled(who, ("swk" if passkey.synced else "hwk",), now, passkey=passkey)

    async def remove_passkey(self, who: Principal, passkey: str, caller: Caller, now: float) -> None:
        """Raises Problem (401 step-up-required, 404)."""
        await self._step_ups.require_fresh(who, now)
        removed = await self._passkeys.remove(who.subject, passkey) if self._passkeys is not None else None
        if removed is None:
            raise Problem(404, Reason.NOT_FOUND, "You have no such passkey.")
        await self._removed(who, "factor.passkey.remove", caller, now, before=_shown(removed))
        await self._notices.factor_removed(who.subject, who.email, A_PASSKEY, caller, now)

    async def renew_recovery_codes(self, who: Principal, caller: Caller, now: float) -> tuple[str, ...]:
        """Ten new codes; the old ones are void. Raises Problem (401 step-up-required, 409 without a factor)."""
        await self._step_ups.require_fresh(who, now)
        if not (await self._store.factors_of(who.subject, now)).any:
            raise Problem(409, Reason.MFA_REQUIRED, "Recovery codes stand in for a second factor; add one first.")
        codes = await self._recovery_codes.renew(who.subject, now)
        await self._note(who, "factor.recovery-codes.renew", caller, now)
        await self._notices.recovery_codes_renewed(who.subject, who.email, caller, now)
        return tuple(codes)

    async def forget_devices(self, who: Principal, caller: Caller, now: float) -> None:
        """Every remembered device is asked for a second factor again. Raises Problem (401 step-up-required)."""
        await self._step_ups.require_fresh(who, now)
        count = await self._devices.forget(who.subject)
        await self._note(who, "factor.devices.forget", caller, now, before={"devices": count})

    def _able(self) -> Passkeys:
        if self._passkeys is None or not self._checks.takes(Method.PASSKEY):
            raise _not_here()
        return self._passkeys

    async def _enrolled(
        self, who: Principal, amr: tuple[str, ...], now: float, *, passkey: Passkey | None = None
    ) -> Enrolled:
        pair = await self._sessions.step_up(who.session, amr=(*amr, "mfa"), two_factors=True, now=now)
        if isinstance(pair, Reason):
            raise Problem(401, pair)
        factors = await self._store.factors_of(who.subject, now)
        codes = None if factors.recovery_codes_left else tuple(await self._recovery_codes.renew(who.subject, now))
        return Enrolled(pair, codes, passkey)

    async def _removed(
        self, who: Principal, action: str, caller: Caller, now: float, *, before: dict[str, object] | None = None
    ) -> None:
        """Without a factor, what stands in for one has no use."""
        if not (await self._store.factors_of(who.subject, now)).any:
            await self._store.reset(who.subject)
        await self._note(who, action, caller, now, before=before)

    async def _note(
        self,
        who: Principal,
        action: str,
        caller: Caller,
        now: float,
        *,
        before: dict[str, object] | None = None,
        after: dict[str, object] | None = None,
    ) -> None:
        change = Change(
            time=now,
            actor=who.subject,
            action=action,
            subject=who.subject,
            before=before,
            after=after,
            address=caller.address,
            request_id=caller.request_id,
        )
        await self._audit.record_change(change)


def _shown(passkey: Passkey) -> dict[str, object]:
    return {"id": passkey.id, "name": passkey.name, "synced": passkey.synced}


def _not_here() -> Problem:
    return Problem(404, Reason.NOT_FOUND, "This kind of second factor is not used here.")
