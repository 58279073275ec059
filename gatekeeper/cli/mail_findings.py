"""What ``gatekeeper check`` says about mail: its server, the templates, a mail to try it. Called by ``cli.check``."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from gatekeeper.app.mail import smtp_of
from gatekeeper.cli.findings import Finding, fault, ok, warn
from gatekeeper.config.forms import is_loopback
from gatekeeper.config.model import Config
from gatekeeper.errors import GatekeeperError
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from gatekeeper.notify.messages import Kind, Message, SendingFailed
from gatekeeper.notify.smtp import Smtp
from gatekeeper.store.outbox import PostgresOutbox
from gatekeeper.store.postgres import Postgres

_LIFE = 60.0  # seconds


def mail(config: Config, send_to: str | None) -> Iterator[Finding]:
    """Where mail goes and whether every template can be written; with ``send_to`` one is sent there."""
    server = config.mail.smtp
    try:
        smtp = smtp_of(config)
    except GatekeeperError as problem:
        yield fault("mail", str(problem))
        return
    if smtp is None:
        if send_to is not None:
            yield fault("mail", "mail.smtp.host is not set, so nothing can be sent")
        elif not is_loopback(urlsplit(config.public_url).hostname or ""):
            yield warn("mail", "mail.smtp.host is not set: links and notices go where codes go (otp.deliver)")
        return
    yield ok("mail", f"{server.host}:{server.port} ({server.tls}) from {config.mail.from_address}")
    if server.tls == "none" and not is_loopback(server.host or ""):
        yield warn("mail", "mail.smtp.tls: none: codes and links cross the network in clear")
    for problem_text in smtp.letters.faults():
        yield fault("mail", f"mail.templates: {problem_text}")
    if send_to is not None:
        yield _sent(smtp, send_to)


def _sent(smtp: Smtp, send_to: str) -> Finding:
    try:
        email, now = canonical_email(send_to), time.time()  # noqa: TID251  # a command
        message = Message(Kind.TEST, email, now + _LIFE)
        asyncio.run(smtp.hand_over(smtp.letters.write(message, key=secrets.token_hex(16), now=now)))
    except InvalidEmail as problem:
        return fault("mail", f"--send-to: the address {problem}")
    except SendingFailed as problem:
        return fault("mail", f"a mail to {send_to} was not taken: {problem}")
    return ok("mail", f"a mail to {email} was handed over; look whether it arrives")


async def outbox(postgres: Postgres) -> list[Finding]:
    """What waits to be sent, and what was given up. Raises StoreUnavailable."""
    state = await PostgresOutbox(postgres).state()
    findings = []
    if state.waiting:
        findings.append(ok("outbox", f"{state.waiting} waiting to be sent"))
    if state.given_up:
        findings.append(warn("outbox", f"{state.given_up} given up within the last 30 days, the last: {state.fault}"))
    return findings
