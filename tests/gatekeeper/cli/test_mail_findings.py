"""``gatekeeper check`` on mail: the server, the templates, and a mail to try it."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from mail_server import mail_server

from gatekeeper.cli.mail_findings import mail
from gatekeeper.config.model import Config


def said(send_to=None, **settings):
    return [str(finding) for finding in mail(Config.model_validate(settings), send_to)]


def through(port, **more):
    return {"from": "Gate <gate@example.org>", "smtp": {"host": "127.0.0.1", "port": port, "tls": "none"}, **more}


@contextmanager
def serving():
    """A mail server in a thread of its own: ``check`` runs its own loop."""
    ready, over, found = threading.Event(), threading.Event(), []

    async def serve():
        async with mail_server() as server:
            found.append(server)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(60)
        yield found[0]
    finally:
        over.set()
        thread.join()


def test_without_a_server_nothing_is_sent():
    assert said() == []
    assert "FAULT" in said("ada@example.com")[0]
    assert "warn" in said(public_url="https://app.example.org")[0]


def test_a_mail_is_handed_over():
    with serving() as server:
        lines = said("Ada@Example.com", mail=through(server.port))
    assert [line.split()[0] for line in lines] == ["ok", "ok"]
    assert [mail["To"] for mail in server.received] == ["ada@example.com"]


@pytest.mark.parametrize("to", ["nobody", "a@b.example\nBcc: c@d.example"])
def test_what_is_no_address_gets_none(to):
    with serving() as server:
        assert said(to, mail=through(server.port))[-1].startswith("FAULT mail           --send-to: the address ")
    assert server.received == []


def test_a_server_that_refuses_is_named_with_what_it_said():
    with serving() as server:
        server.answers.append("550 5.7.1 no relaying")
        (line,) = said("ada@example.com", mail=through(server.port))[1:]
    assert line.startswith("FAULT")
    assert "550 5.7.1 no relaying" in line


def test_clear_text_across_the_network_is_warned_of():
    settings = through(25)
    settings["smtp"]["host"] = "mail.example.org"
    assert "in clear" in said(mail=settings)[1]


def test_templates_are_tried(tmp_path):
    (tmp_path / "otp.txt").write_text("Subject: x\n\n{{ nothing }}\n")
    assert "'nothing' is undefined" in said(mail=through(25, templates=tmp_path))[1]
