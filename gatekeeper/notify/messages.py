"""Messages to one person: what is said, to whom, until when it is worth saying. Made by identity, sent by notify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

import orjson


class Kind(StrEnum):
    """What a message says; each has its templates and is an event of the same name for webhooks."""

    OTP = "otp"
    VERIFY_EMAIL = "verify-email"
    EMAIL_TAKEN = "email-taken"  # the link leads to the login
    PASSWORD_RESET = "password-reset"
    PASSWORD_CHANGED = "password-changed"
    CHANGE_EMAIL = "change-email"  # to the new address
    EMAIL_CHANGING = "email-changing"  # to the old one
    EMAIL_CHANGED = "email-changed"  # to both
    FACTOR_ADDED = "factor-added"
    FACTOR_REMOVED = "factor-removed"
    RECOVERY_CODES = "recovery-codes-renewed"
    API_KEY_ADDED = "api-key-added"
    NEW_SIGN_IN = "new-sign-in"
    SESSION_MOVED = "session-moved"
    TOKEN_STOLEN = "token-stolen"
    DIGEST = "digest"  # to whoever runs the gate
    INVITATION = "invitation"
    TEST = "test"


#: Where and when something was done to an account, on what, and where its owner goes on from there; ``not_me`` is empty
#: in what goes to an address that the account has only now.
_SEEN: Final = ("when", "device", "from_address", "place", "account", "not_me")
#: What the templates of a kind may speak of, each a short text.
FACTS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.OTP: ("code", "purpose", "minutes"),
    Kind.VERIFY_EMAIL: ("code", "purpose", "minutes", "link"),
    Kind.EMAIL_TAKEN: ("link", "forgot"),
    Kind.PASSWORD_RESET: ("link", "minutes"),
    Kind.PASSWORD_CHANGED: _SEEN,
    Kind.CHANGE_EMAIL: ("code", "purpose", "minutes", "link"),
    Kind.EMAIL_CHANGING: ("address", *_SEEN),
    Kind.EMAIL_CHANGED: ("address", *_SEEN),
    Kind.FACTOR_ADDED: ("what", *_SEEN),
    Kind.FACTOR_REMOVED: ("what", *_SEEN),
    Kind.RECOVERY_CODES: _SEEN,
    Kind.API_KEY_ADDED: ("what", *_SEEN),
    Kind.NEW_SIGN_IN: ("what", *_SEEN),
    Kind.SESSION_MOVED: ("what", *_SEEN),
    Kind.TOKEN_STOLEN: _SEEN,
    Kind.DIGEST: ("since", "until", "report", "panel"),
    Kind.INVITATION: ("link", "days"),
    Kind.TEST: (),
}


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
        """The inverse of ``dump``. Raises SendingFailed for what another version has written."""
        try:
            fields: dict[str, Any] = orjson.loads(data)
            return cls(Kind(fields["kind"]), fields["to"], fields["until"], fields["facts"])
        except (ValueError, KeyError, TypeError):
            raise SendingFailed("was written by another version", final=True) from None


class SendingFailed(Exception):  # it is one outcome of many
    """A message could not be handed over; ``str()`` says what failed in one line, without its content.

    ``final``: trying again would not help.
    """

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final
