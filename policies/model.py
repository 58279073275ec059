"""The vocabulary of a decision. Shared by the gate, its surfaces, logs, metrics and the panel."""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from math import inf
from typing import TYPE_CHECKING

from policies.facts import fact

if TYPE_CHECKING:
    from policies.rates import Standing
    from policies.rules import Rule

Address = IPv4Address | IPv6Address


class Reason(StrEnum):
    """Why a request was refused, or a login failed: one word list for everything that says why."""

    CREDENTIALS_MISSING = "credentials-missing"
    TOKEN_INVALID = "token-invalid"
    TOKEN_EXPIRED = "token-expired"
    SESSION_ENDED = "session-ended"
    REFRESH_INVALID = "refresh-invalid"
    REFRESH_REUSED = "refresh-reused"
    INVALID_CREDENTIALS = "invalid-credentials"
    MFA_REQUIRED = "mfa-required"
    MFA_INVALID = "mfa-invalid"
    PASSWORD_CHANGE_REQUIRED = "password-change-required"
    STEP_UP_REQUIRED = "step-up-required"
    OTP_INVALID = "otp-invalid"
    OTP_EXPIRED = "otp-expired"
    EMAIL_TAKEN = "email-taken"
    EMAIL_UNVERIFIED = "email-unverified"
    REGISTRATION_CLOSED = "registration-closed"
    NO_RULE = "no-rule"
    RULE_DENIED = "rule-denied"
    BANNED = "banned"
    RATE_LIMITED = "rate-limited"
    BUSY = "busy"
    CSRF = "csrf"
    ORIGIN_DENIED = "origin-denied"
    BAD_TARGET = "bad-target"
    UNKNOWN_HOST = "unknown-host"
    UNTRUSTED_PROXY = "untrusted-proxy"
    BINDING_MISMATCH = "binding-mismatch"
    STORE_UNAVAILABLE = "store-unavailable"
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    VALIDATION = "validation"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    TOO_LARGE = "too-large"


class Verdict(IntEnum):
    """What happens to a request. The zero value denies."""

    DENY = 0
    ALLOW = 1
    LOGIN = 2
    STEP_UP = 3


@fact
class RequestTarget:
    """The one canonical request target (RFC 9112 3.2, origin-form) that policy and forwarding share.

    ``host`` is lower case, without the port; ``port`` is None where the Host field names none.
    ``path`` is ASCII with unreserved characters decoded; ``query`` is byte for byte what the
    client sent, None without a ``?``.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str | None

    @property
    def origin_form(self) -> str:
        """Path and query as they go to the upstream."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def authority(self) -> str:
        """Host and port as a Host field would say them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@fact
class KeyGrant:
    """That a principal came by an API key (``digest`` is that of its text), and what the key is good for.

    ``scopes`` are names. ``as_owner``: on this path it stands for its owner; else it is admitted by its scopes alone.
    """

    id: str
    scopes: frozenset[str]
    as_owner: bool
    digest: str = field(default="", repr=False)


@fact
class Principal:
    """Who asks: facts of a verified token, with roles and e-mail from the live user record.

    ``auth_time`` is in Unix seconds, ``mfa_time`` likewise the last use of a second factor (0: none); ``acr`` is
    ``1fa`` or ``2fa``; ``amr`` holds RFC 8176 values. Who ``must_enrol`` may do nothing but add a second factor.
    ``issuer`` is who says all this, where that is not the gate itself; then nothing is live but a blacklist, and it
    holds ``until`` then (Unix seconds). Of an API key's owner ``session`` and ``jti`` name the ``key``, and no times
    are known.
    """

    subject: str
    email: str
    roles: frozenset[str]
    session: str
    jti: str
    email_verified: bool = False
    name: str | None = None
    acr: str = "1fa"
    amr: tuple[str, ...] = ()
    auth_time: float = 0.0
    mfa_time: float = 0.0
    must_enrol: bool = False
    issuer: str | None = None
    until: float = inf
    key: KeyGrant | None = None

    @property
    def as_owner(self) -> bool:
        """Whether it stands for the whole account, not only for scopes of one of its keys."""
        return self.key is None or self.key.as_owner

    @property
    def told_roles(self) -> frozenset[str]:
        """The roles that an upstream is told of: a key that is admitted by its scopes has none."""
        return self.roles if self.as_owner else frozenset()


@fact
class StepUp:
    """What is missing of an authentication (RFC 9470): how old it may be, in seconds, and which ``acr`` will do."""

    reason: Reason
    max_age: int | None
    acr_values: str


@fact
class Report:
    """What a rule, or a rule's limit, that only reports would have done: ``verdict`` and, where it refuses, why."""

    rule: str
    verdict: Verdict
    reason: Reason | None


@fact
class Decision:
    """The answer. Built without arguments it denies.

    ``set_cookie`` is a Set-Cookie value that every surface must pass on (renewal in passing).
    ``standing`` is how the request stands under the rule's limit, ``retry_after`` in seconds; ``step_up`` says what
    a STEP_UP wants.
    """

    verdict: Verdict = Verdict.DENY
    reason: Reason | None = Reason.NO_RULE
    rule: Rule | None = None
    principal: Principal | None = None
    set_cookie: str | None = field(default=None, repr=False)
    standing: Standing | None = None
    retry_after: float | None = None
    reported: Report | None = None
    step_up: StepUp | None = None
