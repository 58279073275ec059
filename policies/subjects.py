"""Whom a rule admits, where neither ``anyone`` nor a list of roles says it. Judged by ``policies.rules.admits``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.hosts import HostPattern
from policies.model import Principal


def _subject(principal: Principal) -> str:
    """Another issuer names its subjects as it likes, so one of them alone is nobody that a rule knows."""
    return principal.subject if principal.issuer is None else f"{principal.issuer} {principal.subject}"


#: What a rule may ask of a token's claims, as the texts they compare as.
CLAIMS: Final[Mapping[str, Callable[[Principal], tuple[str, ...]]]] = MappingProxyType(
    {
        "acr": lambda principal: (principal.acr,),
        "amr": lambda principal: principal.amr,
        "email_verified": lambda principal: ("true" if principal.email_verified else "false",),
        "iss": lambda principal: () if principal.issuer is None else (principal.issuer,),
        "sub": lambda principal: (
            f"{principal.issuer} {principal.subject}" if principal.issuer else principal.subject,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One who fits every list that is given, by any of its members.

    ``users`` are e-mails or ids of accounts. E-mails and their ``domains`` count only where they are verified:
    else whoever registers first under a name would be taken for its owner. ``scopes`` are those of an API key, which
    without them fits only where it stands for its owner.
    """

    roles: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    domains: tuple[HostPattern, ...] = ()
    claims: tuple[tuple[str, frozenset[str]], ...] = ()
    scopes: frozenset[str] = frozenset()

    def fits(self, principal: Principal) -> bool:
        return next(self.lacks(principal), None) is None

    def lacks(self, principal: Principal) -> Iterator[str]:
        """What is missing, for an operator; nothing where the principal fits."""
        if self.scopes:
            if principal.key is None or self.scopes.isdisjoint(principal.key.scopes):
                yield f"an API key with the scope {_listed(self.scopes)}"
        elif not principal.as_owner:
            yield "a scope of the key for this path"
        if self.roles and self.roles.isdisjoint(principal.roles):
            yield f"one of the roles {_listed(self.roles)}"
        if self.users and not self._known_id(principal) and not self._known_email(principal):
            yield f"to be {_listed(self.users)} (with a verified e-mail)"
        if self.domains and not (principal.email_verified and self._in_domain(principal)):
            yield f"a verified e-mail at {_listed(domain.text for domain in self.domains)}"
        for name, wanted in self.claims:
            if wanted.isdisjoint(CLAIMS[name](principal)):
                yield f"claim {name} {_listed(wanted)}"

    def _known_id(self, principal: Principal) -> bool:
        return principal.issuer is None and principal.subject in self.users

    def _known_email(self, principal: Principal) -> bool:
        return principal.email_verified and principal.email in self.users

    def _in_domain(self, principal: Principal) -> bool:
        domain = principal.email.rpartition("@")[2]
        return any(pattern.matches(domain) for pattern in self.domains)

    def __str__(self) -> str:
        lists = [
            ("roles", self.roles),
            ("users", self.users),
            ("domains", [domain.text for domain in self.domains]),
            *self.claims,
            ("scopes", self.scopes),
        ]
        return " and ".join(f"{name} {_listed(members)}" for name, members in lists if members)


def _listed(members: Iterable[str]) -> str:
    return ", ".join(sorted(members))
