"""What was asked, by whom: one canonical reading of a request. Used by the gate and every surface.

Knows no web framework, so the forwarded path can be served by another server without judging anything anew.
"""

from gatekeeper.inbound.arrival import NOWHERE, Arrival
from gatekeeper.inbound.client import TrustedProxies, derive_client, parse_address, rate_key
from gatekeeper.inbound.head import Head, Heads
from gatekeeper.inbound.hosts import HostList, parse_host
from gatekeeper.inbound.request import METHODS, InboundRequest, Refused, RequestReader, is_method
from gatekeeper.inbound.target import WELL_KNOWN, canonical_path, canonical_target, split_target

__all__ = [
    "METHODS",
    "NOWHERE",
    "WELL_KNOWN",
    "Arrival",
    "Head",
    "Heads",
    "HostList",
    "InboundRequest",
    "Refused",
    "RequestReader",
    "TrustedProxies",
    "canonical_path",
    "canonical_target",
    "derive_client",
    "is_method",
    "parse_address",
    "parse_host",
    "rate_key",
    "split_target",
]
