"""Mail over SMTP (RFC 5321), by aiosmtplib: STARTTLS, TLS or neither, with or without login, a deadline on each step.

Called by ``delivery`` for each message, and by ``gatekeeper check --send-to``. What can pass by itself (no connection,
4xx, greylisting) is tried again; a 5xx about the recipient or the content is final.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gatekeeper.errors import StartupError
from gatekeeper.notify.letters import Letters
from gatekeeper.notify.messages import Message, SendingFailed
from gatekeeper.notify.outbox import Parcel

if TYPE_CHECKING:
    import aiosmtplib

_MISSING: Final = "mail.smtp.host: mail needs the extra `mail`: pip install 'gatekeeper[mail]'"
_MAIL: Final = "handing over the mail"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over; ``timeout`` in seconds for each step."""

    host: str
    port: int = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    timeout: float = 20.0


class Smtp:
    """The channel. Raises StartupError where the library or the authority's file is missing."""

    def __init__(self, server: SmtpServer, letters: Letters) -> None:
        try:
            import aiosmtplib  # noqa: F401  # comes with an extra
        except ImportError:
            raise StartupError(_MISSING) from None
        self._server = server
        self.letters = letters
        try:
            self._context = ssl.create_default_context(cafile=server.ca)
        except (OSError, ssl.SSLError) as fault:
            raise StartupError(f"mail.smtp.ca: {server.ca}: {fault.strerror or 'no certificates in it'}") from None

    async def send(self, content: bytes, parcel: Parcel, now: float) -> None:
        """Write the mail and hand it over. Raises SendingFailed."""
        await self.hand_over(self.letters.write(Message.load(content), key=str(parcel.id), now=now))

    async def hand_over(self, mail: EmailMessage) -> None:
        """One conversation with the server. Raises SendingFailed that names the step."""
        import aiosmtplib

        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "tls",
            start_tls=False,
            local_hostname=socket.gethostname(),  # else the library asks DNS for one
            timeout=server.timeout,
            tls_context=self._context,
        )
        step = f"connecting to {server.host}:{server.port}"
        try:
            await client.connect()
            if server.tls == "starttls":
                step = "STARTTLS"
                await client.starttls(tls_context=self._context)
            if server.user is not None:
                step = f"login as {server.user}"
                await client.login(server.user, server.password or "")
            step = _MAIL
            await client.send_message(mail)
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError) as fault:
            raise _failure(step, fault) from None
        finally:
            await _part(client)


async def _part(client: aiosmtplib.SMTP) -> None:
    """The mail is taken or not; how the goodbye goes changes nothing."""
    import aiosmtplib

    try:
        if client.is_connected:
            await client.quit(timeout=2.0)
    except (aiosmtplib.SMTPException, OSError):
        pass
    finally:
        client.close()


def _failure(step: str, fault: Exception) -> SendingFailed:
    import aiosmtplib

    if isinstance(fault, aiosmtplib.SMTPRecipientsRefused):
        fault = fault.recipients[0]
    if isinstance(fault, aiosmtplib.SMTPResponseException):
        # What the server says before is about the gate, not about this mail, and may be mended while it waits.
        final = fault.code >= 500 and step == _MAIL
        return SendingFailed(f"{step}: {fault.code} {_line(fault.message)}", final=final)
    return SendingFailed(f"{step}: {_line(str(fault)) or type(fault).__name__}")


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
