"""The calls of codes, verification and recovery, for ``openapi``."""

from __future__ import annotations

from typing import Final

from gatekeeper.identity.bodies import TokenAnswer, UserAnswer
from gatekeeper.identity.mail_bodies import (
    AskedAnswer,
    ChangeEmailBody,
    ForgotBody,
    OtpRequestBody,
    OtpVerifyBody,
    ResendBody,
    ResetBody,
    VerifyEmailBody,
)
from gatekeeper.identity.operation import Operation

MAIL_OPERATIONS: Final = (
    Operation(
        "post",
        "/auth/otp/request",
        "Have a one-time code sent; the same answer for an unknown e-mail",
        {202: AskedAnswer},
        OtpRequestBody,
        refusals=(401, 422, 429),
    ),
    Operation(
        "post",
        "/auth/otp/verify",
        "Log in, or finish a login, with a one-time code",
        {200: TokenAnswer},
        OtpVerifyBody,
        refusals=(401, 403, 422, 429),
    ),
    Operation(
        "post",
        "/auth/password/forgot",
        "Have a link to set a new password mailed; the same answer for an unknown e-mail",
        {202: None},
        ForgotBody,
        refusals=(422, 429),
    ),
    Operation(
        "post",
        "/auth/password/reset",
        "Set a new password by the link's token; every session ends",
        {200: UserAnswer},
        ResetBody,
        refusals=(400, 422, 503),
    ),
    Operation(
        "post",
        "/auth/email/verify",
        "Prove an e-mail by a code, or by the link's token and, for a new account, its password",
        {200: UserAnswer},
        VerifyEmailBody,
        refusals=(400, 401, 409, 422, 429),
    ),
    Operation(
        "post",
        "/auth/email/resend",
        "Have link and code mailed again; the same answer for an unknown e-mail",
        {202: AskedAnswer},
        ResendBody,
        refusals=(422, 429),
    ),
    Operation(
        "post",
        "/auth/email/change",
        "Begin to change my e-mail; both addresses are told",
        {202: AskedAnswer},
        ChangeEmailBody,
        secured=True,
        refusals=(401, 422, 429),
    ),
)
