"""The two outermost layers of every request: the error boundary and the access log.

The boundary also reads the request once into an ``InboundRequest`` and refuses what is not one, so that no
handler ever sees a target that is not canonical.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from gatekeeper.answers import detail_of, problem, say
from gatekeeper.appkeys import INBOUND
from gatekeeper.errors import Problem, StoreUnavailable
from gatekeeper.inbound import Refused, RequestReader
from gatekeeper.observe.access import AccessLog
from policies.model import Reason

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger("gatekeeper.entrance")
