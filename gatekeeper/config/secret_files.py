"""Secrets: each given once, in clear or as the path of a file that holds it. Used by ``config.load``.

``storage.secret`` may stand as ``secret_file: /run/gate-secret`` in the file, as ``GATEKEEPER__STORAGE__SECRET`` or
as ``GATEKEEPER__STORAGE__SECRET_FILE`` in the environment.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gatekeeper.config.environment import Given, place
from gatekeeper.config.layers import EACH, Layers, secret_paths
from gatekeeper.config.model import EMBEDDED
from gatekeeper.config.paths import KeyPath

_LARGEST: Final = 64 << 10
_SERVERS: Final = frozenset({"postgres", "redis"})
_STAND_IN: Final = "what-a-file-that-is-not-opened-may-hold"


def resolve_secrets(layers: Layers, base: Path) -> None:
    """Put the content of secret files in the place of their names; what is wrong with them is noted in ``layers``.

    Paths in the file start at ``base``, those from the environment at the current folder.
    """
    for pattern in secret_paths():
        for path, section in _places(layers.raw, pattern):
            _resolve(layers, path, section, base)


def _places(raw: Any, pattern: KeyPath, around: KeyPath = ()) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Where the secrets of a key stand, each with its section: one, or one an element of a list."""
    part, *rest = pattern
    if not rest:
        yield (*around, part), raw if isinstance(raw, dict) else {}
    elif part == EACH:
        for index, element in enumerate(raw if isinstance(raw, list) else ()):
            yield from _places(element, tuple(rest), (*around, index))
    else:
        yield from _places(raw.get(part) if isinstance(raw, dict) else None, tuple(rest), (*around, part))


def _resolve(layers: Layers, path: KeyPath, section: dict[str, Any], base: Path) -> None:
    name, by_file = str(path[-1]), (*path[:-1], f"{path[-1]}_file")
    written, named = section.get(name), section.pop(f"{name}_file", None)
    places = [place(layers.given[one].name) for one in (path, by_file) if one in layers.given]
    if written is not None and written != EMBEDDED:  # which is a word, not a secret
        places.append(layers.place_of(path))
        if layers.file is not None and _readable_by_all(layers.file):
            layers.warn(path, "is a secret, and everyone on this machine can read this file; make it mode 600")
    if named is not None:
        places.append(layers.place_of(by_file))
    if len(places) > 1:
        layers.fault(path, f"is given more than once ({', '.join(places)}); keep one of them")
    variable = layers.given.pop(by_file, None)
    if variable is not None:
        # Known by the secret's own path from here on, so that faults about its content name the variable.
        layers.given[path] = Given(path, None, variable.name)
        content = _content(layers, path, Path(variable.value).absolute())
        del layers.given[path]
        if content is not None:
            layers.given[path] = Given(path, content, variable.name)
    elif named is not None:
        content = _content(layers, path, base / str(named))
        if content is not None:
            section[name] = content


def _content(layers: Layers, path: KeyPath, file: Path) -> str | None:
    layers.secret_files[path] = file
    if not layers.opens_files:
        return EMBEDDED if path[-1] in _SERVERS else _STAND_IN
    try:
        content = read_secret_file(file)
    except ValueError as fault:
        layers.fault(path, str(fault))
        return None
    if _readable_by_all(file):
        layers.warn(path, f"everyone on this machine can read {file}; make it mode 600")
    return content


def read_secret_file(path: Path) -> str:
    """What a secret's file holds, without blanks and line ends around it.

    Raises ValueError in words for an operator; they name the file, never its content.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a file")
        if status.st_mode & stat.S_IWOTH:
            raise ValueError(f"{path} can be changed by everyone on this machine; make it mode 600")
        if status.st_size > _LARGEST:
            raise ValueError(f"{path} is larger than {_LARGEST >> 10} KiB; a secret is one line")
        text = path.read_bytes().decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} does not hold text") from None
    except OSError as fault:
        raise ValueError(f"{path}: {fault.strerror or 'cannot be read'}") from None
    if not text:
        raise ValueError(f"{path} is empty")
    if "\x00" in text or "\n" in text:
        raise ValueError(f"{path} holds more than one line; a secret is one")
    return text


def _readable_by_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
