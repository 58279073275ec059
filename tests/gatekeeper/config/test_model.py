"""What follows from a configuration: who may make an account."""

import pytest

from gatekeeper.config.model import Config


@pytest.mark.parametrize(
    ("public_url", "opened"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("https://app.example.com", False),
        ("https://127.example.com", False),
        ("https://localhost.example.com", False),
        ("https://192.0.2.1", False),
    ],
)
def test_registration_opens_by_itself_on_this_machine_only(public_url: str, opened: bool) -> None:
    assert Config(public_url=public_url).open_registration is opened


@pytest.mark.parametrize("mode", ["open", "closed"])
@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8080", "https://app.example.com"])
def test_a_stated_mode_holds_everywhere(public_url: str, mode: str) -> None:
    config = Config.model_validate({"public_url": public_url, "registration": {"mode": mode}})
    assert config.open_registration is (mode == "open")
