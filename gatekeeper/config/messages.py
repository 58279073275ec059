"""The sections about what the gate sends: codes, mail, webhooks. Used by ``config.model``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from gatekeeper.config.section import Section
from gatekeeper.config.types import (
    Cidr,
    Duration,
    EventName,
    LongSecret,
    MailAddress,
    Rate,
    ServerName,
    SyslogAddress,
    WebhookUrl,
)

Channel = Literal["console", "smtp", "webhook"]
Facility = Literal[
    "auth",
    "authpriv",
    "daemon",
    "user",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]


class Otp(Section):
    """One-time codes: for a login without a password, as second factor, to verify an e-mail, to step up."""

    digits: int = Field(6, ge=6, le=10, description="Digits of a code, 6 to 10.")
    ttl: Duration = Field(300.0, description="Life of a code.")
    attempts: int = Field(5, ge=1, le=10, description="Tries a challenge, over all guesses and resends, 1 to 10.")
    resend_after: Duration = Field(30.0, description="Pause before another code is sent.")
    limit: Rate = Field("5/hour", validate_default=True, description="Codes for one e-mail and purpose.")
    deliver: list[Channel] = Field(
        ["console"],
        min_length=1,
        description=(
            "Where codes go: console (the gate's own output), smtp, webhook. Links and notices go by mail where"
            " mail.smtp.host is set, else the same way."
        ),
    )


class Smtp(Section):
    """The server that takes mail."""

    host: ServerName | None = Field(None, description="Its name; not set: no mail.")
    port: int = Field(587, ge=1, le=65535, description="Its port: 587 for starttls, 465 for tls.")
    tls: Literal["starttls", "tls", "none"] = Field("starttls", description="starttls, tls (from the start) or none.")
    ca: Path | None = Field(None, description="Authority of its certificate (PEM), in place of the system's.")
    user: str | None = Field(None, min_length=1, description="Login name; not set: no login.")
    password: SecretStr | None = Field(None, description="Its password.")
    timeout: Duration = Field(20.0, description="For each step of the conversation.")


class Mail(Section):
    """Mail to users."""

    from_address: MailAddress | None = Field(
        None, alias="from", description="Sender: gate@example.org or `Example <gate@example.org>`."
    )
    smtp: Smtp = Field(default_factory=Smtp)
    templates: Path | None = Field(
        None, description="Folder with templates of your own; those it lacks are the built-in ones."
    )
    tries: int = Field(
        12, ge=1, le=30, description="Tries a message, at growing distance up to an hour, before it is given up."
    )


class Webhook(Section):
    """One receiver of events."""

    url: WebhookUrl = Field(
        description="Where events are POSTed; https, or http to an address of notify.allow_private."
    )
    secret: LongSecret = Field(description="Key of the signature (Standard Webhooks), at least 32 characters.")
    events: list[EventName] = Field(
        min_length=1,
        description=(
            "Which events: login.*, signal.*, user.*, ban.* and what else docs/events.md lists, * for all of these; otp"
            " (codes), verify-email, password-reset and the other kinds of mail, which hold secrets, by their names."
        ),
    )


class EventFile(Section):
    """Events as JSON lines in a file."""

    path: Path | None = Field(None, description="The file, which may be renamed at any time; not set: none.")
    events: list[EventName] = Field(["*"], min_length=1, description="Which events: names, login.* or *.")


class Syslog(Section):
    """Events to a syslog server, RFC 5424 with a JSON line as message."""

    address: SyslogAddress | None = Field(
        None, description="udp://host:514, tcp://host:601, tls://host:6514 or unix:/dev/log; not set: none."
    )
    facility: Facility = Field("auth", description="auth, authpriv, daemon, user or local0 to local7.")
    ca: Path | None = Field(None, description="Authority of its certificate (PEM) with tls, not the system's.")
    events: list[EventName] = Field(["*"], min_length=1, description="Which events: names, login.* or *.")


class Digest(Section):
    """A mail now and then about what happened: sign-ins, failures and where they came from, bans, changes."""

    to: list[MailAddress] = Field([], description="Who gets it; empty: nobody. Needs mail.smtp.host.")
    every: Duration = Field(
        86400.0, description="How often, in whole hours from Monday 00:00 UTC on: 24h is at midnight, 7d on Mondays."
    )


class Notify(Section):
    """Who is told what happens."""

    webhooks: list[Webhook] = Field([], description="Receivers of signed JSON: `{url, secret, events}`.")
    allow_private: list[Cidr] = Field(
        [], description="Private networks that webhooks, the leak check and `tokens.accept` may reach."
    )
    timeout: Duration = Field(10.0, description="For a webhook's whole answer.")
    lines: EventFile = Field(default_factory=EventFile)
    syslog: Syslog = Field(default_factory=Syslog)
    digest: Digest = Field(default_factory=Digest)
