"""The section of one rule in config.yaml. Part of ``config.model``; compiled by ``policies.load``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, Tag, model_validator

from gatekeeper.config.section import Section
from gatekeeper.config.types import (
    Cidr,
    Duration,
    LimitKey,
    OneOrMore,
    Rates,
    RoleName,
    RuleName,
    ScopeName,
    Size,
    UserName,
)

Wanted = dict[str, StrictBool | str]


class AllowSubjects(Section):
    """Who a rule admits, when not simply `anyone` or `authenticated`: whoever fits every list that is given."""

    roles: list[RoleName] | None = Field(None, min_length=1, description="Has one of these roles.")
    users: list[UserName] | None = Field(
        None, min_length=1, description="Is one of these accounts: verified e-mails, or ids as `user list` shows them."
    )
    domains: list[str] | None = Field(
        None, min_length=1, description="Has a verified e-mail at one of these domains; `*.` stands for all below."
    )
    claims: dict[str, OneOrMore] | None = Field(
        None,
        min_length=1,
        description=(
            "Has one of the values for each claim: acr, amr, email_verified, sub; iss of another issuer"
            " (tokens.accept), whose subjects are written `issuer sub`."
        ),
    )
    scopes: list[ScopeName] | None = Field(
        None, min_length=1, description="Comes by an API key with one of these scopes; nobody else has scopes."
    )

    @model_validator(mode="before")
    @classmethod
    def _no_word_beside_subjects(cls, value: Any) -> Any:
        if isinstance(value, dict):
            words = {"anyone", "authenticated", "nobody"}.intersection(map(str, value))
            if words:
                word = min(words)
                raise ValueError(f"`{word}` stands alone (allow: {word}); a subject beside it would mean nothing")
            if not value:
                raise ValueError("says nothing of whom it admits; known here: roles, users, domains, claims, scopes")
        return value

    @property
    def asks_for_email(self) -> bool:
        """Whether it goes by e-mails."""
        return bool(self.domains) or any("@" in user for user in self.users or ())


def _kind_of_allow(value: Any) -> str:
    if isinstance(value, list):
        return "(choices)"
    return "(subjects)" if isinstance(value, dict | AllowSubjects) else "(word)"


Allow = Annotated[
    Annotated[Literal["anyone", "authenticated", "nobody"], Tag("(word)")]
    | Annotated[AllowSubjects, Tag("(subjects)")]
    | Annotated[list[AllowSubjects], Tag("(choices)")],
    Discriminator(_kind_of_allow),
]


class RuleSchedule(Section):
    """When a rule holds."""

    days: OneOrMore | None = Field(None, description="Days: mon, or mon-fri; not given: every day.")
    hours: OneOrMore | None = Field(
        None, description="Hours: 08:00-18:00; 22:00-06:00 ends the day after; not given: the whole day."
    )
    zone: str = Field("UTC", description="Time zone by its IANA name, such as Europe/Zurich.")


class RuleRewrite(Section):
    """Another path for the upstream; rules decide on the one that was asked for."""

    strip_prefix: str | None = Field(None, description="What every path of the rule begins with, such as /api.")
    add_prefix: str | None = Field(None, description="What is put in its place, such as /v2.")


class FieldChanges(Section):
    """Header fields to set and to remove; the gate's own and hop-by-hop ones are out of reach."""

    set: dict[str, str] | None = Field(None, description="Fields and their values, in place of what is there.")
    remove: list[str] | None = Field(None, description="Names of fields.")


class Cors(Section):
    """Which other origins may call, by the Fetch standard; the gate answers preflights itself, without a login."""

    origins: list[str] = Field(
        description="Origins: https://app.example.org, https://*.example.org; `*` alone: every one, without cookies."
    )
    headers: list[str] | None = Field(None, description="Fields that may be sent; not given: whichever are asked for.")
    expose: list[str] | None = Field(None, description="Fields of answers that pages may read.")
    credentials: bool = Field(False, description="Cookies come along, and count: these origins act as the user.")
    max_age: Duration = Field(600.0, description="How long a browser remembers the answer to a preflight.")


