"""Mail handed to a real server: TLS, login, what is tried again and what is not."""

import pytest
from factories import NOW
from mail_server import PASSWORD, USER, mail_server, own_authority, silent_server

from gatekeeper.errors import StartupError
from gatekeeper.notify.letters import Letters
from gatekeeper.notify.messages import Kind, Message, SendingFailed
from gatekeeper.notify.smtp import Smtp, SmtpServer

MESSAGE = Message(Kind.OTP, "ada@example.com", NOW + 300, {"code": "123456", "purpose": "login", "minutes": "5"})


def _smtp(port, **settings):
    letters = Letters(sender="Gate <gate@example.org>", public_url="https://app.example.org")
    return Smtp(SmtpServer("127.0.0.1", port, **{"tls": "none", "timeout": 20.0, **settings}), letters), letters


async def _send(port, message=MESSAGE, **settings):
    smtp, letters = _smtp(port, **settings)
    await smtp.hand_over(letters.write(message, key="k1", now=NOW))


async def test_mail_arrives_as_text_and_html():
    async with mail_server() as server:
        await _send(server.port)
    (mail,) = server.received
    assert (mail["To"], mail["From"]) == ("ada@example.com", "Gate <gate@example.org>")
    assert mail["Subject"] == "123456 is your code for app.example.org"
    assert mail["Message-ID"] == "<k1@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "123456" in server.text()
    assert "123456" in mail.get_body(("html",)).get_content()
    assert server.over_tls == [False]


async def test_starttls_with_an_own_authority_and_a_login(tmp_path):
    context, authority = own_authority(tmp_path)
    async with mail_server(tls=context, login=True) as server:
        await _send(server.port, tls="starttls", ca=authority, user=USER, password=PASSWORD)
    assert (server.over_tls, server.logged_in) == ([True], [True])


async def test_tls_from_the_start(tmp_path):
    context, authority = own_authority(tmp_path)
    async with mail_server(tls=context, from_the_start=True) as server:
        await _send(server.port, tls="tls", ca=authority)
    assert server.over_tls == [True]


async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(tmp_path):
    context, _ = own_authority(tmp_path)
    async with mail_server(tls=context) as server:
        with pytest.raises(SendingFailed, match=r"STARTTLS: .*certificate") as caught:
            await _send(server.port, tls="starttls")
    assert server.received == []
    assert caught.value.final is False


async def test_without_starttls_nothing_goes_in_clear():
    async with mail_server() as server:
        with pytest.raises(SendingFailed, match="STARTTLS"):
            await _send(server.port, tls="starttls", user=USER, password=PASSWORD)
    assert server.received == []


async def test_a_refused_login_is_named_without_the_password():
    async with mail_server(login=True) as server:
        with pytest.raises(SendingFailed, match="login as gate: 535") as caught:
            await _send(server.port, user=USER, password="not the password")
    assert "not the password" not in str(caught.value)
    assert caught.value.final is False


@pytest.mark.parametrize(
    ("answer", "final"),
    [("450 4.2.0 greylisted, come again", False), ("451 later", False), ("550 5.1.1 no such user", True)],
)
async def test_a_refused_recipient_is_final_only_where_the_server_means_it(answer, final):
    async with mail_server() as server:
        server.answers.append(answer)
        with pytest.raises(SendingFailed, match=answer[:3]) as caught:
            await _send(server.port)
    assert caught.value.final is final


async def test_nobody_listens():
    async with mail_server() as server:
        port = server.port
    with pytest.raises(SendingFailed, match=f"connecting to 127.0.0.1:{port}") as caught:
        await _send(port)
    assert caught.value.final is False


async def test_a_server_that_never_speaks_is_given_up_in_time():
    async with silent_server() as port:
        with pytest.raises(SendingFailed, match="connecting"):
            await _send(port, timeout=0.2)


async def test_an_address_beyond_ascii_arrives():
    message = Message(Kind.TEST, "j\u00fcrgen@xn--bcher-kva.example", NOW + 60)
    async with mail_server() as server:
        await _send(server.port, message)
    assert len(server.received) == 1


def test_a_missing_authority_keeps_the_gate_from_starting(tmp_path):
    with pytest.raises(StartupError, match=r"mail\.smtp\.ca"):
        _smtp(25, ca=tmp_path / "none.pem")
