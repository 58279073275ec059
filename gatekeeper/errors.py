"""Faults (not outcomes): what ``gatekeeper`` raises when something is broken rather than refused."""

from __future__ import annotations

from dataclasses import dataclass

from policies.model import Reason


class GatekeeperError(Exception):
    """Base of all faults; ``str()`` is one line fit for an operator."""


class StoreUnavailable(GatekeeperError):
    """A store did not answer, or not in time. ``store`` is ``redis``, ``postgres``, or ``issuer`` (of others' keys)."""

    def __init__(self, store: str, detail: str) -> None:
        super().__init__(f"{store}: {detail}")
        self.store = store
        self.detail = detail


class Conflict(GatekeeperError):
    """A unique constraint of the database refused a write; ``constraint`` names it."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"conflict with {constraint}")
        self.constraint = constraint


class UpstreamUnavailable(GatekeeperError):
    """The upstream could not be reached, or closed before an answer (502)."""


class UpstreamTimeout(GatekeeperError):
    """The upstream was too slow (504)."""


class StartupError(GatekeeperError):
    """Something that keeps the gate from starting, said in one line."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a configuration: where it is and what to do about it."""

    key: str
    message: str
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else (f"{self.file}: " if self.file else "")
        return f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"


class ConfigError(GatekeeperError):
    """Every fault of a configuration at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class Problem(GatekeeperError):
    """A refusal that ends an ``/_gate`` call, rendered as problem+json (RFC 9457) or as a page.

    ``extra`` holds members a client can act on (``retry_after``, ``errors``, ...).
    """

    def __init__(self, status: int, reason: Reason, detail: str = "", **extra: object) -> None:
        super().__init__(f"{status} {reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.extra = extra


class Refused(GatekeeperError):
    """A command cannot be done; ``str()`` says why in one line."""
