"""Static files of the pages, held in memory under names that carry the hash of their content. Used by ``theme``."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from aiohttp import web

from gatekeeper.errors import Problem
from gatekeeper.pages.compression import BEST, gzipped, takes_gzip
from policies.model import Reason

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_KINDS: Final[Mapping[str, str]] = {"js": "text/javascript", "svg": "image/svg+xml", "webp": "image/webp"}
# An image opened by itself is a document of this origin; one that came with a script must not run it.
_IMAGE_ALONE: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file; ``name`` carries the hash of its content, ``small`` is the body in gzip where that is less."""

    name: str
    content_type: str
    body: bytes
    small: bytes | None


class Assets:
    """The files of ``static/`` in each of ``packages``, and ``further`` ones by name."""

    def __init__(self, packages: Iterable[str], further: Mapping[str, bytes]) -> None:
        found = [_asset(file.name, file.read_bytes()) for package in packages for file in _files(package)]
        found += [_asset(name, body) for name, body in further.items()]
        self._assets = {asset.name: asset for asset in found}
        self._hashed = {_plain_name(name): name for name in self._assets}

    def name_of(self, plain: str) -> str:
        """The hashed name of a file."""
        return self._hashed[plain]

    async def serve(self, request: web.Request) -> web.Response:
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
            "Vary": "Accept-Encoding",
        }
        if asset.content_type == "image/svg+xml":
            headers["Content-Security-Policy"] = _IMAGE_ALONE
        body = asset.body
        if asset.small is not None and takes_gzip(request.headers):
            body, headers["Content-Encoding"] = asset.small, "gzip"
        return web.Response(body=body, content_type=asset.content_type, headers=headers)


def _files(package: str) -> Iterable[resources.abc.Traversable]:
    return (resources.files(package) / "static").iterdir()


def _asset(name: str, body: bytes) -> Asset:
    stem, _, suffix = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:12]
    kind = _KINDS.get(suffix) or mimetypes.types_map.get(f".{suffix}", "application/octet-stream")
    return Asset(f"{stem}.{digest}.{suffix}", kind, body, gzipped(body, BEST))


def _plain_name(hashed: str) -> str:
    """``gate.<hash>.css`` -> ``gate.css``."""
    stem, _, suffix = hashed.rpartition(".")
    return f"{stem.rpartition('.')[0]}.{suffix}"
