"""The gate's own pages under their addresses. Built by ``gatekeeper.app``; the handlers are in the other modules."""

from __future__ import annotations

from itertools import chain

from aiohttp import web

from gatekeeper.pages.account import AccountPages
from gatekeeper.pages.api_keys import ApiKeyPages
from gatekeeper.pages.codes import CodePages
from gatekeeper.pages.confirm_email import ConfirmEmailPage
from gatekeeper.pages.factors import FactorPages
from gatekeeper.pages.not_me import NotMePage
from gatekeeper.pages.recovery import RecoveryPages
from gatekeeper.pages.register import RegisterPages
from gatekeeper.pages.second_factor import SecondFactorPages
from gatekeeper.pages.setup import SetupPage
from gatekeeper.pages.sign_in import SignInPages
from gatekeeper.pages.step_up import StepUpPages
from gatekeeper.pages.theme import Handler, Theme
from gatekeeper.pages.visit import ToLogin


class Pages:
    """What people see of the gate itself; ``routes`` puts it under the prefix."""

    def __init__(
        self,
        *,
        theme: Theme,
        sign_in: SignInPages,
        second: SecondFactorPages,
        step_up: StepUpPages,
        setup: SetupPage,
        register: RegisterPages,
        codes: CodePages,
        recovery: RecoveryPages,
        confirm_email: ConfirmEmailPage,
        not_me: NotMePage,
        account: AccountPages,
        api_keys: ApiKeyPages,
        factors: FactorPages,
    ) -> None:
        self._theme = theme
        self._second = second
        self._step_up = step_up
        self._factors = factors
        self._sign_in = sign_in
        self._setup = setup
        self._register = register
        self._codes = codes
        self._recovery = recovery
        self._confirm_email = confirm_email
        self._not_me = not_me
        self._account = account
        self._api_keys = api_keys

    def routes(self, prefix: str, *, setup: bool = True) -> list[web.RouteDef]:
        """The routes under ``prefix``, static files included; ``setup`` with the page that makes the first admin."""
        sign_in, second = self._sign_in, self._second
        making = self._page(f"{prefix}/setup/{{token}}", self._setup.form, self._setup.make_admin)
        return [
            *(making if setup else []),
            *self._page(f"{prefix}/second-factor", second.back, second.finish),
            *self._page(f"{prefix}/passkey", second.back, second.by_passkey_alone),
            *self._page(f"{prefix}/step-up", self._step_up.form, self._step_up.confirm),
            *self._factor_routes(f"{prefix}/account/factors"),
            *self._page(f"{prefix}/login", sign_in.login_form, sign_in.log_in),
            *self._page(f"{prefix}/logout", sign_in.logout_form, sign_in.log_out),
            *self._mail_routes(prefix),
            *self._account_routes(f"{prefix}/account"),
            *self._key_routes(f"{prefix}/account/api-keys"),
            web.post(f"{prefix}/language", self._theme.paged(sign_in.choose_language)),
            web.get(f"{prefix}/static/{{name}}", self._theme.static),
        ]

    def _mail_routes(self, prefix: str) -> list[web.RouteDef]:
        recovery, confirm = self._recovery, self._confirm_email
        return [
            *self._page(f"{prefix}/register", self._register.form, self._register.register),
            *self._page(f"{prefix}/otp", self._codes.form, self._codes.act),
            *self._page(f"{prefix}/forgot", recovery.forgot_form, recovery.forgot),
            *self._page(f"{prefix}/reset", recovery.reset_form, recovery.reset),
            *self._page(f"{prefix}/confirm-email", confirm.form, confirm.confirm),
            *self._page(f"{prefix}/not-me", self._not_me.form, self._not_me.act),
        ]

    def _account_routes(self, base: str) -> list[web.RouteDef]:
        account = self._account
        acts = {
            "name": account.change_name,
            "email": account.change_email,
            "email/verify": account.verify_email,
            "password": account.change_password,
            "sessions": account.end_session,
        }
        routes = [self._page(f"{base}/{path}", account.back, act) for path, act in acts.items()]
        return [*self._page(base, account.overview), *chain.from_iterable(routes)]

    def _key_routes(self, base: str) -> list[web.RouteDef]:
        keys = self._api_keys
        return [
            *self._page(base, keys.form, keys.make),
            *self._page(f"{base}/rotate", keys.back, keys.rotate),
            *self._page(f"{base}/revoke", keys.back, keys.revoke),
        ]

    def _factor_routes(self, base: str) -> list[web.RouteDef]:
        factors = self._factors
        acts = {
            "totp": factors.begin_totp,
            "totp/confirm": factors.confirm_totp,
            "totp/remove": factors.remove_totp,
            "passkeys": factors.add_passkey,
            "passkeys/remove": factors.remove_passkey,
            "recovery-codes": factors.renew_codes,
            "devices": factors.forget_devices,
        }
        routes = [self._page(f"{base}/{path}", factors.back, factors.fresh(act)) for path, act in acts.items()]
        return [*self._page(base, factors.overview), *chain.from_iterable(routes)]

    def _page(self, path: str, show: Handler, act: Handler | None = None) -> list[web.RouteDef]:
        """GET shows, POST acts."""
        routes = [web.get(path, self._whole(show))]
        return routes if act is None else [*routes, web.post(path, self._whole(act))]

    def _whole(self, handler: Handler) -> Handler:
        paged = self._theme.paged(handler)

        async def handle(request: web.Request) -> web.Response:
            try:
                return await paged(request)
            except ToLogin as way:
                return way.answer

        return handle
