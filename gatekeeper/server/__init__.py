"""The HTTP/1.1 server: aiohttp's, with deadlines, bounds and strictness of its own. Used by the workers."""

from gatekeeper.server.lane import Service
from gatekeeper.server.runner import Forward, make_runner

__all__ = ["Forward", "Service", "make_runner"]
