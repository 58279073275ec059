"""What ``gatekeeper check`` says about second factors. Called by ``cli.check``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from gatekeeper.cli.findings import Finding, ok, warn
from gatekeeper.config.model import Config
from gatekeeper.inbound import parse_address


def factors(config: Config) -> Iterator[Finding]:
    """What counts as one here, and for whom one is needed; what keeps passkeys from working."""
    mfa = config.mfa
    needed = ", ".join(mfa.require_for_roles) or "no role"
    yield ok("mfa", f"{', '.join(mfa.methods) or 'nothing'}; needed for {needed}")
    if "passkey" not in mfa.methods:
        return
    host = urlsplit(config.public_url).hostname or ""
    if find_spec("fido2") is None:
        yield warn("mfa", "passkeys are left out: install gatekeeper[passkeys]")
    elif parse_address(host) is not None:
        yield warn("mfa", f"browsers make no passkeys for an address such as {host}: public_url needs a name")
    else:
        yield from _elsewhere(config, host)


def _elsewhere(config: Config, host: str) -> Iterator[Finding]:
    """Served hosts that are neither public_url's nor below it: a passkey of one site is none of another."""
    names = [entry.removeprefix("*.").partition(":")[0] for entry in config.hosts]
    names.append(urlsplit(config.panel_url).hostname or host)
    others = sorted({name for name in names if name != host and not name.endswith(f".{host}")})
    if others:
        yield warn("mfa", f"passkeys work at and below {host} only, not at {', '.join(others)}")
