"""Messages as mail: text and HTML from Jinja templates that an operator can replace. Called by ``smtp``.

``NAME.txt`` begins with a line ``Subject: ...`` and an empty one; ``NAME.html`` is the same for mail programs that
show it. Templates are looked for in the operator's folder first. They see the message's facts, ``to``, ``site`` (the
host people know the gate by) and ``public_url``; nothing that a client sent decides where a link leads (security 21).
"""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from urllib.parse import urlsplit

import jinja2

from gatekeeper.clock import as_datetime
from gatekeeper.errors import StartupError
from gatekeeper.notify.messages import FACTS, Kind, Message, SendingFailed


class Letters:
    """Writes mail; ``folder`` holds templates that precede the built-in ones. Raises StartupError for broken ones."""

    def __init__(self, *, sender: str, public_url: str, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise StartupError(f"mail.templates: {folder} is not a folder")
        loaders: list[jinja2.BaseLoader] = [jinja2.PackageLoader("gatekeeper.notify")]
        if folder is not None:
            loaders.insert(0, jinja2.FileSystemLoader(folder))
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=jinja2.select_autoescape(disabled_extensions=("txt",), default=True),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(site=urlsplit(public_url).netloc, public_url=public_url)
        self._sender = parseaddr(sender)
        for kind in Kind:
            for suffix in ("txt", "html"):
                self._template(f"{kind}.{suffix}")

    def write(self, message: Message, *, key: str, now: float) -> EmailMessage:
        """The mail. ``key`` makes its Message-ID, so that a second copy of the same is known as one (RFC 5322 3.6.4).

        Raises SendingFailed for a template that does not go with this message.
        """
        try:
            text = self._template(f"{message.kind}.txt").render(message.facts, to=message.to)
            html = self._template(f"{message.kind}.html").render(message.facts, to=message.to)
        except (jinja2.TemplateError, StartupError) as fault:
            raise SendingFailed(f"template {message.kind}: {fault}", final=True) from None
        subject, body = _parts(text, message.kind)
        name, address = self._sender
        local, _, domain = address.rpartition("@")
        mail = EmailMessage()
        mail["Subject"] = subject
        mail["From"] = Address(name, local, domain)
        to_local, _, to_domain = message.to.rpartition("@")
        mail["To"] = Address("", to_local, to_domain)
        mail["Date"] = format_datetime(as_datetime(now))
        mail["Message-ID"] = f"<{key}@{domain}>" if key else make_msgid(domain=domain)
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notices in return
        mail.set_content(body)
        mail.add_alternative(html, subtype="html")
        return mail

    def faults(self) -> list[str]:
        """What keeps templates from being written with the facts of their kind; empty where all can be."""
        found = []
        for kind in Kind:
            sample = Message(kind, "somebody@example.org", 0.0, dict.fromkeys(FACTS[kind], "1"))
            try:
                self.write(sample, key="", now=0.0)
            except SendingFailed as fault:
                found.append(str(fault))
        return found

    def _template(self, name: str) -> jinja2.Template:
        try:
            return self._environment.get_template(name)
        except jinja2.TemplateSyntaxError as fault:
            raise StartupError(f"mail.templates: {name}, line {fault.lineno}: {fault.message}") from None
        except jinja2.TemplateError as fault:
            raise StartupError(f"mail.templates: {name}: {fault}") from None


def _parts(text: str, kind: Kind) -> tuple[str, str]:
    head, _, body = text.partition("\n")
    subject = head.removeprefix("Subject:").strip()
    if not head.startswith("Subject:") or not subject or not subject.isprintable():
        raise SendingFailed(f"template {kind}.txt does not begin with a line `Subject: ...`", final=True)
    return subject, body.strip("\n") + "\n"
