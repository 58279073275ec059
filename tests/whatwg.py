"""Where a browser goes: the parts of the WHATWG URL parser that decide on the origin. Used by the tests of ``next``."""

from __future__ import annotations

import re

_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}


def resolved_origin(text: str, base: str) -> str:
    """The origin of ``text``, found on a page of the origin ``base``; of a scheme without hosts ``scheme:``."""
    own = base.partition(":")[0]
    text = re.sub(r"[\t\n\r]", "", text.strip("".join(map(chr, range(0x21)))))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme is None or (scheme[1].lower() == own and not re.match(r"[/\\]{2}", text[scheme.end() :])):
        rest = text[scheme.end() :] if scheme else text
        if not re.match(r"[/\\]{2}", rest):
            return base
        protocol, rest = own, rest[2:]
    else:
        protocol, rest = scheme[1].lower(), text[scheme.end() :]
        if protocol not in _PORTS:
            return f"{protocol}:"
    rest = rest.lstrip("/\\")
    host = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2].lower()
    return f"{protocol}://{host.removesuffix(':' + _PORTS[protocol])}"
