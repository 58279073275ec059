"""What ``gatekeeper check`` says of other issuers whose tokens are taken: their keys can be had, and used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gatekeeper.cli.findings import Finding, fault, ok, warn
from gatekeeper.config.issuers import AcceptedIssuer
from gatekeeper.config.model import Config
from gatekeeper.issuers import key_source
from gatekeeper.notify.outbound import Outbound
from gatekeeper.tokens.issuer_keys import IssuerKeys, KeysUnavailable


def issuers(config: Config) -> Iterator[Finding]:
    """One line each; all are asked at once."""
    if config.tokens.accept:
        yield from asyncio.run(_all(config))


async def _all(config: Config) -> list[Finding]:
    outbound = Outbound(config.notify.allow_private)
    entries = enumerate(config.tokens.accept)
    return await asyncio.gather(*(_one(f"tokens.accept[{place}]", entry, outbound) for place, entry in entries))


async def _one(item: str, accepted: AcceptedIssuer, outbound: Outbound) -> Finding:
    keys = IssuerKeys(accepted.issuer, key_source(accepted, outbound), accepted.algorithms)
    try:
        found = await keys.load()
    except KeysUnavailable as why:
        return fault(item, f"the keys of {accepted.issuer}: {why}")
    said = f"{accepted.issuer}: {found} key{'' if found == 1 else 's'} for {', '.join(accepted.algorithms)}"
    return ok(item, said) if found else warn(item, f"{said}, so none of its tokens is taken")
