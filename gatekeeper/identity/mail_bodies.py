"""The JSON bodies of codes, verification and recovery. Read by ``mail_endpoints``, described by ``mail_operations``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gatekeeper.identity.bodies import Body, Email, Password, TypedEmail

ChallengeId = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(min_length=1, max_length=64, examples=["123456"])]
Token = Annotated[str, Field(min_length=1, max_length=200)]


class OtpRequestBody(Body):
    """POST ``otp/request``: an e-mail and a purpose, or a challenge that lacks a code. ``step-up`` needs neither."""

    email: TypedEmail | None = None
    challenge: ChallengeId | None = None
    purpose: Literal["login", "mfa", "verify-email", "step-up"] = "login"


class OtpVerifyBody(Body):
    """POST ``otp/verify``."""

    challenge: ChallengeId
    code: Code = Field(repr=False)
    cookies: bool = False


class AskedAnswer(Body):
    """A code is on its way, if there is anybody to get it; all in seconds."""

    challenge: str
    expires_in: int
    resend_after: int


class ForgotBody(Body):
    """POST ``password/forgot``. The e-mail is taken as typed: a malformed one is simply unknown."""

    email: TypedEmail


class ResetBody(Body):
    """POST ``password/reset``: the token of the link."""

    token: Token = Field(repr=False)
    password: Password = Field(repr=False)


class VerifyEmailBody(Body):
    """POST ``email/verify``: the token of the link, or a challenge and its code.

    With the token of a new account comes its ``password``: without it the account has none afterwards, since whoever
    registered need not be who reads the mail.
    """

    token: Token | None = Field(None, repr=False)
    password: Password | None = Field(None, repr=False)
    challenge: ChallengeId | None = None
    code: Code | None = Field(None, repr=False)


class ResendBody(Body):
    """POST ``email/resend``."""

    email: TypedEmail


class ChangeEmailBody(Body):
    """POST ``email/change``: the new address."""

    email: Email
