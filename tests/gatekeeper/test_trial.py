"""A pasted configuration is judged, and nothing else happens (issue 7.7)."""

import pytest

from gatekeeper.config.load import load_text
from gatekeeper.config.model import Config
from gatekeeper.trial import RuleChanges, Trials

RULES = """
rules:
  - {name: health, path: /health, allow: anyone}
  - {name: api, path: /**, allow: authenticated}
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def trials(folder):
    current = load_text(RULES, folder, {}).config
    return Trials(lambda: current, lambda: folder, {})


async def test_every_fault_has_its_key_and_line(trials):
    found = await trials.of_text(
        "tokens: {access_ttl: soon}\nrules:\n  - {name: a, path: x, allow: anyone}\nnonsense: 1"
    )
    assert not found.good
    assert [(one.key, one.line) for one in found.faults] == [
        ("tokens.access_ttl", 1),
        ("rules[0].path", 3),
        ("nonsense", 4),
    ]
    assert (found.changed, found.waiting, found.rules) == ((), (), RuleChanges())


async def test_what_is_no_yaml_is_a_fault_with_its_line(trials):
    (fault,) = (await trials.of_text("rules: [")).faults
    assert (fault.key, fault.line) == ("", 2)
    (fault,) = (await trials.of_text("just words")).faults
    assert fault.message == "must hold `key: value` lines"


async def test_a_good_one_says_what_would_change_at_once_and_what_after_a_restart(trials):
    found = await trials.of_text(
        "workers: 3\nlimits: {login_per_ip: 5/minute}\nrules:\n"
        "  - {name: new, path: /new, allow: nobody}\n"
        "  - {name: health, path: /health, allow: authenticated}\n"
    )
    assert found.good
    assert sorted(found.changed) == ["limits.login_per_ip", "rules"]
    assert found.waiting == ("workers",)
    assert found.rules == RuleChanges(("new",), ("api",), ("health",), False)


async def test_the_same_says_that_nothing_would_change_and_another_order_that_it_would(trials):
    assert await trials.of_text(RULES) == await trials.of_text(RULES + "\n")
    assert (await trials.of_text(RULES)).changed == ()
    found = await trials.of_text(
        "rules:\n  - {name: api, path: /a, allow: authenticated}\n  - {name: health, path: /health, allow: anyone}"
    )
    assert found.rules == RuleChanges((), (), ("api",), True)


async def test_files_that_a_text_names_are_neither_opened_nor_said_to_be_there(trials, folder):
    """Whoever may use the panel is not whoever may read the machine's files."""
    (folder / "there").write_text("x")
    texts = [
        f"{RULES}storage: {{secret_file: {name}, postgres_file: {name}, redis_file: {name}}}\n"
        f"mail: {{from: a@example.org, smtp: {{host: mail.example.org, user: u, password_file: {name}}}}}\n"
        f"trusted_proxies: [file:{name}]\ngeo: {{database: {name}}}\npages: {{css: {name}}}\n"
        for name in ("there", "not-there")
    ]
    there, missing = [await trials.of_text(text) for text in texts]
    assert there.good
    assert missing == there


async def test_the_environment_counts_and_is_not_shown(folder):
    environ = {"GATEKEEPER__STORAGE__SECRET": "short"}
    current = Config()
    found = await Trials(lambda: current, lambda: folder, environ).of_text(RULES)
    (fault,) = found.faults
    assert (fault.key, fault.file) == ("storage.secret", "environment GATEKEEPER__STORAGE__SECRET")
    assert "short" not in fault.message.replace("shorter", "")


async def test_secrets_of_the_text_are_not_said_again(trials):
    found = await trials.of_text("storage: {secret: hunter2}\nmail: {smtp: {password: hunter2, port: hunter2x}}")
    assert not found.good
    said = " ".join(str(one) for one in found.faults if one.key != "mail.smtp.port")
    assert "hunter2" not in said
