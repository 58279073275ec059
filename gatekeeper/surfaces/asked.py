"""What another proxy asks about: one reader a dialect. Called by ``surfaces.verify``.

The description comes in header fields, and the entrance has let them count only where the peer is a trusted proxy. A
field that is missing, doubled or malformed describes nothing: then there is no request to decide about, and the
answer is a refusal (contract: verify endpoints).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from multidict import istr

from gatekeeper.inbound import (
    InboundRequest,
    TrustedProxies,
    canonical_target,
    derive_client,
    is_method,
    parse_host,
    split_target,
)
from policies.model import RequestTarget

#: Reads the request that is asked about, with the client's own fields; None where it is not described well.
Dialect = Callable[[InboundRequest, TrustedProxies], InboundRequest | None]

_FOR: Final = istr("X-Forwarded-For")
_PROTO: Final = istr("X-Forwarded-Proto")
_HOST: Final = istr("X-Forwarded-Host")
_METHOD: Final = istr("X-Forwarded-Method")
_URI: Final = istr("X-Forwarded-Uri")
_ORIGINAL_METHOD: Final = istr("X-Original-Method")
_ORIGINAL_URI: Final = istr("X-Original-URI")
_ORIGINAL_URL: Final = istr("X-Original-URL")
_WHOLE_URL: Final = re.compile(r"(https?)://([^/?#\s]+)(/[^\s]*)?")


def by_nginx(inbound: InboundRequest, trusted: TrustedProxies) -> InboundRequest | None:
    """nginx and ingress-nginx: X-Original-Method, X-Original-URL or X-Original-URI + Host, X-Forwarded-For."""
    method = _only(inbound, _ORIGINAL_METHOD)
    return None if method is None else _about(inbound, trusted, method, _nginx_target(inbound))


def by_forward(inbound: InboundRequest, trusted: TrustedProxies) -> InboundRequest | None:
    """Traefik, Caddy and HAProxy: X-Forwarded-Method, -Proto, -Host, -Uri and -For, each once.

    Scheme and host are those that the entrance has read from the very same fields.
    """
    method, uri = _only(inbound, _METHOD), _only(inbound, _URI)
    if method is None or uri is None or _only(inbound, _PROTO) is None or _only(inbound, _HOST) is None:
        return None
    return _about(inbound, trusted, method, _with_path(inbound, uri))


class ByEnvoy:
    """Envoy's ext_authz ``http_service``: the request itself, its path behind ``endpoint``; scheme and client as
    X-Forwarded-Proto and X-Forwarded-For say. Envoy hands on a client's X-Forwarded-Host, so another than Host's is
    refused.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def __call__(self, inbound: InboundRequest, trusted: TrustedProxies) -> InboundRequest | None:
        whole = inbound.target.origin_form
        if not whole.startswith(f"{self._endpoint}/") or _only(inbound, _PROTO) is None or _is_elsewhere(inbound):
            return None
        return _about(inbound, trusted, inbound.method, _with_path(inbound, whole.removeprefix(self._endpoint)))


def _only(inbound: InboundRequest, name: istr) -> str | None:
    lines = inbound.headers.getall(name, ())
    return lines[0] if len(lines) == 1 else None


def _about(
    inbound: InboundRequest, trusted: TrustedProxies, method: str, target: RequestTarget | None
) -> InboundRequest | None:
    chain = inbound.headers.getall(_FOR, ())
    if target is None or len(chain) != 1 or not is_method(method):
        return None
    client = derive_client(inbound.peer, chain, trusted)
    if client is None:
        return None
    return InboundRequest(
        method,
        target,
        client,
        inbound.peer,
        inbound.headers,
        inbound.raw_headers,
        inbound.request_id,
        inbound.received,
        inbound.head,
        inbound.trusted,
    )


def _with_path(inbound: InboundRequest, raw: str) -> RequestTarget | None:
    """``raw`` on the scheme and host of the question."""
    found, here = split_target(raw), inbound.target
    return None if found is None else RequestTarget(here.scheme, here.host, here.port, found[0], found[1])


def _is_elsewhere(inbound: InboundRequest) -> bool:
    """Whether X-Forwarded-Host, which may be a client's, made the question one about another host than Host says.

    Then one host could be asked about and another be served.
    """
    if _HOST not in inbound.headers:
        return False
    host = parse_host(inbound.headers.get("Host", ""))
    return host != (inbound.target.host, inbound.target.port)


def _nginx_target(inbound: InboundRequest) -> RequestTarget | None:
    urls, uris = inbound.headers.getall(_ORIGINAL_URL, []), inbound.headers.getall(_ORIGINAL_URI, [])
    if len(urls) + len(uris) != 1:
        return None
    if uris:
        return None if _is_elsewhere(inbound) else _with_path(inbound, uris[0])
    match = _WHOLE_URL.fullmatch(urls[0])
    if match is None:
        return None
    target = canonical_target(match[3] or "/", scheme=match[1], host_field=match[2])
    # A Host that disagrees with the URL would let one vhost be asked about and another be served.
    return target if target is not None and target.host == inbound.target.host else None
