"""What every page with a form needs: the theme, who is looking, where it may lead. Built by ``app.pages``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem
from gatekeeper.identity.endpoints import Identity
from gatekeeper.pages import words
from gatekeeper.pages.forms import read_form, see_other
from gatekeeper.pages.next import origin_of, safe_next
from gatekeeper.pages.theme import Theme, stamped
from gatekeeper.pages.visit import Visits
from gatekeeper.tokens.sessions import TokenPair
from policies.model import Reason


@dataclass(frozen=True, slots=True)
class Frame:
    """``origins`` are those that ``next`` may name; ``form_limit`` in bytes."""

    theme: Theme
    visits: Visits
    identity: Identity
    origins: frozenset[str]
    form_limit: int

    def address(self, path: str) -> str:
        """A path under the prefix."""
        return f"{self.theme.prefix}/{path}"

    async def form(self, request: web.Request) -> Mapping[str, str]:
        """The fields of a form that a page of the gate sent. Raises Problem (``forms.read_form``)."""
        return await read_form(request, self.form_limit)

    def target(self, text: str | None) -> str:
        """Where ``next`` leads, if it may."""
        return safe_next(text, self.origins)

    def entered(self, request: web.Request, pair: TokenPair, target: str) -> web.Response:
        """On to ``target`` with fresh cookies."""
        answer = see_other(target)
        self.identity.set_cookies(answer, pair, request[INBOUND].received)
        return answer

    def to_new_password(self, demanded: Problem) -> web.Response:
        """On to the page for another password: ``demanded`` is the 401 password-change-required of a login."""
        return see_other(f"{self.address('reset')}?token={demanded.extra['token']}")

    def admitted(self, request: web.Request, pair: TokenPair, target: str) -> web.Response:
        """The same after a login: this browser is known from now on (security 20)."""
        answer = self.entered(request, pair, target)
        self.identity.remember_browser(answer, request[INBOUND], pair.user.id)
        return answer

    def page(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, Any],
        *,
        fault: Problem | None = None,
        target: str | None = None,
    ) -> web.Response:
        """A page; with ``fault`` it has its status, header fields and, as ``message``, its sentence.

        ``target`` is what ``next`` leads to, for the page's own policy.
        """
        message = words.sentence(fault, self.theme.language_of(request)) if fault else None
        leads_to = origin_of(target) if target else None
        status = fault.status if fault else 200
        whole = {"message": message, "faults": {}, **context}
        page = self.theme.page(request, template, whole, status=status, form_leads_to=leads_to)
        return stamped(page, fault) if fault else page

    def over(
        self, request: web.Request, fault: Problem, title: str, advice: str | None, leads_to: str, label: str
    ) -> web.Response:
        """The page of something that is over or closed: ``title``, what to do (else why it is so), and the way there.

        The texts are keys of the catalogue.
        """
        say = self.theme.language_of(request).say
        context = {
            "here": None,
            "title": say(title),
            "advice": say(advice) if advice else None,
            "leads_to": leads_to,
            "label": say(label),
        }
        return self.page(request, "over.html", context, fault=fault)

    def say(self, request: web.Request, text: str) -> str:
        """``text`` in the language of the page."""
        return self.theme.language_of(request).say(text)


def passkey_answer(fields: Mapping[str, str]) -> Mapping[str, Any]:
    """What passkey.js put into ``response``. Raises Problem (422)."""
    try:
        answer = orjson.loads(fields.get("response", ""))
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise Problem(422, Reason.VALIDATION, "The browser did not answer with a passkey.")
    return answer
