"""From config.yaml, the environment and secret files to a ``Config``, or to every fault at once.

Called by the command line at start and by a reload. Precedence: environment, file, default; a secret may be given
only once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gatekeeper.config.checks import check_rules, contradictions
from gatekeeper.config.document import MAX_BYTES, Document, parse
from gatekeeper.config.environment import read_environment
from gatekeeper.config.geo import Geo
from gatekeeper.config.layers import Layers
from gatekeeper.config.listening import Tls
from gatekeeper.config.messages import Mail
from gatekeeper.config.model import Config, Timeouts
from gatekeeper.config.networks import ListedFile, NetworkFile
from gatekeeper.config.paths import KeyPath, show_path
from gatekeeper.config.secret_files import resolve_secrets
from gatekeeper.config.upstreams import Upstream
from gatekeeper.config.words import mistakes
from gatekeeper.errors import ConfigError, Fault
from geo.lookup import BUNDLED
from policies.rules import RuleBook

DEFAULT_FILE: Final = Path("config.yaml")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that holds, with its rules compiled.

    ``sources`` says by key path (``rules[2].path``) where each value that is no default comes from. ``file`` is
    None where there is none; ``warnings`` are worth an operator's look but keep nothing from starting.
    """

    config: Config
    rules: RuleBook
    sources: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    warnings: tuple[Fault, ...] = ()

    def source_of(self, path: KeyPath) -> str:
        """``default``, ``config.yaml:12``, ``environment GATEKEEPER__...`` or ``secret file ...``."""
        return self.sources.get(show_path(path), "default")


