"""Refresh tokens: only this server's, and only in their one spelling (security 10, 11)."""

import pytest
from factories import refresh_tokens, session, user

from gatekeeper.tokens.refresh import RefreshClaim, RefreshTokens

SID = session(user()).id


def test_a_made_token_reads_back():
    tokens = refresh_tokens()
    assert tokens.read(tokens.make(SID, 7)) == RefreshClaim(SID, 7)


def test_another_key_s_token_is_refused():
    assert RefreshTokens(b"x" * 32).read(refresh_tokens().make(SID, 1)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.replace(".1.", ".2."),
        lambda token: token.replace(".1.", ".01."),
        lambda token: token.replace(".1.", ".+1."),
        lambda token: token.replace(".1.", ".１."),
        lambda token: token + "=",
        lambda token: token + "\n",
        lambda token: "A" + token[1:] if token[0] != "A" else "B" + token[1:],
        lambda token: token[:-1],
        lambda token: "",
        lambda token: "eyJhbGciOiJub25lIn0.e30.AA",
    ],
)
def test_a_changed_token_is_refused(change):
    """security 10"""
    assert refresh_tokens().read(change(refresh_tokens().make(SID, 1))) is None
