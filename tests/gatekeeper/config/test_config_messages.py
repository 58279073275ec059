"""The sections about mail, codes and webhooks: contradictions, paths, secrets in lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.config.layers import secret_paths
from gatekeeper.config.load import LoadedConfig, load
from gatekeeper.config.show import as_yaml
from gatekeeper.errors import ConfigError
from gatekeeper.handover import HandOver
from gatekeeper.store.addresses import StoreAddresses

SECRET = "correct-horse-battery-staple-correct-horse"
SMTP = "mail: {from: gate@example.org, smtp: {host: mail.example.org}}\n"


def loaded(tmp_path: Path, text: str) -> LoadedConfig:
    file = tmp_path / "gate.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return load(file, {})


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("otp: {deliver: [smtp]}", "otp.deliver", "mail.smtp.host"),
        ("mail: {smtp: {host: mail.example.org}}", "mail.from", "is needed"),
        ("mail: {from: x@y.example, smtp: {host: a.example, user: u}}", "mail.smtp.password", "beside the other"),
        ("mail: {from: x@y.example, smtp: {host: a.example, tls: none, ca: x.pem}}", "mail.smtp.ca", "contradicts"),
        ("otp: {deliver: [webhook]}", "otp.deliver", "notify.webhooks"),
        (
            f"notify: {{webhooks: [{{url: 'http://10.0.0.1/x', secret: {SECRET}, events: [otp]}}]}}",
            "notify.webhooks[0].url",
            "https",
        ),
        ("mail: {from: nobody}", "mail.from", "a sender such as"),
        ("mail: {from: 'a b@example.org'}", "mail.from", "a sender such as"),
        (f"notify: {{webhooks: [{{url: x, secret: {SECRET}, events: [otp]}}]}}", "notify.webhooks[0].url", "address"),
        (
            f"notify: {{webhooks: [{{url: 'https://u:p@x.example/', secret: {SECRET}, events: [otp]}}]}}",
            "notify.webhooks[0].url",
            "no user",
        ),
        ("notify: {webhooks: [{url: 'https://x.example/', secret: short, events: [otp]}]}", "webhooks[0].secret", "32"),
        (
            f"notify: {{webhooks: [{{url: 'https://x.example/', secret: {SECRET}, events: [Otp!]}}]}}",
            "notify.webhooks[0].events[0]",
            "an event is named",
        ),
        ("passwords: {leak_check: {url: 'https://x.example/range'}}", "passwords.leak_check.url", "ends in a slash"),
        ("otp: {digits: 4}", "otp.digits", "6"),
    ],
)
def test_what_cannot_work_is_a_fault(tmp_path: Path, text: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert any(fault.key.endswith(key) and words in fault.message for fault in caught.value.faults), caught.value


def test_mail_and_webhooks_are_read_with_their_paths_and_secrets(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(f"{SECRET}\n")
    (tmp_path / "hook").chmod(0o600)
    text = (
        "otp: {deliver: [smtp, webhook]}\n"
        "mail: {from: 'Gate <gate@example.org>', templates: letters, smtp: {host: mail.example.org, ca: ca.pem}}\n"
        "notify: {webhooks: [{url: 'https://sms.example/send', secret_file: hook, events: [otp]}]}\n"
    )
    config = loaded(tmp_path, text).config
    assert (config.mail.templates, config.mail.smtp.ca) == (tmp_path / "letters", tmp_path / "ca.pem")
    (hook,) = config.notify.webhooks
    assert hook.secret.get_secret_value() == SECRET
    assert SECRET not in repr(config)


def test_secrets_in_a_list_are_masked_and_reach_the_workers(tmp_path: Path) -> None:
    text = f"notify: {{webhooks: [{{url: 'https://sms.example/send', secret: {SECRET}, events: [otp]}}]}}\n{SMTP}"
    found = loaded(tmp_path, text)
    assert SECRET not in as_yaml(found)
    assert "https://sms.example/send" in as_yaml(found)
    handed = HandOver.load(HandOver(0, found.config, StoreAddresses("a", "b"), ()).dump())
    assert handed.config == found.config


def test_the_password_of_the_mail_server_is_a_secret() -> None:
    assert ("mail", "smtp", "password") in secret_paths()
    assert ("notify", "webhooks", "*", "secret") in secret_paths()
