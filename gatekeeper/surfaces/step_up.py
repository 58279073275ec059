"""Where a browser goes whose login is too old or too weak for what it asks: ``P/step-up``, and back.

Called by the surfaces and the panel's guard. A GET comes back to the same address. Anything else is never sent again
by the gate, nor is its body kept: the page says what was interrupted (``interrupted=POST /path``) and leads to where
the form was, the Referer where that is of the same origin; browsers fill a form in again on the way back.
"""

from __future__ import annotations

from urllib.parse import quote

from gatekeeper.inbound import InboundRequest
from policies.model import StepUp

_READING = frozenset({"GET", "HEAD"})
_LONGEST = 2048  # characters of an address in a Location


def step_up_location(prefix: str, asked: InboundRequest, wants: StepUp | None = None) -> str:
    """Path and query of the step-up page for this request; ``acr_values=2fa`` where a password alone will not do."""
    target = asked.target
    strength = "&acr_values=2fa" if wants is not None and wants.acr_values == "2fa" else ""
    if asked.method in _READING:
        return f"{prefix}/step-up?next={quote(target.origin_form, safe='')}{strength}"
    interrupted = quote(f"{asked.method} {target.path}"[:_LONGEST], safe="")
    return f"{prefix}/step-up?next={quote(_form_of(asked), safe='')}&interrupted={interrupted}{strength}"


def _form_of(asked: InboundRequest) -> str:
    """Path and query of the page that sent the request; ``/`` where that is unknown or of another origin."""
    referer, own = asked.headers.get("Referer", ""), f"{asked.target.scheme}://{asked.target.authority}/"
    if len(referer) > _LONGEST or not referer.isascii() or not referer.startswith(own):
        return "/"
    return referer[len(own) - 1 :]
