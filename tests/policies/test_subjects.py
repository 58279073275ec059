"""Whom subjects admit: all lists of one, any one of several; e-mails only where they are verified."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.globs import parse_glob
from policies.hosts import parse_host
from policies.model import Principal, Reason
from policies.rules import Access, Rule, admits
from policies.subjects import Subject

ADA = Principal("u1", "ada@eu.example.org", frozenset({"staff"}), "s1", "j1", email_verified=True, amr=("pwd", "otp"))


def rule(*subjects: Subject) -> Rule:
    return Rule("r", 0, (parse_glob("/**"),), Access.SUBJECTS, "api", subjects=subjects)


@pytest.mark.parametrize(
    ("subject", "fits"),
    [
        (Subject(roles=frozenset({"staff", "admin"})), True),
        (Subject(roles=frozenset({"admin"})), False),
        (Subject(users=frozenset({"ada@eu.example.org"})), True),
        (Subject(users=frozenset({"u1"})), True),
        (Subject(users=frozenset({"eve@eu.example.org"})), False),
        (Subject(domains=(parse_host("eu.example.org"),)), True),
        (Subject(domains=(parse_host("*.example.org"),)), True),
        (Subject(domains=(parse_host("example.org"),)), False),
        (Subject(claims=(("amr", frozenset({"otp", "hwk"})),)), True),
        (Subject(claims=(("acr", frozenset({"2fa"})),)), False),
        (Subject(claims=(("sub", frozenset({"u1"})),)), True),
        (Subject(claims=(("email_verified", frozenset({"true"})),)), True),
        (Subject(roles=frozenset({"staff"}), claims=(("acr", frozenset({"2fa"})),)), False),
    ],
)
def test_a_subject_fits_who_is_in_every_list_that_is_given(subject: Subject, fits: bool) -> None:
    assert subject.fits(ADA) is fits
    assert admits(rule(subject), ADA) is (None if fits else Reason.RULE_DENIED)


@pytest.mark.parametrize(
    "subject", [Subject(users=frozenset({"ada@eu.example.org"})), Subject(domains=(parse_host("*.example.org"),))]
)
def test_an_email_that_nobody_verified_admits_nobody_and_the_reason_says_so(subject: Subject) -> None:
    """Whoever registers first under a name is not its owner."""
    squatter = replace(ADA, email_verified=False)
    assert admits(rule(subject), squatter) is Reason.EMAIL_UNVERIFIED
    assert admits(rule(subject, Subject(users=frozenset({"u1"}))), squatter) is None
    assert admits(rule(replace(subject, roles=frozenset({"admin"}))), squatter) is Reason.RULE_DENIED


def test_one_of_several_subjects_is_enough_and_nobody_is_asked_to_sign_in() -> None:
    either = rule(Subject(roles=frozenset({"admin"})), Subject(users=frozenset({"u1"})))
    assert admits(either, ADA) is None
    assert admits(either, replace(ADA, subject="u2")) is Reason.RULE_DENIED
    assert admits(either, None) is Reason.CREDENTIALS_MISSING


def test_no_subjects_and_nobody_admit_nobody() -> None:
    assert admits(rule(), ADA) is Reason.RULE_DENIED
    assert admits(replace(rule(), access=Access.NOBODY), ADA) is Reason.RULE_DENIED
    assert admits(replace(rule(), access=Access.NOBODY), None) is Reason.RULE_DENIED


def test_another_issuer_s_subject_is_no_account_of_the_gate() -> None:
    """It names its subjects as it likes: one that is a user's id here must not be taken for that user."""
    other = replace(ADA, issuer="https://a.example")
    for by_id in (Subject(users=frozenset({"u1"})), Subject(claims=(("sub", frozenset({"u1"})),))):
        assert (by_id.fits(ADA), by_id.fits(other)) == (True, False)
    for by_issuer in (
        Subject(claims=(("iss", frozenset({"https://a.example"})),)),
        Subject(claims=(("sub", frozenset({"https://a.example u1"})),)),
    ):
        assert (by_issuer.fits(ADA), by_issuer.fits(other)) == (False, True)
        assert not by_issuer.fits(replace(other, issuer="https://b.example"))
