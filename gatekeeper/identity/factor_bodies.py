"""The JSON bodies of second factors and step-up under ``P/auth``. Read strictly, as in ``bodies``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gatekeeper.identity.bodies import Body, Name, Password, TokenAnswer

Code = Annotated[str, Field(min_length=1, max_length=64, examples=["123456"])]
ChallengeId = Annotated[str, Field(min_length=1, max_length=128)]
PasskeyName = Annotated[Name, Field(max_length=60)]
#: AuthenticationResponseJSON or RegistrationResponseJSON (WebAuthn 3, 5.1), as PublicKeyCredential.toJSON() says it.
Credential = dict[str, Any]


class CodeBody(Body):
    """POST ``totp/verify`` and ``recovery-code/verify``; ``remember`` asks for a cookie that remembers the device."""

    challenge: ChallengeId
    code: Code = Field(repr=False)
    cookies: bool = False
    remember: bool = False


class PasskeyOptionsBody(Body):
    """POST ``passkey/options``: for a login's challenge, for a step-up, or to log in with a passkey alone."""

    challenge: ChallengeId | None = None
    purpose: Literal["login", "mfa", "step-up"] | None = None


class PasskeyBody(Body):
    """POST ``passkey/verify``."""

    challenge: ChallengeId
    response: Credential = Field(repr=False)
    cookies: bool = False
    remember: bool = False


class StepUpBody(Body):
    """POST ``step-up``; which fields go with which method: password; code; challenge and code; challenge, response."""

    method: Literal["password", "totp", "recovery-code", "otp", "passkey"]
    password: Password | None = Field(None, repr=False)
    code: Code | None = Field(None, repr=False)
    challenge: ChallengeId | None = None
    response: Credential | None = Field(None, repr=False)


class ConfirmTotpBody(Body):
    """POST ``factors/totp/confirm``."""

    code: Code = Field(repr=False)


class NewPasskeyBody(Body):
    """POST ``factors/passkeys``."""

    challenge: ChallengeId
    response: Credential = Field(repr=False)
    name: PasskeyName = "Passkey"


class OptionsAnswer(Body):
    """What ``navigator.credentials`` takes as ``publicKey``, and the challenge to send back with its answer."""

    challenge: str
    public_key: dict[str, Any]


class TotpAnswer(Body):
    """When an authenticator app was set up and last used; times are RFC 3339, UTC."""

    since: str
    last_used_at: str | None


class PasskeyAnswer(Body):
    """A passkey as its owner sees it; ``synced`` ones live on several devices. Times are RFC 3339, UTC."""

    id: str
    name: str
    synced: bool
    created_at: str
    last_used_at: str | None


class FactorsAnswer(Body):
    """GET ``factors``; ``required`` says whether the roles need one."""

    required: bool
    totp: TotpAnswer | None
    passkeys: list[PasskeyAnswer]
    recovery_codes_left: int
    remembered_devices: int


class NewTotpAnswer(Body):
    """POST ``factors/totp``: the secret in base32, as an ``otpauth:`` address, and that as an SVG element."""

    secret: str = Field(repr=False)
    uri: str = Field(repr=False)
    qr: str = Field(repr=False)


class EnrolledAnswer(Body):
    """A factor was added: fresh tokens of this session, and recovery codes where there were none."""

    tokens: TokenAnswer
    recovery_codes: list[str] | None = Field(None, repr=False)
    passkey: PasskeyAnswer | None = None


class RecoveryCodesAnswer(Body):
    """POST ``factors/recovery-codes``; they cannot be shown again."""

    codes: list[str] = Field(repr=False)
