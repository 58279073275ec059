"""Refusals in words for people, in the language of the page. Used by ``theme`` and by every form that can fail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gatekeeper.errors import Problem
from gatekeeper.pages.language import Language, later
from policies.model import Reason

_TITLES: Final[Mapping[int, str]] = {
    400: later("That request could not be read"),
    401: later("Sign in first"),
    403: later("Not allowed"),
    404: later("Nothing here"),
    405: later("Not possible here"),
    413: later("Too large"),
    415: later("That request could not be read"),
    421: later("Not served here"),
    429: later("Too many attempts"),
    502: later("The service is not answering"),
    503: later("Not available right now"),
    504: later("The service took too long"),
}
_NO_TITLE: Final = later("That did not work")
_REASONS: Final[Mapping[Reason, str]] = {
    Reason.CREDENTIALS_MISSING: later("This page needs you to be signed in."),
    Reason.SESSION_ENDED: later("Your session has ended. Sign in again."),
    Reason.INVALID_CREDENTIALS: later("The e-mail or the password is wrong."),
    Reason.OTP_INVALID: later("That code is wrong."),
    Reason.OTP_EXPIRED: later("That code is too old. Ask for a new one."),
    Reason.MFA_INVALID: later("That did not match."),
    Reason.MFA_REQUIRED: later("This needs a second factor."),
    Reason.PASSWORD_CHANGE_REQUIRED: later("Set a new password first."),
    Reason.STEP_UP_REQUIRED: later("Confirm first that it is you."),
    Reason.BINDING_MISMATCH: later("This session began on another device or in another place. Sign in again."),
    Reason.TOKEN_INVALID: later("It has been used, has expired, or never was."),
    Reason.EMAIL_TAKEN: later("There is an account with this e-mail already."),
    Reason.EMAIL_UNVERIFIED: later("Confirm your e-mail first."),
    Reason.REGISTRATION_CLOSED: later("Accounts are made by an administrator here."),
    Reason.NO_RULE: later("Nothing here admits this request."),
    Reason.RULE_DENIED: later("Your account may not open this. If it should, ask whoever runs this site."),
    Reason.BANNED: later("Access from here is blocked for now."),
    Reason.CSRF: later("This form was sent from somewhere else. Open the page here and try again."),
    Reason.UNKNOWN_HOST: later("This host is not served here."),
    Reason.BAD_TARGET: later("The address is malformed or ambiguous."),
    Reason.RATE_LIMITED: later("That was too often. Wait a little and try again."),
    Reason.BUSY: later("There is a lot going on right now. Try again in a moment."),
    Reason.STORE_UNAVAILABLE: later("The gate cannot reach its own records. Try again in a moment."),
    Reason.UPSTREAM_UNAVAILABLE: later("The service behind the gate cannot be reached. Try again in a moment."),
    Reason.UPSTREAM_TIMEOUT: later("The service behind the gate did not answer in time. Try again in a moment."),
    Reason.NOT_FOUND: later("There is nothing at this address."),
    Reason.METHOD_NOT_ALLOWED: later("This address does not take requests of that kind."),
    Reason.TOO_LARGE: later("What was sent is larger than the gate takes."),
}
_OTHERWISE: Final = later("That did not work. Try again.")
_KEPT: Final = frozenset({Reason.NO_RULE, Reason.RULE_DENIED, Reason.CREDENTIALS_MISSING})


def title(status: int, language: Language) -> str:
    """The heading of a refusal."""
    return language.say(_TITLES.get(status, _NO_TITLE))


def sentence(fault: Problem, language: Language) -> str:
    """What was wrong, and what to do about it.

    The service's own sentence where the catalogue has it, else that of the reason: one that nobody translated is not
    shown in a page of another language.
    """
    wait = fault.extra.get("retry_after")
    if fault.status == 429 and isinstance(wait, int | float):
        return language.say("Too many attempts. Try again in %(time)s.", time=language.span(wait))
    own = fault.reason not in _KEPT or fault.detail in _OF_SERVICES
    if fault.detail and own and language.knows(fault.detail):
        return language.say(fault.detail)
    return language.say(_REASONS.get(fault.reason, _OTHERWISE))


#: Sentences of services that say more than their reason's own; here so that the catalogue has them.
_OF_SERVICES: Final = (
    later("The current password is wrong."),
    later("That is not right, was used before, or took too long."),
    later("That is not a code of the new secret, or it came too late."),
    later("That passkey cannot be added, or is added already."),
    later("This took too long; begin again."),
    later("The form could not be read. Go back and send it again."),
    later("Accounts are made by invitation here."),
    later("This invitation has been used, has expired, or never was."),
    later("This sign-in is too unusual to be let in; the owner of the account has been told."),
)
#: What services say of single fields, as whole sentences; ``field_fault`` looks them up.
_OF_FIELDS: Final = (
    later("The password must have at least %(num)s characters."),
    later("The password must have at most %(num)s characters."),
    later("The password is one of the most common passwords."),
    later("The password is too easy to guess; take something longer or less usual."),
    later("The password is in a list of leaked passwords; take another."),
    later("The password cannot be checked against leaked passwords at the moment; try again shortly."),
    later("The e-mail is not the address that was invited."),
    later("The e-mail is your e-mail already."),
    later("The e-mail must be at most %(num)s characters."),
    later("The e-mail must contain exactly one @."),
    later("The e-mail must not contain invisible characters."),
    later("The e-mail has an unusable part before the @."),
    later("The e-mail has an unusable domain."),
    later("The e-mail has an incomplete domain."),
    later("The e-mail must not end with a dot."),
    later("The e-mail is too long."),
    later("The name must be visible text on one line."),
    later("The name is too long."),
)
_FIELDS: Final[Mapping[str, str]] = {"email": "The e-mail", "password": "The password", "name": "The name"}
_NUMBER = re.compile(r"\d+")


def field_fault(field: str, fault: str, language: Language) -> str:
    """What is wrong with ``field``; ``fault`` is a service's half sentence such as ``must contain exactly one @``."""
    whole = f"{_FIELDS[field]} {fault}."
    number = _NUMBER.search(whole)
    key = _NUMBER.sub("%(num)s", whole, count=1)
    if not language.knows(key):
        return language.say("This cannot be used.")
    return language.say(key, num=number[0]) if number else language.say(key)
