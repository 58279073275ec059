"""Second factors of other people's accounts, as admins take them away, each act with its entry in the audit log and a
mail to the owner. Called by the panel and by ``gatekeeper user``.

Every session ends: whoever could have used a lost factor may hold one of them. Nobody takes away their own here: the
account page asks for a factor first.
"""

from __future__ import annotations

from typing import Final, Protocol

from gatekeeper.bans.desk import Actor
from gatekeeper.errors import Problem
from gatekeeper.identity.accounts import Account, Accounts
from gatekeeper.identity.factors.records import Factors, FactorStore, Passkey
from gatekeeper.identity.notices import A_PASSKEY, APP, EVERY, Notices
from gatekeeper.identity.user_desk import account_of, invalid, noted
from gatekeeper.journal.audit import AuditLog
from policies.model import Reason

TOTP: Final = "totp"  # an account has at most one authenticator app; its passkeys go by their ids


class RemovableFactors(FactorStore, Protocol):
    """Factors one by one. Raises StoreUnavailable."""

    async def remove_totp(self, user: str) -> bool: ...

    async def remove_passkey(self, user: str, passkey: str) -> Passkey | None: ...


class FactorDesk:
    """The service. Raises Problem (404, 422) and StoreUnavailable; times in Unix seconds."""

    def __init__(self, accounts: Accounts, factors: RemovableFactors, audit: AuditLog, notices: Notices) -> None:
        self._accounts = accounts
        self._factors = factors
        self._audit = audit
        self._notices = notices

    async def of_user(self, user: str, now: float) -> Factors:
        """What second factors an account has."""
        return await self._factors.factors_of(user, now)

    async def reset(self, user: str, by: Actor, why: str, now: float) -> None:
        """Remove every second factor, recovery code and remembered device."""
        account, before = await self._others(user, by, now)
        await self._factors.reset(account.state.id)
        await self._removed("user.reset-factors", account, before, EVERY, by, why, now)

    async def remove(self, user: str, factor: str, by: Actor, why: str, now: float) -> None:
        """Remove one: ``totp``, or the passkey of this id. With the last one go the recovery codes and the remembered
        devices, which stand in for one.
        """
        account, before = await self._others(user, by, now)
        owner, passkey = account.state.id, next((one for one in before.passkeys if one.id == factor), None)
        if passkey is not None:
            removed, what = await self._factors.remove_passkey(owner, passkey.id) is not None, A_PASSKEY
        else:
            removed, what = factor == TOTP and await self._factors.remove_totp(owner), APP
        if not removed:
            raise Problem(404, Reason.NOT_FOUND, "This account has no such second factor.")
        if not (await self._factors.factors_of(owner, now)).any:
            await self._factors.reset(owner)
        await self._removed("user.remove-factor", account, before, what, by, why, now)

    async def _others(self, user: str, by: Actor, now: float) -> tuple[Account, Factors]:
        account = await account_of(self._accounts, user)
        if account.state.id == by.name:
            raise invalid("user", "Change your own second factors on your account page.")
        return account, await self._factors.factors_of(account.state.id, now)

    async def _removed(
        self, action: str, account: Account, before: Factors, what: str, by: Actor, why: str, now: float
    ) -> None:
        user = account.state
        await self._accounts.log_out(user.id, now)
        after = factor_facts(await self._factors.factors_of(user.id, now))
        await self._audit.record_change(noted(action, user.id, by, why, now, factor_facts(before), after))
        await self._notices.factor_removed(user.id, user.email, what, None, now)


def factor_facts(factors: Factors) -> dict[str, object]:
    """What second factors an account has, without what they are."""
    return {
        "totp": factors.totp_since is not None,
        "passkeys": [passkey.name for passkey in factors.passkeys],
        "recovery_codes": factors.recovery_codes_left,
        "remembered_devices": factors.remembered_devices,
    }
