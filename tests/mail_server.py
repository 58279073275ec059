"""A real SMTP server (aiosmtpd) in the test's own loop: keeps what it is given, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_PATIENCE = 60.0  # seconds; under any load
USER, PASSWORD = "gate", "the mail server's password"


@dataclass
class MailServer:
    """What has arrived. ``answers`` are given to RCPT, first to last, before it takes anything."""

    port: int = 0
    received: list[EmailMessage] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)
    logged_in: list[bool] = field(default_factory=list)
    listening: asyncio.Server | None = None
    start: Callable[[], Any] | None = None
    unread: defaultdict[str, asyncio.Queue[EmailMessage]] = field(default_factory=lambda: defaultdict(asyncio.Queue))

    async def handle_RCPT(  # noqa: N802  # the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        self.unread[message["To"]].put_nowait(message)
        self.over_tls.append(
            session.ssl is not None or isinstance(server.transport.get_extra_info("sslcontext"), ssl.SSLContext)
        )
        self.logged_in.append(bool(session.authenticated))
        return "250 taken"

    async def stop(self) -> None:
        """Nobody listens any more."""
        assert self.listening is not None
        self.listening.close()
        await self.listening.wait_closed()

    async def next(self, to: str) -> str:
        """The plain text of the next mail to somebody, once it is there; one to others may come before or after it."""
        async with asyncio.timeout(_PATIENCE):
            return plain_text(await self.unread[to].get())

    def text(self, number: int = -1) -> str:
        """The plain text of a mail."""
        return plain_text(self.received[number])

    def link(self, number: int = -1) -> str:
        """The first link in it."""
        return link_in(self.text(number))


def plain_text(message: EmailMessage) -> str:
    """What a mail says."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def code_in(text: str) -> str:
    """The code that stands alone in a line of a mail."""
    found = re.search(r"(?m)^\s+(\d{6})\s*$", text)
    assert found, text
    return found[1]


def link_in(text: str) -> str:
    """The first link in a mail."""
    found = re.search(r"https?://\S+", text)
    assert found, text
    return found[0]


@asynccontextmanager
async def mail_server(
    *, tls: ssl.SSLContext | None = None, from_the_start: bool = False, login: bool = False
) -> AsyncIterator[MailServer]:
    """A server on a port of 127.0.0.1; STARTTLS is required where there is a context, unless TLS is there already."""
    state = MailServer()
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # login without TLS is what one of the tests is about
            return SMTP(
                state,
                enable_SMTPUTF8=True,
                tls_context=None if from_the_start else tls,
                require_starttls=tls is not None and not from_the_start,
                auth_required=login,
                auth_require_tls=False,
                authenticator=authenticate if login else None,
                hostname="mail.test",
                loop=loop,
            )

    async def start() -> None:
        state.listening = await loop.create_server(
            protocol, "127.0.0.1", state.port, ssl=tls if from_the_start else None
        )
        state.port = state.listening.sockets[0].getsockname()[1]

    state.start = start
    await start()
    try:
        yield state
    finally:
        await state.stop()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """The port of a server that takes connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            await reader.read()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def own_authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test mail")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, both = folder / "mail-ca.pem", folder / "mail.pem"
    authority.write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, authority
