"""What attempts are counted by: the beginnings of the keys that ``limits.AttemptCounter`` is given, all in one place.

Used by whatever counts attempts in this package, and by the panel, which reads the counters by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """What a counter's key names, behind its beginning or behind a limit of requests."""

    ADDRESS = "address"  # IPv4, or the /64 of an IPv6 one
    ACCOUNT = "account"  # an id, or ``limits.account_key`` of an e-mail that no account has
    MAILBOX = "e-mail"  # ``limits.account_key`` of an e-mail
    DEVICE = "browser"
    PURPOSE = "purpose"
    SESSION = "session"
    KEY = "key"  # of the API, or else a user, or an address
    EVERYBODY = "rule"
    HEADER = "header"  # a hash of its value, or an address


@dataclass(frozen=True, slots=True)
class Tally:
    """One kind of attempts: the first ``words`` of its counters' keys and what follows them (an address only as the
    last, as it may have a slash), the setting of its rate, and what it is in words.
    """

    words: tuple[str, ...]
    of: tuple[Part, ...]
    setting: str
    says: str

    def key(self, *who: str) -> tuple[str, ...]:
        """The counter's key for these."""
        assert len(who) == len(self.of), "one for each part"  # noqa: S101
        return (*self.words, *who)

    @property
    def name(self) -> str:
        """The words as one."""
        return "/".join(self.words)


_PER_IP, _PER_ACCOUNT = "limits.login_per_ip", "limits.login_per_account"

LOGIN_ADDRESS: Final = Tally(("login", "address"), (Part.ADDRESS,), _PER_IP, "Failed logins from one address")
LOGIN_ACCOUNT: Final = Tally(("login", "account"), (Part.ACCOUNT,), _PER_ACCOUNT, "Failed logins on one account")
LOGIN_PAIR: Final = Tally(
    ("login", "pair"), (Part.ACCOUNT, Part.ADDRESS), _PER_ACCOUNT, "Failed logins on one account from one address"
)
LOGIN_DEVICE: Final = Tally(
    ("login", "device"), (Part.ACCOUNT, Part.DEVICE), _PER_ACCOUNT, "Failed logins on one account from its own browser"
)
CONFIRM: Final = Tally(
    ("login", "confirm"), (Part.ACCOUNT,), _PER_ACCOUNT, "Wrong passwords of somebody who is signed in"
)
SECOND_FACTOR: Final = Tally(("mfa", "account"), (Part.ACCOUNT,), _PER_ACCOUNT, "Wrong second factors on one account")
PASSKEY: Final = Tally(("passkey", "address"), (Part.ADDRESS,), _PER_IP, "Logins by passkey begun from one address")
REGISTER: Final = Tally(("register",), (Part.ADDRESS,), "limits.register_per_ip", "Registrations from one address")
FORGOT_ADDRESS: Final = Tally(
    ("forgot", "address"), (Part.ADDRESS,), "limits.forgot_per_ip", "Resets of passwords asked for from one address"
)
FORGOT_MAILBOX: Final = Tally(("forgot", "email"), (Part.MAILBOX,), "otp.limit", "Mails for a reset to one e-mail")
OTP_ADDRESS: Final = Tally(
    ("otp", "address"), (Part.ADDRESS,), "limits.otp_per_ip", "Codes and confirmations asked for from one address"
)
OTP_MAILBOX: Final = Tally(
    ("otp", "email"), (Part.PURPOSE, Part.MAILBOX), "otp.limit", "Codes of one purpose to one e-mail"
)
OTP_ACCOUNT: Final = Tally(("otp", "account"), (Part.ACCOUNT,), "limits.otp_per_account", "Codes for one account")
REFRESH: Final = Tally(("refresh",), (Part.SESSION,), "limits.refresh_per_session", "Refreshes of one session")

#: In the order in which people are shown them.
TALLIES: Final = (
    *(LOGIN_ADDRESS, LOGIN_ACCOUNT, LOGIN_PAIR, LOGIN_DEVICE, PASSKEY, SECOND_FACTOR, CONFIRM),
    *(OTP_ADDRESS, OTP_ACCOUNT, OTP_MAILBOX, FORGOT_ADDRESS, FORGOT_MAILBOX, REGISTER, REFRESH),
)
