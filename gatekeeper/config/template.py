"""The documentation of config.yaml, made from the models: a commented file, a reference, a JSON Schema.

Called by ``gatekeeper config template`` and ``config schema``; config.yaml and docs/config.md are its output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from gatekeeper.config.document import parse
from gatekeeper.config.model import EMBEDDED, Config
from gatekeeper.config.paths import Key, KeyPath, keys, show_path
from gatekeeper.config.section import Section
from gatekeeper.errors import ConfigError

_HEAD: Final = """\
# Gatekeeper's configuration: every key with its default. Made by `gatekeeper config template`.
# Durations: 30s, 15m, 12h, 30d. Sizes: 64KiB, 10MiB. Rates: 100/minute, 5/15minutes. Networks: 10.0.0.0/8.
# Any value can come from the environment, GATEKEEPER__TOKENS__ACCESS_TTL=15m, and any secret from a file:
# `secret_file: /run/gate-secret` here, or GATEKEEPER__STORAGE__SECRET_FILE. Paths start at this file's folder.
"""

_INTRODUCTION: Final = """\
# Configuration

Made by `gatekeeper config template --markdown`; do not edit. `gatekeeper config template` writes a commented file,
`gatekeeper config show` says what is in force and where each value comes from, `gatekeeper check` tries it out.

- **File.** `./config.yaml`, or the one named by `--config FILE`. Without a file every default holds. Relative paths
  in it start at the file's folder.
- **Values.** Durations `500ms`, `30s`, `15m`, `12h`, `30d`; sizes `512`, `64KiB`, `10MiB`, `1GiB`; rates
  `100/minute`, `5/15minutes`, `20/hour`, `30/1m`; networks in CIDR, `10.0.0.0/8`.
- **Environment.** Any value as `GATEKEEPER__SECTION__KEY`, which precedes the file:
  `GATEKEEPER__TOKENS__ACCESS_TTL=15m`, `GATEKEEPER__UPSTREAMS__API__TARGETS='[http://10.0.0.5:9000]'`. Lists and
  mappings are YAML in flow style; a list of plain values may also be separated by commas. In the name of an upstream
  `_` stands for `-` too.
- **Secrets.** A key marked *secret* can be put into a file of its own: `KEY_file: /path` in config.yaml, or
  `GATEKEEPER__SECTION__KEY_FILE=/path`. The file holds one line. A secret that is given twice is refused.
- **Mistakes** are said all at once, each in one line with file, line and key.
- **Changes while the gate runs**: another content of the file (looked at twice a second) or SIGHUP puts `rules`,
  `upstreams`, `limits`, `otp.limit`, `bans`, `cors` and `logs.level` in force on all workers at once, without dropping
  a request; open streams and tunnels keep the rule they began by. Other keys that differ are named in the log and wait
  for a restart. A bad file changes nothing: the log says why with file and line, and
  `gatekeeper_config_reload_success` is 0. Each gate follows its own file, so give all gates that share their stores the
  same one.
- **YAML** is taken as plain data: no tags, no key twice in a mapping, and only `true`, `false`, `null` and numbers
  are anything but text.
"""

_RULES: Final = """\
The first rule that matches in all it asks for (`host`, `path`, `methods`, `query`, `headers`, `networks`, `countries`,
`schedule`) decides; where none matches the request is refused with 403 `no-rule`. Try it with
`gatekeeper explain METHOD URL`.

- **Paths** are compared as a whole, case-sensitive, without the query, in canonical form: `%XX` of letters, digits
  and `-._~` decoded. `*` stands for any characters within a segment (none, too), `**` for any number of segments:
  `/r/**` matches `/r`, `/r/` and `/r/a/b`. A path that the gate refuses anyway (`//`, `..`, `;`, `%2f`) is a mistake
  in a rule, and so is one under `prefix`.
- **Hosts** are names or addresses without a port; `*.example.org` is every name below `example.org`, at any depth,
  and not `example.org` itself.
- **Regular expressions** (`regex:/api/v[0-9]+/.*`) are those of RE2, which takes time in proportion to the path and
  knows no back-references. They are compared with the whole canonical path, as globs are, with at most 1,024
  characters.
- **Query and headers**: `query: {format: json, page: "*", debug: false}` asks for a value, with `*` for any characters,
  for a parameter to be there (`true`) or not to be (`false`); names and values are compared decoded. What is said twice
  must agree: where `?a=1&a=2` would both match and not match, the rule decides and refuses (403 `no-rule`), as nobody
  knows which of them the upstream reads. The same goes for header fields that `Connection` names.
