"""The shape of config.yaml and its defaults. Loaded by ``config.load``, read by ``gatekeeper.app``.

Durations are seconds (float), sizes bytes (int), rates ``limits.RateLimitItem``, networks
``ipaddress`` networks. Every model refuses unknown keys. Field descriptions are the
documentation: ``config template``, ``config schema`` and docs/config.md are made from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from gatekeeper.config.admin import Admin
from gatekeeper.config.api_keys import ApiKeys
from gatekeeper.config.bans import Bans
from gatekeeper.config.forms import is_loopback, own_url
from gatekeeper.config.geo import Geo
from gatekeeper.config.issuers import AcceptedIssuer
from gatekeeper.config.listening import AnyListener, Listener, Tls
from gatekeeper.config.logs import Logs
from gatekeeper.config.messages import Mail, Notify, Otp
from gatekeeper.config.networks import NetworkOrFile
from gatekeeper.config.pages import Pages
from gatekeeper.config.rules import RuleConfig
from gatekeeper.config.section import Section
from gatekeeper.config.sessions import Sessions
from gatekeeper.config.signals import Anomalies
from gatekeeper.config.types import (
    Duration,
    Host,
    Listen,
    LongSecret,
    PostgresUrl,
    Prefix,
    PublicUrl,
    RangeUrl,
    Rate,
    Rates,
    RedisUrl,
    RoleName,
    Size,
    UpstreamName,
    Workers,
)
from gatekeeper.config.upstreams import Upstream

EMBEDDED = "embedded"


class ApiCors(Section):
    """Other origins whose pages may call the API under `P/auth`, with tokens; cookies never come along."""

    origins: list[str] = Field(
        [], description="Origins: https://app.example.org, https://*.example.org, or `*` alone for every one."
    )


class Storage(Section):
    """Where state lives; `embedded` starts private servers under `data_dir`."""

    postgres: PostgresUrl = Field(
        SecretStr(EMBEDDED), description="`embedded`, or postgresql://user:password@host:port/database."
    )
    redis: RedisUrl = Field(
        SecretStr(EMBEDDED), description="`embedded`, or redis://, rediss:// or unix:// with password and database."
    )
    postgres_timeout: Duration = Field(
        3.0, description="How long one question to PostgreSQL may take, waiting for a connection included; then 503."
    )
    redis_timeout: Duration = Field(
        0.2, description="How long one question to Redis may take; then 503. More for a server that is far away."
    )
    data_dir: Path = Field(
        Path("data"), description="Folder for the embedded servers' data, the secret and spooled records."
    )
    secret: LongSecret | None = Field(
        None,
        description=(
            "What keys at rest and refresh tokens derive from, at least 32 characters; gates that share a database"
            " need the same one. Not set: made once in `data_dir/secret` (mode 600)."
        ),
    )


class Tokens(Section):
    """Access and refresh tokens."""

    algorithm: Literal["EdDSA", "ES256", "RS256", "HS256"] = Field(
        "EdDSA", description="Algorithm of new signing keys: EdDSA, ES256, RS256 or HS256."
    )
    audience: str = Field("gate", min_length=1, max_length=255, description="The `aud` of access tokens.")
    access_ttl: Duration = Field(900.0, description="Life of an access token.")
    refresh_ttl: Duration = Field(30 * 86400.0, description="Life of a session from login, absolute.")
    idle_ttl: Duration = Field(7 * 86400.0, description="Life of a session since its last refresh or renewal.")
    refresh_reuse_window: Duration = Field(
        10.0, description="How long the just-used refresh token gets its successor again (a lost answer, two tabs)."
    )
    accept: list[AcceptedIssuer] = Field(
        [],
        description="Other issuers whose access tokens are taken too; such a token needs `exp`, `iat`, `jti` and `sub`"
        " (docs/tokens.md)."
        " Read at the start.",
    )


class Registration(Section):
    """Who may make an account."""

    mode: Literal["auto", "open", "invite", "closed"] = Field(
        "auto",
        description="open, invite (by `gatekeeper user invite`), closed, or `auto`: open on a loopback public_url, else"
        " closed.",
    )
    verify_email: bool = Field(
        False, description="An account works once its e-mail is confirmed; a taken e-mail answers like a free one."
    )
    invitation_ttl: Duration = Field(7 * 86400.0, description="Life of an invitation, unless it says otherwise.")


class LeakCheck(Section):
    """Whether a new password is among leaked ones, by the first 5 digits of its SHA-1 (k-anonymity)."""

    url: RangeUrl | None = Field(
        None, description="Where ranges are asked for, such as https://api.pwnedpasswords.com/range/; not set: nowhere."
    )
    timeout: Duration = Field(3.0, description="For the whole answer.")
    required: bool = Field(False, description="Refuse new passwords while the check cannot be made.")


class Passwords(Section):
    """What a password must be (NIST SP 800-63B-4: length and a blocklist, no composition rules)."""

    min_length: int = Field(12, ge=8, le=128, description="Fewest characters, 8 to 128.")
    block_common: bool = Field(True, description="Refuse the commonest passwords.")
    min_score: int = Field(0, ge=0, le=4, description="Least zxcvbn score, 0 (off) to 4; needs the extra `passwords`.")
    leak_check: LeakCheck = Field(default_factory=LeakCheck)


class Mfa(Section):
    """Second factors."""

    methods: list[Literal["totp", "passkey", "otp"]] = Field(
        ["totp", "passkey", "otp"],
        description="What counts as one: totp (an app's codes), passkey, otp (a mailed code).",
    )
    require_for_roles: list[RoleName] = Field(
        ["admin"], description="Whoever has one of these roles needs two factors, and adds one at the next login."
    )
    remember_devices: Duration | None = Field(
        30 * 86400.0,
        description=(
            "How long a browser whose owner asked for it needs no second factor at a login; null: not at all. Never for"
            " those roles, nor for what asks for two factors."
        ),
    )


class Limits(Section):
    """Attempts allowed before 429."""

    default: Rates = Field(
        "1000/minute",
        validate_default=True,
        description="Requests of one address (IPv6: one /64) to the upstreams, over all rules; one rate or several.",
    )
    login_per_ip: Rate = Field(
        "20/minute", validate_default=True, description="Failed logins from one address (IPv6: one /64)."
    )
    login_per_account: Rate = Field(
        "5/15minutes",
        validate_default=True,
        description=(
            "Failed logins for one e-mail, and for one e-mail from one address. A browser or an address that has signed"
            " in to the account before still gets through when strangers have used them up."
        ),
    )
    register_per_ip: Rate = Field("20/hour", validate_default=True, description="Registrations from one address.")
    forgot_per_ip: Rate = Field(
        "20/hour", validate_default=True, description="Requests for a reset or a verification mail from one address."
    )
    otp_per_ip: Rate = Field("30/hour", validate_default=True, description="Requests for a code from one address.")
    otp_per_account: Rate = Field(
        "20/hour", validate_default=True, description="Codes for one account, over all purposes."
    )
    refresh_per_session: Rate = Field("60/minute", validate_default=True, description="Refreshes of one session.")


class Timeouts(Section):
    """Deadlines of the client side and, as defaults, of upstreams."""

    head: Duration = Field(10.0, description="For a complete request head.")
    body_idle: Duration = Field(30.0, description="Between two parts of a request body.")
    handshake: Duration = Field(
        10.0, description="For a TLS handshake, and for the head of the Proxy Protocol before it."
    )
    idle: Duration = Field(75.0, description="For the next request on a kept-alive connection.")
    connect: Duration = Field(5.0, description="For connecting to an upstream.")
    first_byte: Duration = Field(30.0, description="From the end of a request to the head of the upstream's answer.")
    drain: Duration = Field(30.0, description="For requests in flight after SIGTERM.")


class Sizes(Section):
    """Bounds of what clients may send and hold."""

    connections: int = Field(
        8192, ge=16, le=1_000_000, description="Connections to one worker; further ones are closed at once."
    )
    connections_per_ip: int = Field(
        256,
        ge=1,
        le=1_000_000,
        description=(
            "Connections of one address (IPv6: one /64) to one worker; further ones are closed at once."
            " `trusted_proxies` may have any number."
        ),
    )

    headers: int = Field(100, ge=8, le=128, description="Header fields a request, 8 to 128.")
    head: Size = Field(32 << 10, description="A request's line and header fields.")
    body: Size = Field(100 << 20, description="A forwarded request body.")
    json_body: Size = Field(64 << 10, alias="json", description="A body sent to the gate's own API.")


def _example_upstreams() -> dict[str, Upstream]:
    return {"api": Upstream(targets=["http://127.0.0.1:9000"])}


def _example_rules() -> list[RuleConfig]:
    return [
        RuleConfig(name="health", path="/health", methods=["GET"], allow="anyone"),
        RuleConfig(name="api", path="/**", allow="authenticated"),
    ]


class Config(Section):
    """The whole of config.yaml."""

    listen: list[AnyListener] = Field(
        ["127.0.0.1:8080"],
        min_length=1,
        description=(
            "Addresses to listen on: host:port, [IPv6]:port, or `{address, tls, proxy_protocol}` for TLS and the Proxy"
            " Protocol."
        ),
    )
    tls: Tls = Field(default_factory=Tls)
    public_url: PublicUrl = Field(
        "http://127.0.0.1:8080",
        description="Where clients reach the gate: issuer, cookie scope, links. http only on loopback.",
    )
    hosts: list[Host] = Field(
        [], description="Further hosts served: host (any port) or host:port, `*.` allowed; others get 421."
    )
    prefix: Prefix = Field("/_gate", description="Path under which the gate's own endpoints live.")
    workers: Workers = Field("auto", description="Worker processes on one port; `auto` is one a core.")
    trusted_proxies: list[NetworkOrFile] = Field(
        [],
        description=(
            "Networks whose X-Forwarded-* and X-Original-* fields are believed; `file:PATH` stands for those in a file,"
            " one a line with `#` comments, read again within 2 s of a change."
        ),
    )
    internal_listen: Listen | None = Field(
        "127.0.0.1:8081", description="Address of metrics and health without login, for those inside; null: none."
    )
    storage: Storage = Field(default_factory=Storage)
    tokens: Tokens = Field(default_factory=Tokens)
    sessions: Sessions = Field(default_factory=Sessions)
    registration: Registration = Field(default_factory=Registration)
    passwords: Passwords = Field(default_factory=Passwords)
    mfa: Mfa = Field(default_factory=Mfa)
    pages: Pages = Field(default_factory=Pages)
    admin: Admin = Field(default_factory=Admin)
    otp: Otp = Field(default_factory=Otp)
    api_keys: ApiKeys = Field(default_factory=ApiKeys)
    limits: Limits = Field(default_factory=Limits)
    bans: Bans = Field(default_factory=Bans)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    sizes: Sizes = Field(default_factory=Sizes)
    geo: Geo = Field(default_factory=Geo)
    logs: Logs = Field(default_factory=Logs)
    anomalies: Anomalies = Field(default_factory=Anomalies)
    cors: ApiCors = Field(default_factory=ApiCors)
    mail: Mail = Field(default_factory=Mail)
    notify: Notify = Field(default_factory=Notify)
    upstreams: dict[UpstreamName, Upstream] = Field(
        default_factory=_example_upstreams, min_length=1, description="Services behind the gate, by name."
    )
    rules: list[RuleConfig] = Field(
        default_factory=_example_rules, description="The first rule that matches decides; no match denies."
    )

    @property
    def listeners(self) -> list[Listener]:
        """Where to listen, each in full."""
        return [one if isinstance(one, Listener) else Listener(address=one) for one in self.listen]

    @property
    def panel_listener(self) -> Listener | None:
        """The panel's own, where it has one."""
        one = self.admin.listen
        return Listener(address=one) if isinstance(one, str) else one

    @property
    def panel_url(self) -> str:
        """The origin of the panel, as admins know it."""
        one = self.panel_listener
        return self.public_url if one is None else self.admin.public_url or own_url(one.address, tls=one.tls)

    @property
    def registration_mode(self) -> Literal["open", "invite", "closed"]:
        """Who may make an account: `auto` means anybody only where nobody but this machine comes by."""
        if self.registration.mode == "auto":
            return "open" if is_loopback(urlsplit(self.public_url).hostname or "") else "closed"
        return self.registration.mode

    @property
    def open_registration(self) -> bool:
        """Whether anybody may make an account."""
        return self.registration_mode == "open"
