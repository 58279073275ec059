"""Typed keys of the aiohttp application and request. Used by the web edge: surfaces, identity, pages, admin."""

from __future__ import annotations

from aiohttp import web

from gatekeeper.inbound import InboundRequest
from policies.model import Decision

INBOUND = web.RequestKey("inbound", InboundRequest)
DECISION = web.RequestKey("decision", Decision)
