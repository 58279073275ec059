"""What admins do to an account, each act with its reason: by the forms of its page and by calls."""

from __future__ import annotations

from aiohttp import web

from admin.account_json import roles_of
from admin.acts import Done, Fields
from admin.bodies import users as bodies
from admin.bodies.common import DoneTo, WhyBody
from admin.calls import acts
from admin.guard import Visit
from gatekeeper.errors import Problem
from gatekeeper.identity.api_keys import ApiKeys, Author
from gatekeeper.identity.device_desk import DeviceDesk
from gatekeeper.identity.email_proofs import EmailProofs
from gatekeeper.identity.factor_desk import FactorDesk
from gatekeeper.identity.user_desk import UserDesk, checked_why


class UserActs:
    """``P/admin/users/{user}/…`` and the same under ``api``. Everything raises Problem (404, 422)."""

    def __init__(
        self, desk: UserDesk, proofs: EmailProofs, factors: FactorDesk, keys: ApiKeys, devices: DeviceDesk
    ) -> None:
        self._desk = desk
        self._proofs = proofs
        self._factors = factors
        self._keys = keys
        self._devices = devices

    @acts("users/{user}/lock", "Lock an account, and end all its sessions", WhyBody, DoneTo)
    async def lock(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Not one's own."""
        user = request.match_info["user"]
        await self._desk.lock(user, visit.by, _why(fields), visit.now)
        return _done("user-locked", user)

    @acts("users/{user}/unlock", "Let a locked account log in again", WhyBody, DoneTo)
    async def unlock(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Its sessions do not come back."""
        user = request.match_info["user"]
        await self._desk.unlock(user, visit.by, _why(fields), visit.now)
        return _done("user-unlocked", user)

    @acts("users/{user}/logout", "End every session of an account", WhyBody, DoneTo)
    async def log_out(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """At once and everywhere."""
        user = request.match_info["user"]
        await self._desk.log_out(user, visit.by, _why(fields), visit.now)
        return _done("user-logged-out", user)

    @acts("users/{user}/expire-password", "Have another password chosen at the next login", WhyBody, DoneTo)
    async def expire_password(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Every session ends."""
        user = request.match_info["user"]
        await self._desk.expire_password(user, visit.by, _why(fields), visit.now)
        return _done("user-password-expired", user)

    @acts("users/{user}/roles", "Give an account exactly these roles", bodies.SetRoles, DoneTo)
    async def set_roles(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """In force from the next request on."""
        user = request.match_info["user"]
        await self._desk.set_roles(user, roles_of(fields), visit.by, _why(fields), visit.now)
        return _done("user-roles", user)

    @acts("users/{user}/rename", "Call an account otherwise", bodies.Rename, DoneTo)
    async def rename(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Without a name it has none."""
        user = request.match_info["user"]
        await self._desk.rename(user, fields.get("name"), visit.by, _why(fields), visit.now)
        return _done("user-renamed", user)

    @acts(
        "users/{user}/change-email",
        "Begin to change an account's e-mail, which the owner confirms by the link in the mail to it",
        bodies.ChangeEmail,
        DoneTo,
        refusals=(409, 429),
    )
    async def change_email(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Not one's own."""
        user = request.match_info["user"]
        await self._proofs.change_of(user, fields.get("email", ""), visit.by, _why(fields), visit.now)
        return _done("user-email-asked", user)

    @acts("users/{user}/reset-factors", "Take an account's second factors away", WhyBody, DoneTo)
    async def reset_factors(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Every session ends."""
        user = request.match_info["user"]
        await self._factors.reset(user, visit.by, _why(fields), visit.now)
        return _done("user-factors", user)

    @acts("users/{user}/remove-factor", "Take one second factor away", bodies.RemoveFactor, DoneTo)
    async def remove_factor(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Every session ends."""
        user = request.match_info["user"]
        await self._factors.remove(user, fields.get("factor", ""), visit.by, _why(fields), visit.now)
        return _done("user-factor", user)

    @acts("users/{user}/revoke-key", "Revoke an API key of an account", bodies.RevokeKey, DoneTo)
    async def revoke_key(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Only one of its own."""
        user, why = request.match_info["user"], _why(fields)
        owner = (await self._desk.account(user)).state.id
        by = Author(visit.by.name, visit.by.address, visit.by.request_id, visit.by.key)
        try:
            await self._keys.revoke(fields.get("key", ""), by, visit.now, owner=owner, why=why)
        except Problem as refusal:
            raise Problem(refusal.status, refusal.reason, "This account has no such API key.") from None
        return _done("key-revoked", user)

    @acts("users/{user}/trust-device", "Have the signals know a device", bodies.DeviceBody, DoneTo)
    async def trust_device(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """As its owner's."""
        user, why = request.match_info["user"], _why(fields)
        owner = (await self._desk.account(user)).state.id
        await self._devices.trust(owner, fields.get("device", ""), visit.by, why, visit.now)
        return _done("device-trusted", user, _back(fields))

    @acts("users/{user}/forget-device", "Forget a device, and end its sessions", bodies.DeviceBody, DoneTo)
    async def forget_device(self, request: web.Request, visit: Visit, fields: Fields) -> Done:
        """Its next login counts as one of a new device."""
        user, why = request.match_info["user"], _why(fields)
        owner = (await self._desk.account(user)).state.id
        await self._devices.forget(owner, fields.get("device", ""), visit.by, why, visit.now)
        return _done("device-forgotten", user, _back(fields))


def _why(fields: Fields) -> str:
    return checked_why(fields.get("why", ""))


def _back(fields: Fields) -> str:
    """The page of the account that a form of a device stood on."""
    return "/devices" if fields.get("back") == "devices" else ""


def _done(notice: str, user: str, page: str = "") -> Done:
    return Done(notice, f"users/{user}{page}", {"id": user})
