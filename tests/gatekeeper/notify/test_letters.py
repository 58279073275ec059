"""Templates: every kind as text and HTML, replaced by an operator's, escaped, links from public_url only."""

from pathlib import Path

import pytest
from factories import NOW

from gatekeeper.errors import StartupError
from gatekeeper.notify.letters import Letters
from gatekeeper.notify.messages import FACTS as KNOWN
from gatekeeper.notify.messages import Kind, Message, SendingFailed

FACTS = {
    "code": "123456",
    "purpose": "login",
    "minutes": "5",
    "days": "7",
    "link": "https://app.example.org/_gate/reset?token=abc",
    "forgot": "https://app.example.org/_gate/forgot",
    "address": "new@example.com",
    "what": "a passkey",
    "when": "2026-01-01 12:00 UTC",
    "device": "Firefox 140 on Linux",
    "from_address": "192.0.2.7",
    "place": "DE",
    "since": "2026-01-01",
    "until": "2026-01-02",
    "report": "Sign-ins: 1",
    "panel": "https://app.example.org/_gate/admin",
    "not_me": "https://app.example.org/_gate/not-me?token=abc",
    "account": "https://app.example.org/_gate/account",
}


def _letters(folder=None):
    return Letters(sender="gate@example.org", public_url="https://app.example.org", folder=folder)


def _body(mail, kind):
    return mail.get_body((kind,)).get_content()


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_written_in_both_forms(kind):
    mail = _letters().write(Message(kind, "ada@example.com", NOW + 60, FACTS), key="k", now=NOW)
    assert mail["Subject"]
    for form in ("plain", "html"):
        body = _body(mail, form)
        assert "app.example.org" in body
        assert "{{" not in body
        assert "{%" not in body


def test_every_kind_and_what_it_knows_is_documented():
    text = (Path(__file__).resolve().parents[3] / "docs" / "mail.md").read_text()
    assert [kind for kind in Kind if f"`{kind}`" not in text] == []
    assert {fact for facts in KNOWN.values() for fact in facts if f"`{fact}`" not in text} == set()


@pytest.mark.parametrize("kind", [Kind.VERIFY_EMAIL, Kind.CHANGE_EMAIL])
def test_a_code_that_is_sent_again_needs_no_link(kind):
    facts = {name: FACTS[name] for name in ("code", "purpose", "minutes")}
    mail = _letters().write(Message(kind, "ada@example.com", NOW + 60, facts), key="k", now=NOW)
    assert "123456" in _body(mail, "plain")
    assert "link" not in _body(mail, "plain")


def test_what_people_typed_is_escaped_in_html_and_plain_in_text():
    address = "<b>x</b>&@example.com"
    facts = {**FACTS, "address": address}
    mail = _letters().write(Message(Kind.EMAIL_CHANGING, "ada@example.com", NOW + 60, facts), key="k", now=NOW)
    assert address in _body(mail, "plain")
    assert "&lt;b&gt;x&lt;/b&gt;&amp;@example.com" in _body(mail, "html")


def test_an_operators_template_precedes_and_the_rest_stay(tmp_path):
    (tmp_path / "otp.txt").write_text("Subject: Dein Code\n\nHallo {{ to }}: {{ code }}\n")
    letters = _letters(tmp_path)
    mail = letters.write(Message(Kind.OTP, "ada@example.com", NOW + 60, FACTS), key="k", now=NOW)
    assert mail["Subject"] == "Dein Code"
    assert _body(mail, "plain") == "Hallo ada@example.com: 123456\n"
    assert "Your code" in _body(mail, "html")


def test_a_broken_template_keeps_the_gate_from_starting(tmp_path):
    (tmp_path / "otp.txt").write_text("Subject: x\n\n{% if %}\n")
    with pytest.raises(StartupError, match=r"mail.templates: otp.txt, line 3"):
        _letters(tmp_path)
    with pytest.raises(StartupError, match="is not a folder"):
        _letters(tmp_path / "none")


def test_a_template_that_speaks_of_what_its_kind_has_not_is_named_before_it_is_needed(tmp_path):
    assert _letters().faults() == []
    (tmp_path / "otp.html").write_text("{{ link }}")
    (tmp_path / "test.txt").write_text("no subject here")
    first, second = _letters(tmp_path).faults()
    assert first.startswith("template otp: 'link' is undefined")
    assert second.startswith("template test.txt does not begin")


@pytest.mark.parametrize("text", ["{{ nothing_like_it }}", "no subject here"])
def test_a_template_that_does_not_go_with_its_message_is_final(tmp_path, text):
    (tmp_path / "test.txt").write_text(text)
    letters = _letters(tmp_path)
    with pytest.raises(SendingFailed, match=r"template test") as caught:
        letters.write(Message(Kind.TEST, "ada@example.com", NOW + 60), key="k", now=NOW)
    assert caught.value.final


def test_no_message_shows_its_secrets():
    assert "123456" not in repr(Message(Kind.OTP, "ada@example.com", NOW, FACTS))