- **Countries** come from `geo.database`. An address whose country is not known, private ones among them, is refused
  by a rule that asks for countries, unless `unknown` is one of them.
- **Schedules**: `{days: mon-fri, hours: "08:00-18:00", zone: Europe/Zurich}`; hours past midnight
  (`22:00-06:00`) belong to the day on which they begin. An open stream or tunnel is not ended by the clock.
- **Methods** are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS; GET admits HEAD.
- `allow: anyone` needs no login, `authenticated` any login, `{roles: [staff]}` one of the roles: 401 without a
  login, 403 without the role. `nobody` refuses. `{roles: [staff], domains: [example.org]}` asks for both,
  `[{roles: [staff]}, {users: [ada@example.org]}]` for either. E-mails count only where they are verified; with open
  registration that verifies none, a rule about e-mails is a mistake.
- **Limits** of several windows (`rate: 30/1m, 400/1h`) count a request in all of them or, where one is full, in none.
  Windows are aligned to Unix time and slide by the share of the one before, so a burst passes at most the amount of a
  window, over all workers and gates; after an uneven window before it, up to that unevenness less. While Redis is away
  each worker counts for itself, for the 50,000 keys it has seen last.
- **CORS** decides which pages of other origins may read answers, refusals included; what the upstream says of it is
  dropped. Only with `credentials: true` do cookies count from there, and then those pages act as the user. The gate
  answers preflights for the rule that decides about the request they announce.
- **Rewriting** happens after the decision; links, redirects and cookie paths in answers are the upstream's business.
  At `verify` and its kin the proxy in front forwards, so what rules do to requests and answers does not apply there.
- `report_only: true` tries a rule: it decides nothing, but where it would, `gatekeeper_reported_total` and a line in
  the log say what it would have done; the rules after it decide. A limit can be tried likewise. The log shows ten lines
  a minute of each rule and reason, and how many it left out.
- A rule that an earlier one shadows as a whole is a mistake.
"""

_LISTENERS: Final = """
An entry of `listen` is an address, served in clear, or a mapping of `address`, `tls: true` and `proxy_protocol: true`;
one gate can have several kinds:

```yaml
public_url: https://app.example.org
listen: [{address: "0.0.0.0:443", tls: true}, 127.0.0.1:8080]
tls: {cert: /etc/letsencrypt/live/app.example.org/fullchain.pem, key: /etc/letsencrypt/live/app.example.org/privkey.pem}
```

- **TLS** is 1.2 (ECDHE with AES-GCM or ChaCha20-Poly1305) or 1.3, for HTTP/1.1. What comes in there is https. Where no
  entry has `tls`, what comes in is what `public_url` says, since a proxy ends TLS then; where some have, the others
  are plain http unless a trusted proxy says X-Forwarded-Proto.
- **Certificates** are read again within 2 s of a change of their files, on all workers, without losing a connection. A
  pair that is bad (unreadable, encrypted, key and certificate do not belong together) leaves the last good one in
  force, is said in the log, and `gatekeeper_files_good{files="tls"}` is 0. `gatekeeper_certificate_expires_seconds`
  says until when each is good, and `gatekeeper check` warns 14 days ahead.
- **HSTS** is sent with the gate's own pages where `public_url` is https.
- **Proxy Protocol**: version 1 or 2, from `trusted_proxies` only, before TLS where both are on; the client it names is
  then the peer, and X-Forwarded-* count only if that one is in `trusted_proxies` too. A proxy that names nobody (LOCAL,
  UNKNOWN, unix sockets) is the client itself, and its X-Forwarded-* do not count.
"""


def template() -> str:
    """A commented config.yaml with every key at its default."""
    lines = [_HEAD.rstrip()]
    defaults = default_values()
    for key in keys(Config):
        lines += ["", *_entry(key, defaults[key.name], "")]
    return "\n".join(lines) + "\n"


def default_values() -> dict[str, Any]:
    """Every key with its default as it is written in the file."""
    values: dict[str, Any] = Config().model_dump(mode="json", by_alias=True)
    values["storage"] |= {"postgres": EMBEDDED, "redis": EMBEDDED, "data_dir": "./data"}
    values["rules"] = [written_rule(rule) for rule in values["rules"]]
    return values


def written_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A dumped rule as one would write it: without what is not set, one path as text."""
    kept = {name: value for name, value in rule.items() if value is not None and value is not False}
    return {name: _single(name, _given(value)) for name, value in kept.items()}


