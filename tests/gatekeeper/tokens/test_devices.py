"""Known devices: what a browser keeps of having signed in (security 20)."""

import pytest

from gatekeeper.tokens.devices import DeviceTokens

DEVICES = DeviceTokens(b"k" * 32)


def test_a_browser_is_recognised_for_the_account_it_signed_in_to_and_no_other():
    token = DEVICES.remember(None, "ada")
    assert DEVICES.recognise(token, "ada")
    assert DEVICES.recognise(token, "eve") is None


def test_a_browser_of_several_accounts_is_recognised_for_the_latest_five_under_one_id():
    token = None
    for account in ("one", "two", "three", "four", "five", "six"):
        token = DEVICES.remember(token, account)
    known = [DEVICES.recognise(token, account) for account in ("two", "three", "four", "five", "six")]
    assert len(set(known)) == 1
    assert known[0] is not None
    assert DEVICES.recognise(token, "one") is None


def test_signing_in_again_changes_nothing_but_the_order():
    token = DEVICES.remember(DEVICES.remember(None, "ada"), "eve")
    again = DEVICES.remember(token, "ada")
    assert sorted(again.split(".")) == sorted(token.split("."))


def test_two_browsers_of_one_account_are_told_apart():
    one, two = DEVICES.remember(None, "ada"), DEVICES.remember(None, "ada")
    assert DEVICES.recognise(one, "ada") != DEVICES.recognise(two, "ada")


def test_another_gate_s_key_recognises_nobody():
    assert DeviceTokens(b"x" * 32).recognise(DEVICES.remember(None, "ada"), "ada") is None


def test_a_mac_under_another_browser_s_id_is_no_token():
    one, two = DEVICES.remember(None, "ada"), DEVICES.remember(None, "ada")
    mixed = f"{one.split('.')[0]}.{two.split('.')[1]}"
    assert DEVICES.recognise(mixed, "ada") is None


@pytest.mark.parametrize("text", ["", ".", "x", "x" * 5000, "é.é", "a" * 22, "a" * 22 + "." + "b" * 31, None])
def test_what_is_no_token_is_of_no_known_browser_and_is_replaced(text):
    assert DEVICES.recognise(text, "ada") is None
    assert DEVICES.recognise(DEVICES.remember(text, "ada"), "ada")


def test_a_token_names_neither_the_account_nor_the_key():
    token = DEVICES.remember(None, "0f0e0d0c-0000-4000-8000-000000000001")
    assert "0f0e0d0c" not in token
