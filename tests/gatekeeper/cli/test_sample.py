"""What ``gatekeeper check`` says a request is taken for."""

import argparse

import pytest

from gatekeeper.cli import sample
from gatekeeper.config.model import Config


def said(*words, **settings):
    """Level and text of each finding, for these words on the command line."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    sample.add_arguments(parser)
    config = Config.model_validate({"public_url": "https://app.example", **settings})
    found = sample.samples(config, sample.of(parser.parse_args(words)))
    return [(finding.level.name, finding.text) for finding in found]


def test_without_a_proxy_clients_speak_for_themselves():
    straight, alone = said()
    whole = "straight from 203.0.113.7: GET https://app.example/ of client 203.0.113.7"
    assert straight == ("OK", f"{whole}; cookie __Host-gate for app.example alone")
    assert alone[1].startswith("trusted_proxies is empty")


def test_a_trusted_proxy_s_word_is_shown_as_it_is_understood():
    _, through = said(trusted_proxies=["10.0.0.0/24"])
    assert through[0] == "OK"
    assert through[1].startswith("from 203.0.113.7 through 10.0.0.0: GET https://app.example/ of client 203.0.113.7;")


@pytest.mark.parametrize(
    ("words", "level", "text"),
    [
        (["--header", "Host: other.example"], "WARN", "421, as neither public_url nor hosts has other.example"),
        (["--request", "GET /x/../y"], "WARN", "refused, 400 bad-target"),
        (["--header", "X-Forwarded-For: 192.0.2.9"], "WARN", "203.0.113.7 is not in trusted_proxies"),
        (["--peer", "10.0.0.5", "--header", "X-Forwarded-For: 192.0.2.9"], "OK", "of client 192.0.2.9; cookie"),
        (["--peer", "10.0.0.5", "--header", "X-Forwarded-Proto: http"], "WARN", "not that of public_url"),
        (["--request", "GET /_gate/verify", "--header", "X-Original-URI: /x"], "WARN", "403 untrusted-proxy"),
        (
            ["--peer", "10.0.0.5", "--request", "GET /_gate/verify/forward"],
            "WARN",
            "a field is missing, doubled or malformed",
        ),
        (
            [
                *("--peer", "10.0.0.5", "--request", "GET /_gate/verify"),
                *("--header", "X-Original-URI: /x?y", "--header", "X-Original-Method: POST"),
                *("--header", "X-Forwarded-For: 192.0.2.9"),
            ],
            "OK",
            "asks: POST https://app.example/x?y of client 192.0.2.9",
        ),
        (
            [
                *("--peer", "10.0.0.5", "--request", "PUT /_gate/verify/envoy/x"),
                *("--header", "X-Forwarded-Proto: https", "--header", "X-Forwarded-For: 192.0.2.9"),
            ],
            "OK",
            "asks: PUT https://app.example/x of client 192.0.2.9",
        ),
    ],
)
def test_a_request_of_one_s_own_is_read_as_the_gate_would(words, level, text):
    found = said(*words, trusted_proxies=["10.0.0.0/24"])
    assert [one for one in found if one[0] == level and text in one[1]], found


def test_what_is_no_request_is_wrong_use():
    for words in (["--request", "/x"], ["--request", "get /x"], ["--peer", "x"], ["--header", "x"]):
        with pytest.raises(argparse.ArgumentError):
            said(*words)
