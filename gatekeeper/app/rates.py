"""The limits on attempts, as configured and as a reload changes them. One for a worker's parts; see ``app.reload``."""

from __future__ import annotations

from gatekeeper.config.model import Config
from gatekeeper.identity.limits import Rate


class AttemptRates:
    """``limits`` but for ``limits.default``, which is the gate's, and ``otp.limit`` as ``otp_per_email``."""

    def __init__(self, config: Config) -> None:
        limits = config.limits
        self.login_per_ip = Rate(limits.login_per_ip)
        self.login_per_account = Rate(limits.login_per_account)
        self.register_per_ip = Rate(limits.register_per_ip)
        self.forgot_per_ip = Rate(limits.forgot_per_ip)
        self.otp_per_ip = Rate(limits.otp_per_ip)
        self.otp_per_account = Rate(limits.otp_per_account)
        self.otp_per_email = Rate(config.otp.limit)
        self.refresh_per_session = Rate(limits.refresh_per_session)

    def of(self, setting: str) -> Rate:
        """The rate that stands in the configuration under this key."""
        rate = self.otp_per_email if setting == "otp.limit" else getattr(self, setting.removeprefix("limits."))
        assert isinstance(rate, Rate), setting  # noqa: S101
        return rate

    def reload(self, config: Config) -> None:
        """In force from the next attempt on."""
        for name, rate in vars(AttemptRates(config)).items():
            getattr(self, name).item = rate.item
