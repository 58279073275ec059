"""Fetching a file that somebody publishes: by path or https URL, unpacked, bounded. Used by ``gatekeeper geo``."""

from __future__ import annotations

import asyncio
import hmac
import shutil
import tarfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from gatekeeper.config.model import Config
from gatekeeper.errors import Refused
from gatekeeper.notify.outbound import Outbound

MOST: Final = 1 << 30  # bytes of a file, unpacked
_PATIENCE: Final = 600.0  # seconds for a download
_CHUNK: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 5


def fetch(source: str, target: Path, config: Config, *, digest: str | None = None) -> None:
    """Write what ``source`` holds to ``target``, unpacked where it is gzip (RFC 1952).

    ``digest`` is the SHA-256 that it must have as it comes, in hexadecimal digits. Raises Refused, and OSError for a
    file that cannot be read or written.
    """
    with target.open("wb") as out:
        unpacked = _Unpacked(out)
        scheme = urlsplit(source).scheme
        if scheme in {"http", "https"}:
            asyncio.run(_download(source, unpacked, Outbound(config.notify.allow_private)))
        else:
            with Path(source).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    unpacked.write(chunk)
        unpacked.end()
    if digest is not None and not hmac.compare_digest(unpacked.digest, digest.lower()):
        raise Refused(f"its SHA-256 is {unpacked.digest}, which is not what was asked for; nothing was changed")


def take_member(archive: Path, suffix: str, wanted: str | None) -> None:
    """Where a file is a tar archive, put the one member that ends in ``suffix`` in its place, or the one that is
    ``wanted`` by name. Raises Refused.
    """
    if not tarfile.is_tarfile(archive):
        if wanted is not None:
            raise Refused(f"it is no archive, so it holds no {wanted}")
        return
    inner = archive.with_name(f"{archive.name}.member")
    try:
        with tarfile.open(archive) as found, inner.open("wb") as out:
            member = _only(found, suffix, wanted)
            content = found.extractfile(member)
            if content is None or member.size > MOST:
                raise Refused(f"{member.name} is no file of at most {MOST >> 30} GiB")
            shutil.copyfileobj(content, out)
        inner.replace(archive)
    except (tarfile.TarError, EOFError):
        raise Refused("the archive is damaged; nothing was changed") from None
    finally:
        inner.unlink(missing_ok=True)


def _only(archive: tarfile.TarFile, suffix: str, wanted: str | None) -> tarfile.TarInfo:
    members = {Path(member.name).name: member for member in archive if member.isfile() and member.name.endswith(suffix)}
    if wanted is not None and wanted in members:
        return members[wanted]
    if wanted is None and len(members) == 1:
        return next(iter(members.values()))
    names = ", ".join(sorted(members)) or "none"
    raise Refused(f"it is an archive; say with --member which of its {suffix} files is meant: {names}")


async def _download(url: str, out: _Unpacked, outbound: Outbound) -> None:
    """Every address on the way is https and judged anew."""
    for _ in range(_MOST_REDIRECTS + 1):
        if urlsplit(url).scheme != "https":
            raise Refused("only https URLs are fetched: whoever is on the way could send another database")
        refused = outbound.refused(url)
        if refused is not None:
            raise Refused(refused)
        further = await _get(url, out, outbound)
        if further is None:
            return
        url = urljoin(url, further)
    raise Refused(f"{urlsplit(url).hostname} is the end of more than {_MOST_REDIRECTS} redirects")


async def _get(url: str, out: _Unpacked, outbound: Outbound) -> str | None:
    """Where to go on, None when all was written."""
    host = urlsplit(url).hostname
    try:
        async with outbound.session(_PATIENCE) as session, session.get(url, allow_redirects=False) as answer:
            if answer.status in _REDIRECTS and (location := answer.headers.get("Location")):
                return location
            if answer.status != 200:
                raise Refused(f"{host} answered {answer.status}")
            async for chunk in answer.content.iter_chunked(_CHUNK):
                out.write(chunk)
    except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
        raise Refused(f"{host} cannot be asked: {str(fault) or 'no answer in time'}") from None
    return None


class _Unpacked:
    """Writes what it gets, unpacked where it is gzip (RFC 1952), and never more than MOST."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0
        self._began = False
        self._gzip: zlib._Decompress | None = None
        self._hash = sha256()

    @property
    def digest(self) -> str:
        """Of what came, in hexadecimal digits."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Raises Refused for what is broken or too large."""
        self._hash.update(chunk)
        if not self._began:
            self._began = True
            if chunk.startswith(_GZIP):
                self._gzip = zlib.decompressobj(wbits=31)
        if self._gzip is None:
            self._keep(chunk)
            return
        try:
            while chunk:
                self._keep(self._gzip.decompress(chunk, _CHUNK * 16))
                chunk = self._gzip.unconsumed_tail
        except zlib.error:
            raise Refused("the gzip data is damaged; nothing was changed") from None

    def end(self) -> None:
        """Nothing more comes. Raises Refused for what was cut off."""
        if self._gzip is not None and not self._gzip.eof:
            raise Refused("the gzip data is cut off; nothing was changed")

    def _keep(self, data: bytes) -> None:
        self._written += len(data)
        if self._written > MOST:
            raise Refused(f"that is more than {MOST >> 30} GiB; nothing was changed")
        self._out.write(data)