def _given(value: Any) -> Any:
    """A value without the keys within it that are not set."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list) else value


def _single(name: str, value: Any) -> Any:
    return value[0] if name in {"path", "host"} and isinstance(value, list) and len(value) == 1 else value


def _entry(key: Key, value: Any, indent: str, *, comments: bool = True) -> Iterator[str]:
    if comments:
        yield f"{indent}# {_line(key.description)}"
    if key.section is not None:
        yield f"{indent}{key.name}:"
        for inner in keys(key.section):
            yield from _entry(inner, value[inner.name], indent + "  ", comments=comments)
    elif key.named_section is not None:
        yield f"{indent}{key.name}:"
        for name, entry in value.items():
            yield f"{indent}  {name}:"
            for inner in keys(key.named_section):
                yield from _entry(inner, entry[inner.name], indent + "    ", comments=comments)
    elif key.listed_section is not None:
        for inner in keys(key.listed_section) if comments else ():
            yield f"{indent}#   {inner.name}: {_line(inner.description)}"
        yield f"{indent}{key.name}:" if value else f"{indent}{key.name}: []"
        yield from (f"{indent}  - {flow(element)}" for element in value)
    else:
        yield f"{indent}{key.name}: {flow(value)}"


def flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> bool:
    try:
        return parse(f"[{text}]").value == [text] and text == text.strip()
    except ConfigError:
        return False


def reference() -> str:
    """docs/config.md."""
    defaults = default_values()
    parts = [_INTRODUCTION, "## Top level\n", *_table(Config, (), defaults)]
    for key in keys(Config):
        section = key.section or key.named_section or key.listed_section
        if section is None:
            continue
        parts += [f"\n## {key.name}\n", f"{_line(key.description)}\n"]
        if key.section is not None:
            parts += _table(section, (key.name,), defaults[key.name])
            parts += [_LISTENERS] if key.name == "tls" else []
            continue
        if key.listed_section is not None:
            parts.append(_RULES)
        around = (key.name, "NAME") if key.named_section is not None else (key.name, 0)
        parts += [*_table(section, around, defaults_of(section)), "\nThe default, to be replaced by yours:\n"]
        parts.append("```yaml\n" + "\n".join(_entry(key, defaults[key.name], "", comments=False)) + "\n```")
    return "\n".join(parts) + "\n"


def defaults_of(section: type[Section]) -> dict[str, Any]:
    """The values of a section in which nothing is set, as they are written; needed keys are missing."""
    return section.model_construct().model_dump(mode="json", by_alias=True, warnings="none")


def _table(section: type[Section], around: KeyPath, defaults: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | default | what |"
    yield "|---|---|---|"
    yield from _rows(section, around, defaults)


def _rows(section: type[Section], around: KeyPath, defaults: Mapping[str, Any]) -> Iterator[str]:
    for key in keys(section):
        if key.named_section or (key.section and not around) or (key.listed_section and not around):
            continue  # they have tables of their own
        name = show_path((*around, key.name)).replace("[0]", "[]")
        if key.section:
            yield f"| `{name}` | | {_line(key.description)} |"
            yield from _rows(key.section, (*around, key.name), defaults[key.name])
            continue
        value = _single(key.name, defaults.get(key.name))
        default = "needed" if key.field.is_required() else ("not set" if value is None else f"`{flow(value)}`")
        yield f"| `{name}` | {default} | {_line(key.description)}{' *Secret.*' if key.secret else ''} |"
        if key.listed_section:
            yield from _rows(key.listed_section, (*around, key.name, 0), defaults_of(key.listed_section))


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of config.yaml, for editors; it knows the keys that name files of secrets too."""
    made = Config.model_json_schema(by_alias=True)
    defaults = default_values()
    for key in keys(Config):
        section = key.section or key.named_section or key.listed_section
        if section is not None:
            values = defaults[key.name] if key.section is not None else defaults_of(section)
            _complete(section, made["$defs"], values)
    return {"$schema": GenerateJsonSchema.schema_dialect, **made, "title": "Gatekeeper configuration"}


def _complete(section: type[Section], definitions: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Defaults as they are written (pydantic gives a duration's in seconds), and files of secrets."""
    properties = definitions[section.__name__]["properties"]
    for key in keys(section):
        if key.section is not None:
            _complete(key.section, definitions, defaults[key.name])
        if key.listed_section is not None:
            _complete(key.listed_section, definitions, defaults_of(key.listed_section))
        if "default" in properties[key.name]:
            properties[key.name]["default"] = defaults[key.name]
        if key.secret:
            words = f"File that holds `{key.name}`, in one line."
            properties[f"{key.name}_file"] = {"type": "string", "description": words}
