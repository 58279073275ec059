"""The calls of second factors and step-up, for ``openapi``."""

from __future__ import annotations

from typing import Final

from gatekeeper.identity.bodies import TokenAnswer
from gatekeeper.identity.factor_bodies import (
    CodeBody,
    ConfirmTotpBody,
    EnrolledAnswer,
    FactorsAnswer,
    NewPasskeyBody,
    NewTotpAnswer,
    OptionsAnswer,
    PasskeyBody,
    PasskeyOptionsBody,
    RecoveryCodesAnswer,
    StepUpBody,
)
from gatekeeper.identity.operation import Operation

_FACTORS: Final = "/auth/factors"

FACTOR_OPERATIONS: Final = (
    Operation(
        "post",
        "/auth/totp/verify",
        "Finish a login with an app's code",
        {200: TokenAnswer},
        CodeBody,
        refusals=(400, 401, 403, 422, 429),
    ),
    Operation(
        "post",
        "/auth/recovery-code/verify",
        "Finish a login with a recovery code",
        {200: TokenAnswer},
        CodeBody,
        refusals=(400, 401, 403, 422, 429),
    ),
    Operation(
        "post",
        "/auth/passkey/options",
        "Options to show a passkey",
        {200: OptionsAnswer},
        PasskeyOptionsBody,
        refusals=(401, 404, 422, 429),
    ),
    Operation(
        "post",
        "/auth/passkey/verify",
        "Log in with a passkey, or finish a login with it",
        {200: TokenAnswer},
        PasskeyBody,
        refusals=(401, 403, 404, 422, 429),
    ),
    Operation(
        "post",
        "/auth/step-up",
        "A fresh access token of this session (RFC 9470)",
        {200: TokenAnswer},
        StepUpBody,
        secured=True,
        refusals=(401, 403, 422, 429),
    ),
    Operation("get", _FACTORS, "My second factors", {200: FactorsAnswer}, secured=True, refusals=(401,)),
    Operation(
        "post",
        f"{_FACTORS}/totp",
        "A secret for an authenticator app",
        {200: NewTotpAnswer},
        secured=True,
        refusals=(401, 403, 404),
    ),
    Operation(
        "post",
        f"{_FACTORS}/totp/confirm",
        "Put the app into use by a code of it",
        {200: EnrolledAnswer},
        ConfirmTotpBody,
        secured=True,
        refusals=(401, 403, 422, 429),
    ),
    Operation("delete", f"{_FACTORS}/totp", "Remove the app", {204: None}, secured=True, refusals=(401, 403, 404)),
    Operation(
        "post",
        f"{_FACTORS}/passkeys/options",
        "Options to make a passkey",
        {200: OptionsAnswer},
        secured=True,
        refusals=(401, 403, 404, 409),
    ),
    Operation(
        "post",
        f"{_FACTORS}/passkeys",
        "Add the passkey that was made",
        {201: EnrolledAnswer},
        NewPasskeyBody,
        secured=True,
        refusals=(401, 403, 404, 422),
    ),
    Operation(
        "delete",
        f"{_FACTORS}/passkeys/{{id}}",
        "Remove a passkey",
        {204: None},
        secured=True,
        refusals=(401, 403, 404),
    ),
    Operation(
        "post",
        f"{_FACTORS}/recovery-codes",
        "Ten new recovery codes; the old ones are void",
        {200: RecoveryCodesAnswer},
        secured=True,
        refusals=(401, 403, 409),
    ),
    Operation(
        "delete",
        f"{_FACTORS}/devices",
        "Forget every remembered device",
        {204: None},
        secured=True,
        refusals=(401, 403, 409),
    ),
)
