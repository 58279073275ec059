"""The gate's own pages, built over the services that they show. Called by ``gatekeeper.app.edge``."""

from __future__ import annotations

from gatekeeper.app.logins import Logins
from gatekeeper.app.mail import MailServices
from gatekeeper.app.parts import Running, TokenParts
from gatekeeper.config.model import Config
from gatekeeper.errors import StartupError
from gatekeeper.identity.api_key_endpoints import ApiKeyEndpoints
from gatekeeper.identity.api_keys import ApiKeys
from gatekeeper.identity.endpoints import Identity
from gatekeeper.identity.profile import Profile
from gatekeeper.identity.setup import FirstAdmin
from gatekeeper.pages.account import AccountPages
from gatekeeper.pages.api_keys import ApiKeyPages
from gatekeeper.pages.brand import BadBrand, Brand
from gatekeeper.pages.codes import CodePages
from gatekeeper.pages.confirm_email import ConfirmEmailPage
from gatekeeper.pages.factors import FactorPages
from gatekeeper.pages.frame import Frame
from gatekeeper.pages.next import origins_of
from gatekeeper.pages.not_me import NotMePage
from gatekeeper.pages.recovery import RecoveryPages
from gatekeeper.pages.register import RegisterPages
from gatekeeper.pages.second_factor import SecondFactorPages
from gatekeeper.pages.setup import SetupPage
from gatekeeper.pages.sign_in import SignInPages
from gatekeeper.pages.step_up import StepUpPages
from gatekeeper.pages.theme import Theme
from gatekeeper.pages.views import Pages
from gatekeeper.pages.visit import Visits


def build_theme(config: Config) -> Theme:
    """What pages and panel look like. Raises StartupError."""
    look = config.pages
    try:
        brand = Brand.load(name=look.brand, logo=look.logo, colour=look.colour, css=look.css)
    except BadBrand as fault:
        raise StartupError(f"pages.{fault.key}: {fault}") from None
    return Theme(
        prefix=config.prefix,
        public_url=config.public_url,
        packages=("gatekeeper.pages", "admin"),
        brand=brand,
        panel_origin="" if config.panel_listener is None else config.panel_url,
    )


def build_pages(
    config: Config,
    tokens: TokenParts,
    running: Running,
    theme: Theme,
    identity: Identity,
    logins: Logins,
    mail: MailServices,
    api_keys: ApiKeyEndpoints,
) -> Pages:
    """Every page of the gate's own but the panel's."""
    methods, rules = config.mfa.methods, running.passwords.rules
    frame = Frame(
        theme=theme,
        visits=Visits(tokens.authenticator, tokens.cookies, prefix=config.prefix),
        identity=identity,
        origins=origins_of(config.public_url, config.hosts),
        form_limit=config.sizes.json_body,
    )
    second = SecondFactorPages(
        frame, logins.second, mail.codes, logins.passkey_login, tokens.cookies, remember=config.mfa.remember_devices
    )
    printed = config.otp.deliver == ["console"]
    codes = CodePages(frame, mail.codes, mail.otp_login, mail.proofs, logins.challenges, second, printed=printed)
    https = config.public_url.startswith("https:")
    return Pages(
        theme=theme,
        sign_in=SignInPages(
            frame, logins.login, second, codes, registers=mail.registration.settings.mode == "open", secure=https
        ),
        second=second,
        step_up=StepUpPages(frame, logins.step_ups, mail.codes),
        setup=_setup_page(config, running, frame, logins),
        register=RegisterPages(frame, mail.registration, rules, logins.second, codes),
        codes=codes,
        recovery=RecoveryPages(frame, mail.recovery, rules),
        confirm_email=ConfirmEmailPage(frame, mail.proofs),
        not_me=NotMePage(frame, mail.disowning),
        account=_account_pages(tokens, running, frame, logins, mail, codes, api_keys.keys),
        api_keys=ApiKeyPages(frame, api_keys, logins.step_ups),
        factors=FactorPages(
            frame,
            logins.enrolment,
            totp="totp" in methods,
            passkeys="passkey" in methods and logins.passkeys is not None,
        ),
    )


def _setup_page(config: Config, running: Running, frame: Frame, logins: Logins) -> SetupPage:
    stores = running.stores
    return SetupPage(
        theme=frame.theme,
        identity=frame.identity,
        second=logins.second,
        passwords=running.passwords,
        setup=FirstAdmin(stores.setup_links, stores.accounts, stores.journal),
        form_limit=config.sizes.json_body,
    )


def _account_pages(
    tokens: TokenParts,
    running: Running,
    frame: Frame,
    logins: Logins,
    mail: MailServices,
    codes: CodePages,
    keys: ApiKeys,
) -> AccountPages:
    return AccountPages(
        frame,
        accounts=logins.accounts,
        profile=Profile(logins.accounts, running.stores.journal),
        passwords=running.passwords,
        proofs=mail.proofs,
        codes=codes,
        enrolment=logins.enrolment,
        sessions=tokens.sessions,
        keys=keys,
        attempts=running.stores.login_log,
    )
