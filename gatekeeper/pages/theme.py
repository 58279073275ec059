"""How the gate's pages are made: templates, languages, headers. Shared by pages and admin; built by ``app``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp_jinja2
import jinja2
from aiohttp import web
from jinja2.bccache import Bucket

from gatekeeper.answers import page_headers, say
from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.inbound import InboundRequest
from gatekeeper.pages import words
from gatekeeper.pages.assets import Assets
from gatekeeper.pages.brand import Brand
from gatekeeper.pages.language import Language, Languages, gettext, ngettext, speaking
from policies.model import Reason

Handler = Callable[[web.Request], Awaitable[web.Response]]
TEMPLATES = web.AppKey("gatekeeper.templates", jinja2.Environment)
_SAID_IN_HEADERS: Final = ("X-Gate-Reason", "WWW-Authenticate", "Retry-After")
_REQUEST: Final = "@request@"  # stands for the request's id in a remembered refusal
_REMEMBERED: Final = 256  # texts of refusals
_log = logging.getLogger("gatekeeper.pages")


class _Compiled(jinja2.BytecodeCache):
    """Templates as compiled at their first page, for every theme of the process: that is most of a page's cost."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        code = self._code.get(bucket.key)
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_compiled = _Compiled()


class Theme:
    """Renders pages under one prefix. ``packages`` hold ``templates/`` and ``static/``."""

    def __init__(
        self,
        *,
        prefix: str,
        public_url: str,
        packages: Iterable[str] = ("gatekeeper.pages",),
        brand: Brand | None = None,
        panel_origin: str = "",
    ) -> None:
        """``panel_origin`` is where the panel is, if not beside the pages."""
        self.prefix = prefix
        self._panel = f"{panel_origin}{prefix}/admin"
        self.languages = Languages()
        self._packages = tuple(packages)
        self._brand = brand or Brand.load()
        self._site = urlsplit(public_url).netloc
        self._panel_site = urlsplit(panel_origin).netloc
        self._headers = {
            **page_headers(https=public_url.startswith("https:")),
            # Not `no-referrer`: under it browsers send `Origin: null` with a form, which CSRF refuses (Fetch 3.1.1).
            "Referrer-Policy": "same-origin",
        }
        self._assets = Assets(self._packages, self._brand.files)
        self.static = self._assets.serve
        self._refusal_text = lru_cache(maxsize=_REMEMBERED)(self._render_refusal)
        self._environment: jinja2.Environment | None = None

    def setup(self, app: web.Application) -> None:
        """Give an application the templates. Once, before it starts."""
        environment = aiohttp_jinja2.setup(
            app,
            app_key=TEMPLATES,
            default_helpers=False,
            loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in self._packages]),
            extensions=["jinja2.ext.i18n"],
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=_compiled,
        )
        environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
        environment.globals.update(
            prefix=self.prefix,
            panel=self._panel,
            asset=self.address_of,
            brand=self._brand,
            languages=list(self.languages.all),
        )
        self._environment = environment

    def address_of(self, name: str) -> str:
        """The address of a static file, with its content's hash."""
        return f"{self.prefix}/static/{self._assets.name_of(name)}"

    def language_of(self, request: web.Request) -> Language:
        """The language that a request gets its page in."""
        return self.languages.of(request[INBOUND].headers)

    def page(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        form_leads_to: str | None = None,
        language: Language | None = None,
    ) -> web.Response:
        """A page with the headers of the gate's own pages.

        ``form_leads_to`` is an origin to which the page's form may be redirected (CSP counts that as its target);
        ``language`` is given where there is only one. In ``context``, ``here`` is where a choice of language leads
        back to: without it the path, since a query may hold a token; None where the path is one.
        """
        spoken = language or self.language_of(request)
        inbound: InboundRequest = request[INBOUND]
        text = self._text(template, {"here": inbound.target.path, "site": self._site_of(inbound), **context}, spoken)
        answer = self._answer(text, status, spoken)
        if form_leads_to is not None:
            policy = answer.headers["Content-Security-Policy"]
            widened = policy.replace("form-action 'self'", f"form-action 'self' {form_leads_to}")
            answer.headers["Content-Security-Policy"] = widened
        return answer

    def problem_page(self, request: web.Request, fault: Problem) -> web.Response:
        """A refusal as a page, for people."""
        return self.refusal(request[INBOUND], fault)

    def refusal(self, inbound: InboundRequest, fault: Problem) -> web.Response:
        """The same by the canonical request alone. Each text is rendered once: refusals come in floods."""
        language = self.languages.of(inbound.headers)
        text = self._refusal_text(
            fault.status, str(fault.reason), words.sentence(fault, language), language, self._site_of(inbound)
        )
        return stamped(self._answer(text.replace(_REQUEST, escape(inbound.request_id)), fault.status, language), fault)

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

    def _site_of(self, inbound: InboundRequest) -> str:
        """The host that a page names at its foot: that of the panel's listener on what is served there."""
        at_panel = self._panel_site and inbound.target.authority == self._panel_site
        return self._panel_site if at_panel else self._site

    def _text(self, template: str, context: Mapping[str, Any], language: Language) -> str:
        assert self._environment is not None, "set up"  # noqa: S101
        token = speaking.set(language)
        try:
            return self._environment.get_template(template).render({"language": language, **context})
        finally:
            speaking.reset(token)

    def _answer(self, text: str, status: int, language: Language) -> web.Response:
        answer = web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
        answer.headers.update(self._headers)
        answer.headers["Content-Language"] = language.tag
        return answer

    def _render_refusal(self, status: int, reason: str, sentence: str, language: Language, site: str) -> str:
        context = {
            "here": None,
            "site": site,
            "title": words.title(status, language),
            "text": sentence,
            "status": status,
            "reason": reason,
            "request_id": _REQUEST,
            "again": status in {429, 502, 503, 504},
        }
        return self._text("problem.html", context, language)


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
    return Problem(503, Reason.STORE_UNAVAILABLE, retry_after=1)
