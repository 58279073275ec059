"""Passwords that have to be replaced: whoever shows one is led to the page for another, and nowhere else.

Called by ``second_step`` once everything else about a login is right; ``recovery`` takes the new password.
"""

from __future__ import annotations

from typing import NoReturn

from gatekeeper.errors import Problem
from gatekeeper.identity.links import CHANGE_LIFE, Link, LinkPurpose, LinkStore, new_token
from gatekeeper.tokens.sessions import UserState
from policies.model import Reason

_FIRST = "This password has to be replaced first: set another with this token."


class PasswordChanges:
    """The service."""

    def __init__(self, links: LinkStore) -> None:
        self._links = links

    async def demand(self, user: UserState, now: float) -> NoReturn:
        """Raises Problem: 401 password-change-required with ``token``, good once for ``password/reset`` and the page
        ``reset``, and ``expires_in``; StoreUnavailable.
        """
        token, kept = new_token()
        await self._links.add(Link(kept, LinkPurpose.CHANGE_PASSWORD, user.id, user.email, now, now + CHANGE_LIFE))
        raise Problem(401, Reason.PASSWORD_CHANGE_REQUIRED, _FIRST, token=token, expires_in=int(CHANGE_LIFE))
