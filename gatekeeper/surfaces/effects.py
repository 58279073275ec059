"""What a rule does to a request and its answer (``policies.effects``), carried out. Called by ``surfaces.proxy`` for
rules that have effects, and only then.
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from gatekeeper.errors import Problem
from gatekeeper.inbound import InboundRequest
from gatekeeper.inbound.target import canonical_path
from gatekeeper.upstream.headers import RawHeaders, canonical_name
from gatekeeper.upstream.messages import FieldBlock, OutboundRequest
from policies.effects import Effects, FieldChanges, Rewrite
from policies.model import Reason

_CORS = b"access-control-"


def changed_request(outbound: OutboundRequest, effects: Effects, inbound: InboundRequest) -> OutboundRequest:
    """The request with another path and time-out. Raises Problem for a body that the rule does not take."""
    if outbound.content_length is not None:
        check_length(outbound.content_length, effects.body)
    changed = outbound if effects.timeout is None else replace(outbound, patience=effects.timeout)
    return changed if effects.rewrite is None else _rewritten(changed, effects.rewrite, inbound)


def check_length(length: int, limit: int | None) -> None:
    """Raises Problem (413) above ``limit`` bytes."""
    if limit is not None and length > limit:
        raise Problem(413, Reason.TOO_LARGE, f"The body may have at most {limit} bytes.")


def _rewritten(outbound: OutboundRequest, rewrite: Rewrite, inbound: InboundRequest) -> OutboundRequest:
    path, query = rewrite.path(inbound.target.path), inbound.target.query
    if canonical_path(path) != path:  # security 1: what goes out is as canonical as what was decided on
        raise Problem(400, Reason.BAD_TARGET, "The request target is malformed or ambiguous.")
    block = outbound.block
    if rewrite.strip and block is not None:
        block = FieldBlock(block.lines + b"X-Forwarded-Prefix: %b\r\n" % rewrite.strip.encode("ascii"), block.hosts)
    return replace(outbound, target=path if query is None else f"{path}?{query}", block=block)


def removed_names(changes: FieldChanges | None) -> frozenset[bytes]:
    """What goes of the client's fields."""
    return frozenset() if changes is None else changes.removed


def changed_answer(fields: RawHeaders, effects: Effects, inbound: InboundRequest) -> RawHeaders:
    """The upstream's fields as the rule wants them."""
    changes = effects.response
    if changes is not None:
        fields = [field for field in fields if canonical_name(field[0]) not in changes.removed]
        fields += changes.put
    if effects.lacking:
        there = {canonical_name(name) for name, _ in fields}
        fields = [*fields, *(field for field in effects.lacking if canonical_name(field[0]) not in there)]
    if effects.cors is not None:  # the rule has the word, not the upstream
        fields = [field for field in fields if not canonical_name(field[0]).startswith(_CORS)]
        own = effects.cors.answer_fields(origin_of(inbound))
        fields += [(name.encode("ascii"), value.encode("ascii")) for name, value in own]
    return fields


def allow_reading(answer: web.Response, effects: Effects | None, inbound: InboundRequest) -> web.Response:
    """An answer of the gate's own, which a page of another origin may read where the rule says so."""
    if effects is not None and effects.cors is not None:
        for name, value in effects.cors.answer_fields(origin_of(inbound)):
            answer.headers.add(name, value)
    return answer


def origin_of(inbound: InboundRequest) -> str | None:
    """The one origin that the request names, if it does so in ASCII."""
    lines = inbound.headers.getall("Origin", ())
    return lines[0] if len(lines) == 1 and lines[0].isascii() else None
