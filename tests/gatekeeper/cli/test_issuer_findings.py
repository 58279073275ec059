"""What ``gatekeeper check`` says of tokens.accept."""

import json

from issuers import OtherIssuer

from gatekeeper.cli.issuer_findings import issuers
from gatekeeper.config.model import Config


def said(*accepted):
    shown = [{"issuer": f"https://{place}.example", "audiences": ["x"], **one} for place, one in enumerate(accepted)]
    config = Config.model_validate({"tokens": {"accept": shown}})
    return [(found.level.name, found.item, found.text) for found in issuers(config)]


def test_keys_are_fetched_and_counted(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(OtherIssuer().jwks()))
    (good, useless) = said({"jwks": str(file)}, {"jwks": str(file), "algorithms": ["RS256"]})
    assert good == ("OK", "tokens.accept[0]", "https://0.example: 1 key for EdDSA, ES256, RS256")
    assert useless[:2] == ("WARN", "tokens.accept[1]")
    assert useless[2].endswith("0 keys for RS256, so none of its tokens is taken")


def test_keys_that_cannot_be_had_are_a_fault(tmp_path):
    (missing, private) = said({"jwks": str(tmp_path / "none")}, {"jwks": "https://127.0.0.1/keys"})
    assert missing == (
        "FAULT",
        "tokens.accept[0]",
        f"the keys of https://0.example: {tmp_path}/none: No such file or directory",
    )
    assert private[0] == "FAULT"
    assert "private address" in private[2]


def test_without_other_issuers_nothing_is_said():
    assert said() == []