def load(path: Path | None, environ: Mapping[str, str]) -> LoadedConfig:
    """The configuration of the file (for None: ``./config.yaml``, if it exists) and the environment.

    Relative paths in the file, and those of defaults, start at the file's folder; those from the environment at the
    current one. Raises ConfigError with every fault.
    """
    file = path if path is not None else (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    document = Document(None) if file is None else _read(file)
    return _loaded(_layers(file, document, environ), (Path() if file is None else file.parent).absolute())


def load_text(text: str, folder: Path, environ: Mapping[str, str]) -> LoadedConfig:
    """The configuration that ``text`` would be as a file in ``folder``, with the environment. Raises ConfigError.

    Whoever sends it may not read this machine's files: those of secrets are not opened, and their values not judged.
    """
    layers = _layers(None, parse(text), environ)
    layers.opens_files = False
    return _loaded(layers, folder)


def _loaded(layers: Layers, base: Path) -> LoadedConfig:
    resolve_secrets(layers, base)
    layers.lay_environment_over()
    partial = _validated(layers)
    rules = None if partial is None else _cross_checked(partial, layers)
    if partial is None or rules is None or layers.faults:
        raise ConfigError(sorted(layers.faults, key=lambda fault: (fault.file or "", fault.line or 0)))
    return LoadedConfig(
        config=_completed(partial.config, layers, base),
        rules=rules,
        sources=layers.sources(),
        file=layers.file,
        warnings=tuple(layers.warnings),
    )


def _layers(file: Path | None, document: Document, environ: Mapping[str, str]) -> Layers:
    raw = {} if document.value is None else document.value
    if not isinstance(raw, dict):
        raise ConfigError([Fault("", "must hold `key: value` lines", 1, None if file is None else str(file))])
    faults: list[Fault] = []
    upstreams = raw.get("upstreams")
    given = read_environment(environ, list(upstreams) if isinstance(upstreams, dict) else [], faults)
    layers = Layers(file, document, raw, {one.path: one for one in given}, faults)
    layers.fill_empty_sections()
    return layers


def _read(file: Path) -> Document:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        return parse(content.decode("utf-8-sig"), str(file))
    except UnicodeDecodeError:
        raise ConfigError([Fault("", "is not UTF-8 text", file=str(file))]) from None
    except OSError as fault:
        raise ConfigError([Fault("", fault.strerror or "cannot be read", file=str(file))]) from None


@dataclass(frozen=True, slots=True)
class _Partial:
    """What holds of a configuration: ``rules`` are the positions of its rules in the file."""

    config: Config
    rules: tuple[int, ...]
    faulty: frozenset[str | int]  # top-level keys with a mistake in them


def _validated(layers: Layers) -> _Partial | None:
    """The configuration; values that are wrong by themselves are noted and left out, so that the rest is still
    checked. None where even that fails.
    """
    try:
        config = Config.model_validate(layers.raw)
    except ValidationError as error:
        found = list(mistakes(error))
    else:
        return _Partial(config, tuple(range(len(config.rules))), frozenset())
    for path, message in found:
        layers.fault(path, message)
    paths = {path for path, _ in found}
    kept, rules = _without(layers.raw, paths)
    try:
        return _Partial(Config.model_validate(kept), rules, frozenset(path[0] for path in paths))
    except ValidationError:
        return None


def _without(raw: Mapping[str, Any], faulty: set[KeyPath]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """``raw`` less the rules, the keys of sections and the other values that hold a mistake; the rules left."""
    wrong = {path[:length] for path in faulty for length in (1, 2)}
    kept: dict[str, Any] = {}
    rules: tuple[int, ...] = ()
    for name, value in raw.items():
        if (name,) not in wrong or (name == "rules" and isinstance(value, list)):
            kept[name] = value
        elif isinstance(value, dict) and name != "upstreams":
            kept[name] = {inner: what for inner, what in value.items() if (name, inner) not in wrong}
    if isinstance(kept.get("rules"), list):
        rules = tuple(index for index in range(len(kept["rules"])) if ("rules", index) not in wrong)
        kept["rules"] = [kept["rules"][index] for index in rules]
    return kept, rules


def _cross_checked(partial: _Partial, layers: Layers) -> RuleBook | None:
    for path, message in contradictions(partial.config):
        if path[0] not in partial.faulty:
            layers.fault(path, message)
    if "upstreams" in partial.faulty:
        return None  # every rule would be blamed for them
    lines = [layers.line_of(("rules", index)) for index in partial.rules or range(len(partial.config.rules))]
    rules, wrong = check_rules(partial.config, lines)
    for path, message in wrong:
        position = partial.rules[int(path[1])] if partial.rules else path[1]
        layers.fault((path[0], position, *path[2:]), message)
    return rules


def _completed(config: Config, layers: Layers, base: Path) -> Config:
    """The same with absolute paths and with the time-outs that upstreams take from the general ones."""

    def whole(path: KeyPath, value: Path) -> Path:
        return (value if path in layers.given else base / value).absolute()

    data_dir = whole(("storage", "data_dir"), config.storage.data_dir)
    updates: dict[str, Any] = {
        "storage": config.storage.model_copy(update={"data_dir": data_dir}),
        "upstreams": {
            name: _completed_upstream(name, upstream, config.timeouts, whole)
            for name, upstream in config.upstreams.items()
        },
    }
    files = {"logo": config.pages.logo, "css": config.pages.css}
    paths = {key: whole(("pages", key), file) for key, file in files.items() if file is not None}
    updates["pages"] = config.pages.model_copy(update=paths)
    updates["trusted_proxies"] = [
        NetworkFile(whole(("trusted_proxies",), entry.path)) if isinstance(entry, NetworkFile) else entry
        for entry in config.trusted_proxies
    ]
    listed = [
        ListedFile(whole(("anomalies", "listed_networks"), entry.path)) if isinstance(entry, ListedFile) else entry
        for entry in config.anomalies.listed_networks
    ]
    updates["anomalies"] = config.anomalies.model_copy(update={"listed_networks": listed})
    updates["tls"] = _completed_tls(config.tls, whole)
    if config.mail.templates is not None or config.mail.smtp.ca is not None:
        updates["mail"] = _completed_mail(config.mail, whole)
    updates["geo"] = _completed_geo(config.geo, whole)
    return config.model_copy(update=updates)


def _completed_geo(geo: Geo, whole: Callable[[KeyPath, Path], Path]) -> Geo:
    named = {"database": None if geo.database == BUNDLED else geo.database, "asn_database": geo.asn_database}
    files = {key: str(whole(("geo", key), Path(name))) for key, name in named.items() if name is not None}
    return geo.model_copy(update=files)


def _completed_tls(tls: Tls, whole: Callable[[KeyPath, Path], Path]) -> Tls:
    def completed(path: KeyPath, **files: Path | None) -> dict[str, Path]:
        return {name: whole(path, file) for name, file in files.items() if file is not None}

    own: dict[str, Any] = {}
    for name in ("cert", "key"):
        own |= completed(("tls", name), **{name: getattr(tls, name)})
    own["more"] = [
        pair.model_copy(update=completed(("tls", "more"), cert=pair.cert, key=pair.key)) for pair in tls.more
    ]
    return tls.model_copy(update=own)


def _completed_mail(mail: Mail, whole: Callable[[KeyPath, Path], Path]) -> Mail:
    templates, ca = mail.templates, mail.smtp.ca
    updates: dict[str, Any] = {}
    if templates is not None:
        updates["templates"] = whole(("mail", "templates"), templates)
    if ca is not None:
        updates["smtp"] = mail.smtp.model_copy(update={"ca": whole(("mail", "smtp", "ca"), ca)})
    return mail.model_copy(update=updates)


def _completed_upstream(
    name: str, upstream: Upstream, timeouts: Timeouts, whole: Callable[[KeyPath, Path], Path]
) -> Upstream:
    general = {"timeout": timeouts.first_byte, "connect_timeout": timeouts.connect}
    updates: dict[str, Any] = {key: value for key, value in general.items() if key not in upstream.model_fields_set}
    files = {"ca": upstream.tls.ca, "cert": upstream.tls.cert, "key": upstream.tls.key}
    paths = {key: whole(("upstreams", name, "tls", key), file) for key, file in files.items() if file is not None}
    updates["tls"] = upstream.tls.model_copy(update=paths)
    return upstream.model_copy(update=updates)
