"""What is served where: the public listeners, the panel's own, the internal one. Called by ``gatekeeper.app.build``."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from admin.calls import Call
from admin.operations import described
from gatekeeper.answers import json_answer
from gatekeeper.app.edge import Edge
from gatekeeper.config.model import Config
from gatekeeper.identity.metadata import Metadata
from gatekeeper.identity.openapi import document
from gatekeeper.observe.metrics import CONTENT_TYPE, Metrics


def public_application(config: Config, edge: Edge) -> web.Application:
    """Everything under the prefix; the panel, and the page that makes the first admin, unless they have a listener."""
    prefix, apart = config.prefix, config.panel_listener is not None
    app = web.Application(middlewares=[edge.entrance.middleware], client_max_size=config.sizes.json_body)
    _add_own(app, config, edge, setup=not apart)
    if not apart:
        app.add_routes(edge.panel.routes())
    edge.cors.setup(app)
    _add_document(app, prefix, config.public_url, [] if apart else edge.panel.declared)
    app.add_routes(edge.verify.routes(prefix))
    app.add_routes(Metadata(config.public_url, prefix).routes())
    return app


def panel_application(config: Config, edge: Edge) -> web.Application | None:
    """The panel with what people need to get in, on a listener of its own; nothing is forwarded from there.

    None where it has none.
    """
    if edge.panel_entrance is None:
        return None
    app = web.Application(middlewares=[edge.panel_entrance.middleware], client_max_size=config.sizes.json_body)
    _add_own(app, config, edge, setup=True)
    app.add_routes(edge.panel.routes())
    _add_document(app, config.prefix, config.panel_url, edge.panel.declared)
    home = f"{config.prefix}/admin/"

    async def to_panel(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": home, "Cache-Control": "no-store"})

    app.router.add_get("/", to_panel)
    return app


def internal_application(config: Config, edge: Edge, metrics: Metrics) -> web.Application:
    """Health and metrics for those inside, without login."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    app = web.Application()
    app.add_routes([*edge.health.routes(config.prefix), web.get(f"{config.prefix}/metrics", show)])
    return app


def _add_own(app: web.Application, config: Config, edge: Edge, *, setup: bool) -> None:
    """Accounts, sessions and their pages."""
    edge.theme.setup(app)
    for calls in (edge.identity, edge.mail, edge.second, edge.factors, edge.api_keys, edge.tokens):
        app.add_routes(calls.routes(config.prefix))
    app.add_routes(edge.pages.routes(config.prefix, setup=setup))
    app.add_routes(edge.health.routes(config.prefix))


def _add_document(app: web.Application, prefix: str, url: str, of_panel: Sequence[Call]) -> None:
    """``P/openapi.json`` of what is served at ``url``."""
    openapi = document(prefix, url, *described(prefix, of_panel))

    async def openapi_json(_request: web.Request) -> web.Response:
        return json_answer(openapi)

    app.router.add_get(f"{prefix}/openapi.json", openapi_json)