class RuleLimit(Section):
    """How often a rule may be used."""

    rate: Rates = Field(description="Requests a time, such as 600/minute, or several: 30/1m, 400/1h.")
    by: LimitKey = Field(
        "address",
        description=(
            "Whose requests count together: address (IPv6: one /64), user, session (both need a rule that asks for a"
            " login), key (an API key; else the user or address), rule (everybody's), or header:NAME, the value of a"
            " field that clients cannot choose freely."
        ),
    )
    report_only: bool = Field(False, description="Refuse nothing; log and count what would have been.")


class RuleConfig(Section):
    """One rule; the first that matches decides."""

    name: RuleName = Field(description="Unique; shown in logs, metrics and `explain`.")
    host: OneOrMore | None = Field(None, description="Host or list of hosts (`*.` allowed); not given: any.")
    path: OneOrMore = Field(
        ["/**"],
        description=(
            "Path glob or list: `*` within a segment, `**` any number of segments; or `regex:` and a regular expression"
            " (RE2) over the whole path."
        ),
    )
    methods: list[str] | None = Field(None, description="Methods; not given: any. GET includes HEAD.")
    query: Wanted | None = Field(
        None, description="Parameters by name: a value (`*`: any characters), true (present) or false (absent)."
    )
    headers: Wanted | None = Field(None, description="Header fields by name, likewise. They are no secrets.")
    networks: list[Cidr] | None = Field(None, description="Networks of the client's address.")
    countries: list[str] | None = Field(
        None, description="Countries of the client's address: ISO 3166-1 such as CH, or `unknown`."
    )
    schedule: RuleSchedule | None = Field(None, description="`{days, hours, zone}`: when the rule holds.")
    allow: Allow = Field(
        description=(
            "`anyone`, `authenticated`, `nobody`, or `{roles: [...], users, domains, claims, scopes}`: whoever fits all"
            " of them; a list of such: any of these."
        )
    )
    upstream: str | None = Field(None, description="Name of the upstream; needed where there are several.")
    pass_authorization: bool = Field(False, description="Forward an Authorization field that is not the gate's own.")
    upgrade: list[str] | None = Field(
        None, description="Protocols to which a request may switch; not given: [websocket]. `[]`: none."
    )
    limit: RuleLimit | None = Field(None, description="`{rate, by}`: how often; answers carry RateLimit.")
    step_up: Duration | None = Field(
        None, description="How old the login, or the step-up since, may be; not given: any age."
    )
    mfa: bool = Field(False, description="Ask for two factors (`acr` 2fa); with step_up the second must be that young.")
    report_only: bool = Field(False, description="Decide nothing; log and count what the rule would have done.")
    rewrite: RuleRewrite | None = Field(
        None, description="`{strip_prefix, add_prefix}`: another path for the upstream; it learns X-Forwarded-Prefix."
    )
    request_headers: FieldChanges | None = Field(
        None, description="`{set: {Name: value}, remove: [Name]}`: fields of the request on its way to the upstream."
    )
    response_headers: FieldChanges | None = Field(None, description="Fields of the answer, likewise.")
    secure_headers: bool = Field(
        False,
        description=(
            "Add X-Content-Type-Options, X-Frame-Options, Referrer-Policy, Cross-Origin-Opener-Policy,"
            " Permissions-Policy and, over https, Strict-Transport-Security to answers that lack them."
        ),
    )
    cors: Cors | None = Field(
        None, description="`{origins, headers, expose, credentials, max_age}`: other origins that may call."
    )
    timeout: Duration | None = Field(
        None, description="From the end of a request to the head of the answer; not given: that of the upstream."
    )
    body: Size | None = Field(None, description="Most bytes of a request's body, at most sizes.body; not given: that.")
