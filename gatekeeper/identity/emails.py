"""One identity per e-mail address: the canonical form that accounts and counters are keyed on (security 18)."""

from __future__ import annotations

import re
import unicodedata

import idna

_LONGEST = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\\\]]{1,64}")
# Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties): invisible, so two addresses would look alike.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


class InvalidEmail(ValueError):
    """The text is not one usable address; ``str()`` says why in words fit for the person who typed it."""


def canonical_email(text: str) -> str:
    """NFKC, case folded, domain as IDNA A-labels (RFC 5891, UTS 46). Raises InvalidEmail."""
    if len(text) > _LONGEST:
        raise InvalidEmail(f"must be at most {_LONGEST} characters")
    if _IGNORABLE.search(text):
        raise InvalidEmail("must not contain invisible characters")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if folded.count("@") != 1:
        raise InvalidEmail("must contain exactly one @")
    local, domain = folded.split("@")
    if _LOCAL.fullmatch(local) is None or local.startswith(".") or local.endswith(".") or ".." in local:
        raise InvalidEmail("has an unusable part before the @")
    if _IGNORABLE.search(folded) or not folded.isprintable():
        raise InvalidEmail("must not contain invisible characters")
    canonical = f"{local}@{_domain(domain)}"
    if len(canonical) > _LONGEST:
        raise InvalidEmail(f"must be at most {_LONGEST} characters")
    return canonical


def _domain(domain: str) -> str:
    if domain.endswith("."):
        raise InvalidEmail("must not end with a dot")
    try:
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise InvalidEmail("has an unusable domain") from None
    labels = ascii_domain.split(".")
    if len(labels) < 2 and ascii_domain != "localhost":
        raise InvalidEmail("has an incomplete domain")
    if labels[-1].isdigit():
        raise InvalidEmail("has an unusable domain")
    return ascii_domain
