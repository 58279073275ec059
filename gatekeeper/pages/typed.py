"""What people type into the forms about accounts, judged field by field. Used by every page with such a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from gatekeeper.errors import Problem
from gatekeeper.identity.bodies import RegisterBody
from gatekeeper.pages.language import Language
from gatekeeper.pages.words import field_fault

LONGEST_EMAIL: Final = 320  # characters, as in the API
LONGEST_CODE: Final = 64


def email_of(fields: Mapping[str, str]) -> str:
    """The e-mail as it was meant: blanks around it are an accident."""
    return fields.get("email", "").strip()


def code_of(fields: Mapping[str, str]) -> str:
    """The code, with the blanks taken out that some people type in its middle."""
    return "".join(fields.get("code", "").split())[:LONGEST_CODE]


def email_faults(email: str, language: Language) -> dict[str, str]:
    """What is wrong with an e-mail that is only looked up; empty where nothing is."""
    if not email:
        return {"email": language.say("Enter your e-mail.")}
    if len(email) > LONGEST_EMAIL:
        return {"email": language.say("That is too long for an e-mail.")}
    return {}


def new_account(
    fields: Mapping[str, str], language: Language, password_fault: str | None
) -> RegisterBody | dict[str, str]:
    """Who wants an account; or what is wrong, by field. ``password_fault`` is what the rules say of the password."""
    typed = {
        "email": email_of(fields),
        "password": fields.get("password", ""),
        "name": fields.get("name", "").strip() or None,
    }
    faults = {}
    if password_fault is not None:
        faults["password"] = field_fault("password", password_fault, language)
    if not typed["email"]:
        faults["email"] = language.say("Enter your e-mail.")
    try:
        body = RegisterBody.model_validate(typed)
    except ValidationError as fault:
        for error in fault.errors(include_url=False, include_input=False):
            field = str(error["loc"][0])
            wrong = "is too long" if error["type"] == "string_too_long" else error["msg"]
            faults.setdefault(field, field_fault(field, wrong, language))
        return faults
    return faults or body


def service_faults(refusal: Problem, language: Language) -> dict[str, str]:
    """The same of what a service refused (422 with ``errors``)."""
    errors = refusal.extra.get("errors")
    found: dict[str, str] = {}
    for error in errors if isinstance(errors, list) else []:
        field = error["pointer"].removeprefix("/")
        found.setdefault(field, field_fault(field, error["detail"], language))
    return found
