"""How the gate's pages are made: templates, static files, headers. Shared by pages and admin; built by ``app``."""

from __future__ import annotations

import hashlib
import logging
import mimetypes
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp_jinja2
import jinja2
from aiohttp import web

from gatekeeper.answers import detail_of, page_headers, say
from gatekeeper.errors import Problem, StoreUnavailable
from policies.model import Reason

Handler = Callable[[web.Request], Awaitable[web.Response]]
TEMPLATES = web.AppKey("gatekeeper.templates", jinja2.Environment)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_SAID_IN_HEADERS: Final = ("X-Gate-Reason", "WWW-Authenticate", "Retry-After")
_TITLES: Final[Mapping[int, str]] = {
    400: "That request could not be read",
    401: "Sign in first",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not possible here",
    413: "Too large",
    415: "That request could not be read",
    421: "Not served here",
    429: "Too many attempts",
    503: "Not available right now",
}
_log = logging.getLogger("gatekeeper.pages")


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file, held in memory; ``name`` carries the hash of its content."""

    name: str
    content_type: str
    body: bytes


class Theme:
    """Renders pages under one prefix. ``packages`` hold ``templates/`` and ``static/``."""

    def __init__(self, *, prefix: str, public_url: str, packages: Iterable[str] = ("gatekeeper.pages",)) -> None:
        self.prefix = prefix
        self._packages = tuple(packages)
        self._site = urlsplit(public_url).netloc
        self._headers = {
            **page_headers(https=public_url.startswith("https:")),
            # Not `no-referrer`: under it browsers send `Origin: null` with a form, which CSRF refuses (Fetch 3.1.1).
            "Referrer-Policy": "same-origin",
        }
        self._assets = {asset.name: asset for asset in self._load_assets()}
        self._hashed = {_plain_name(name): name for name in self._assets}

    def setup(self, app: web.Application) -> None:
        """Give an application the templates. Once, before it starts."""
        environment = aiohttp_jinja2.setup(
            app,
            app_key=TEMPLATES,
            default_helpers=False,
            loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in self._packages]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals.update(prefix=self.prefix, site=self._site, asset=self.address_of)

    def address_of(self, name: str) -> str:
        """The address of a static file, with its content's hash."""
        return f"{self.prefix}/static/{self._hashed[name]}"

    def page(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        form_leads_to: str | None = None,
    ) -> web.Response:
        """A page with the headers of the gate's own pages.

        ``form_leads_to`` is an origin to which the page's form may be redirected (CSP counts that as its target).
        """
        answer = aiohttp_jinja2.render_template(template, request, context, app_key=TEMPLATES, status=status)
        answer.headers.update(self._headers)
        if form_leads_to is not None:
            policy = answer.headers["Content-Security-Policy"]
            widened = policy.replace("form-action 'self'", f"form-action 'self' {form_leads_to}")
            answer.headers["Content-Security-Policy"] = widened
        return answer

    def problem_page(self, request: web.Request, fault: Problem) -> web.Response:
        """A refusal as a page, for people."""
        context = {
            "title": _TITLES.get(fault.status, "That did not work"),
            "text": fault.detail or detail_of(fault.reason),
            "status": fault.status,
            "reason": str(fault.reason),
        }
        return stamped(self.page(request, "problem.html", context, status=fault.status), fault)

    def paged(self, handler: Handler) -> Handler:
        """``handler`` with its refusals and outages said as pages."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except Problem as refusal:
                return self.problem_page(request, refusal)
            except StoreUnavailable as fault:
                return self.problem_page(request, outage(fault))

        return handle

    async def static(self, request: web.Request) -> web.Response:
        """GET ``P/static/<name>``: kept for ever by caches, because a changed file has another name."""
        asked = request.match_info["name"]
        asset = self._assets.get(asked)
        if asset is None:
            # Another version of the gate behind the same address may have made the page.
            asset = self._assets.get(self._hashed.get(_plain_name(asked), ""))
            if asset is None:
                raise Problem(404, Reason.NOT_FOUND)
        headers = {
            "Cache-Control": _FOR_EVER if asset.name == asked else "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        return web.Response(body=asset.body, content_type=asset.content_type, headers=headers)

    def _load_assets(self) -> Iterable[Asset]:
        for package in self._packages:
            for file in (resources.files(package) / "static").iterdir():
                body = file.read_bytes()
                stem, _, suffix = file.name.rpartition(".")
                digest = hashlib.sha256(body).hexdigest()[:12]
                kind = mimetypes.types_map.get(f".{suffix}", "application/octet-stream")
                yield Asset(f"{stem}.{digest}.{suffix}", kind, body)


def stamped(answer: web.Response, fault: Problem) -> web.Response:
    """``answer`` with the header fields that this refusal has everywhere."""
    said = say(fault).headers
    for name in _SAID_IN_HEADERS:
        if name in said:
            answer.headers[name] = said[name]
    return answer


def outage(fault: StoreUnavailable) -> Problem:
    """A store that is away, as people are told; the log says which."""
    _log.warning("a page could not be served: %s", fault)
    return Problem(
        503, Reason.STORE_UNAVAILABLE, "The gate cannot reach its own records. Try again in a moment.", retry_after=1
    )


def _plain_name(hashed: str) -> str:
    """``gate.<hash>.css`` -> ``gate.css``."""
    stem, _, suffix = hashed.rpartition(".")
    return f"{stem.rpartition('.')[0]}.{suffix}"
