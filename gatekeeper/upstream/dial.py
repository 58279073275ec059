"""Opens connections to targets. Used by ``upstream.pool`` for requests and by ``upstream.health`` for checks."""

from __future__ import annotations

import asyncio
import ssl

from gatekeeper.errors import UpstreamTimeout, UpstreamUnavailable
from gatekeeper.upstream.connection import Connection, ConnectionOwner, Deadlines
from gatekeeper.upstream.messages import TargetAddress


class Dialer:
    """``name`` is the upstream's, for messages; ``ssl_context`` and ``server_name`` (SNI, and the name that the
    certificate must carry; default: the target's host) are for https.
    """

    def __init__(self, name: str, *, ssl_context: ssl.SSLContext | None = None, server_name: str | None = None) -> None:
        self._name = name
        self._ssl_context = ssl_context
        self._server_name = server_name

    async def dial(self, address: TargetAddress, owner: ConnectionOwner, deadlines: Deadlines) -> Connection:
        """A new connection, ready for a request.

        Raises UpstreamUnavailable, or UpstreamTimeout after ``deadlines.connect``. Cancelling leaves nothing open.
        """
        name = self._name
        connection = Connection(owner, name, deadlines)
        try:
            async with asyncio.timeout(deadlines.connect):
                await self._open_socket(address, connection, deadlines.connect)
        except TimeoutError:
            raise UpstreamTimeout(f"{name}: no connection in time") from None
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            if isinstance(error, ssl.SSLCertVerificationError):
                why = f"its certificate is refused: {error.verify_message}"
            raise UpstreamUnavailable(f"{name}: cannot connect: {why}") from None
        except BaseException:
            connection.abort()
            raise
        if not connection.adopt():
            raise UpstreamUnavailable(f"{name}: closed right after connecting")
        return connection

    async def _open_socket(self, address: TargetAddress, connection: Connection, timeout: float) -> None:
        """Resolve and connect; names are looked up off the loop's thread, anew for each connection."""
        loop = asyncio.get_running_loop()
        if address.path is not None:
            await loop.create_unix_connection(lambda: connection, address.path)
        elif address.tls:
            await loop.create_connection(
                lambda: connection,
                address.host,
                address.port,
                ssl=self._ssl_context,
                server_hostname=self._server_name or address.host,
                ssl_handshake_timeout=timeout,
            )
        else:
            await loop.create_connection(lambda: connection, address.host, address.port)
