"""Messages to one person: what is said, to whom, until when it is worth saying. Made by identity, sent by notify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson


class Kind(StrEnum):
    """What a message says; each has its templates and is an event of the same name for webhooks."""

    OTP = "otp"  # facts: code, purpose, minutes
    VERIFY_EMAIL = "verify-email"  # code, link, minutes
    EMAIL_TAKEN = "email-taken"  # link (to the login), forgot
    PASSWORD_RESET = "password-reset"  # link, minutes
    PASSWORD_CHANGED = "password-changed"  # forgot
    CHANGE_EMAIL = "change-email"  # to the new address: code, link, minutes
    EMAIL_CHANGING = "email-changing"  # to the old one: address
    EMAIL_CHANGED = "email-changed"  # to both: address
    FACTOR_ADDED = "factor-added"  # what, when, device, from_address, place, account, forgot
    FACTOR_REMOVED = "factor-removed"  # the same
    RECOVERY_CODES = "recovery-codes-renewed"  # the same without what
    INVITATION = "invitation"  # link, days
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``facts`` are what its templates speak of; codes and links are among them, so it is a secret.

    ``until`` (Unix seconds): later it is not sent any more.
    """

    kind: Kind
    to: str
    until: float
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)

    def dump(self) -> bytes:
        """As JSON, secrets in clear: to be sealed."""
        return orjson.dumps({"kind": self.kind, "to": self.to, "until": self.until, "facts": dict(self.facts)})

    @classmethod
    def load(cls, data: bytes) -> Self:
        """The inverse of ``dump``."""
        fields: dict[str, Any] = orjson.loads(data)
        return cls(Kind(fields["kind"]), fields["to"], fields["until"], fields["facts"])


class SendingFailed(Exception):  # it is one outcome of many
    """A message could not be handed over; ``str()`` says what failed in one line, without its content.

    ``final``: trying again would not help.
    """

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final
