"""From file and environment to a configuration, or to every fault with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.config.load import LoadedConfig, load
from gatekeeper.config.model import Config
from gatekeeper.errors import ConfigError, Fault

SECRET = "correct-horse-battery-staple-correct-horse"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str, name: str = "gate.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    return file


def loaded(folder: Path, text: str, **environ: str) -> LoadedConfig:
    return load(written(folder, text), environ)


def faults(folder: Path, text: str, **environ: str) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, **environ)
    return caught.value.faults


def only(folder: Path, text: str, **environ: str) -> Fault:
    (fault,) = faults(folder, text, **environ)
    return fault


def test_without_a_file_every_default_holds(folder: Path) -> None:
    found = load(None, {})
    assert found.file is None
    assert found.config.model_dump(exclude={"storage"}) == Config().model_dump(exclude={"storage"})
    assert found.config.storage.data_dir == folder / "data"
    assert [rule.name for rule in found.rules.rules] == ["health", "api"]
    assert found.source_of(("tokens", "access_ttl")) == "default"


def test_config_yaml_of_the_current_folder_is_read(folder: Path) -> None:
    written(folder, "workers: 3\n", "config.yaml")
    found = load(None, {})
    assert (found.file, found.config.workers) == (Path("config.yaml"), 3)


def test_a_file_that_is_named_must_exist(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.yaml: No such file"):
        load(Path("nope.yaml"), {})


def test_an_empty_file_means_the_defaults(folder: Path) -> None:
    assert loaded(folder, "# nothing\n").config.workers == "auto"


def test_an_empty_section_means_its_defaults(folder: Path) -> None:
    assert loaded(folder, "tokens:\n  # access_ttl: 5m\n").config.tokens == Config().tokens


@pytest.mark.parametrize("text", ["- a\n", "text\n", "7\n"])
def test_a_file_that_holds_no_mapping_is_a_fault(folder: Path, text: str) -> None:
    assert "key: value" in only(folder, text).message


def test_a_file_that_is_no_text_is_a_fault(folder: Path) -> None:
    (folder / "gate.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(folder / "gate.yaml", {})


def test_values_come_in_the_units_of_the_model(folder: Path) -> None:
    config = loaded(folder, "tokens: {access_ttl: 500ms}\nsizes: {json: 2KiB}\ntrusted_proxies: [10.0.0.0/8]\n").config
    assert (config.tokens.access_ttl, config.sizes.json_body) == (0.5, 2048)
    assert str(config.trusted_proxies[0]) == "10.0.0.0/8"


def test_paths_in_the_file_start_at_the_files_folder(folder: Path) -> None:
    inner = folder / "etc"
    inner.mkdir()
    text = "storage: {data_dir: state}\ngeo: {database: geo.mmdb}\n"
    found = load(written(inner, text), {})
    assert found.config.storage.data_dir == inner / "state"
    assert found.config.geo.database == str(inner / "geo.mmdb")
    moved = load(inner / "gate.yaml", {"GATEKEEPER__STORAGE__DATA_DIR": "state"})
    assert moved.config.storage.data_dir == folder / "state", "from the environment: at the current folder"


def test_every_fault_is_said_at_once_with_key_and_line(folder: Path) -> None:
    found = faults(
        folder,
        "listen: ['8080']\n"
        "tokens:\n"
        "  access_tll: 15m\n"
        "  idle_ttl: fortnight\n"
        "workers: 0\n"
        "upstreams:\n"
        "  api: {targets: ['http://127.0.0.1:9000/v1']}\n"
        "rules:\n"
        "  - {name: a, allow: everyone}\n"
        "  - name: b\n"
        "    path: /b\n",
    )
    assert [(fault.line, fault.key) for fault in found] == [
        (1, "listen[0]"),
        (3, "tokens.access_tll"),
        (4, "tokens.idle_ttl"),
        (5, "workers"),
        (7, "upstreams.api.targets[0]"),
        (9, "rules[0].allow"),
        (10, "rules[1].allow"),
    ]
    assert all(str(fault).startswith(f"{folder}/gate.yaml:{fault.line}: ") for fault in found)


def test_good_rules_are_checked_beside_bad_values_under_their_own_numbers(folder: Path) -> None:
    found = faults(
        folder,
        "workers: many\n"
        "rules:\n"
        "  - {name: a, path: /a, allow: everyone}\n"
        "  - {name: b, path: /b, allow: anyone, methods: [get]}\n",
    )
    assert [(fault.line, fault.key) for fault in found] == [
        (1, "workers"),
        (3, "rules[0].allow"),
        (4, "rules[1].methods"),
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tokens: {access_tll: 15m}", "did you mean `access_ttl`?"),
        ("token: {access_ttl: 15m}", "did you mean `tokens`?"),
        ("access_ttl: 15m", "did you mean `tokens.access_ttl`?"),
        ("rules: [{name: a, paths: /a, allow: anyone}]", "did you mean `path`?"),
        ("rules: [{name: a, allow: anyone, roles: [staff]}]", "did you mean `allow: {roles: ...}`?"),
        ("rules: [{name: a, allow: {role: [staff]}}]", "did you mean `roles`?"),
        ("sizes: {json_body: 1KiB}", "did you mean `json`?"),
        ("quux: 1", "known here: listen,"),
    ],
)
def test_a_misspelt_key_gets_a_suggestion(folder: Path, text: str, hint: str) -> None:
    assert hint in only(folder, text).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens: {access_ttl: 15}", "a duration such as"),
        ("tokens: {access_ttl: 0s}", "more than zero"),
        ("tokens: {algorithm: RS512}", "must be 'EdDSA', 'ES256', 'RS256' or 'HS256'"),
        ("tokens: {audience: 7}", "must be text"),
        ("tokens: {audience: ''}", "must not be empty"),
        ("tokens: [a]", "must be a mapping"),
        ("passwords: {min_length: long}", "must be a whole number"),
        ("passwords: {min_length: 4}", "must be at least 8"),
        ("passwords: {block_common: perhaps}", "must be true or false"),
        ("sizes: {body: 1MB}", "a size such as"),
        ("sizes: {head: 10}", "at least 1KiB"),
        ("limits: {login_per_ip: often}", "a rate such as"),
        ("trusted_proxies: [10.0.0.1/8]", "a network in CIDR"),
        ("trusted_proxies: 10.0.0.0/8", "must be a list"),
        ("listen: []", "must not be empty"),
        ("listen: [{address: '8080'}]", "host:port is needed"),
        ("listen: [{address: '127.0.0.1:1', tls: perhaps}]", "must be true or false"),
        ("listen: [{address: '127.0.0.1:1', tsl: true}]", "unknown key"),
        ("listen: [{address: '127.0.0.1:1', proxy_protocol: true}]", "needs trusted_proxies"),
        ("{listen: [{address: '127.0.0.1:1', tls: true}], tls: {cert: a}}", "needs a public_url with https://"),
        ("{listen: [{address: '127.0.0.1:1', tls: true}], public_url: https://a}", "needs a certificate: set tls.cert"),
        ("{tls: {cert: a}, public_url: https://a}", "nothing uses it"),
        ("tls: {min_version: '1.1'}", "must be '1.2' or '1.3'"),
        ("sizes: {connections_per_ip: 0}", "must be at least 1"),
        ("trusted_proxies: ['file:']", "a file of networks is written"),
        ("upstreams: {}", "must not be empty"),
        ("upstreams: {API: {targets: [http://a]}}", "lower-case"),
        ("upstreams: {api: {}}", "is missing"),
        ("upstreams: {api: {targets: [http://127.0.0.1:8080]}}", "where the gate itself listens"),
        ("upstreams: {api: {targets: [http://a, http://a]}}", "twice"),
        ("listen: [127.0.0.1:1, 127.0.0.1:1]", "twice"),
        ("tokens: {access_ttl: 40d}", "shorter than tokens.refresh_ttl (30d)"),
        ("tokens: {idle_ttl: 31d}", "not be longer than tokens.refresh_ttl (30d)"),
        ("tokens: {refresh_reuse_window: 30d}", "shorter than tokens.refresh_ttl"),
        ("rules: [{name: 'a b', allow: anyone}]", "a name has"),
        ("rules: [{name: a, allow: everyone}]", "must be 'anyone', 'authenticated' or 'nobody', or {roles: [...]}"),
        ("rules: [{name: a, allow: {anyone: true, roles: [staff]}}]", "stands alone"),
        ("rules: [{name: a, allow: {roles: []}}]", "must not be empty"),
        ("rules: [{name: a, allow: {roles: ['!']}}]", "a role has"),
        ("rules: [{name: a, allow: anyone, upstream: shop}]", "no upstream 'shop'"),
        ("rules: [{name: a, path: /_gate/x, allow: anyone}]", "under /_gate"),
        ("rules: [{name: a, allow: anyone}, {name: b, path: /b, allow: anyone}]", "never decides: rule 'a' (line 1)"),
        ("a: &x [*x]", "names nothing"),
    ],
)
def test_a_wrong_value_is_said_in_plain_words(folder: Path, text: str, words: str) -> None:
    fault = only(folder, text)
    assert words in fault.message
    assert fault.line == 1


def test_default_rules_over_several_upstreams_are_a_fault_without_a_line(folder: Path) -> None:
    found = faults(folder, "upstreams:\n  a: {targets: [http://a]}\n  b: {targets: [http://b]}\n")
    assert [(fault.key, fault.line) for fault in found] == [("rules[0].upstream", None), ("rules[1].upstream", None)]


def test_the_environment_precedes_the_file(folder: Path) -> None:
    found = loaded(
        folder,
        "tokens: {access_ttl: 5m, audience: shop}\nlisten: [127.0.0.1:1]\n",
        GATEKEEPER__TOKENS__ACCESS_TTL="10m",
        GATEKEEPER__LISTEN="127.0.0.1:81, [::1]:81",
        GATEKEEPER__TOKENS__ALGORITHM="ES256",
        GATEKEEPER__PASSWORDS__MIN_LENGTH="16",
        GATEKEEPER__LOGS__ACCESS="false",
        GATEKEEPER_DEBUG="1",
        OTHER__X="1",
    )
    tokens = found.config.tokens
    assert (tokens.access_ttl, tokens.audience, tokens.algorithm) == (600.0, "shop", "ES256")
    assert found.config.listen == ["127.0.0.1:81", "[::1]:81"]
    assert (found.config.passwords.min_length, found.config.logs.access) == (16, "off")
    assert found.source_of(("tokens", "access_ttl")) == "environment GATEKEEPER__TOKENS__ACCESS_TTL"
    assert found.source_of(("tokens", "audience")) == f"{folder}/gate.yaml:1"
    assert found.source_of(("tokens", "idle_ttl")) == "default"


def test_the_environment_reaches_into_upstreams_and_sections(folder: Path) -> None:
    found = loaded(
        folder,
        "upstreams: {my-api: {targets: [http://a], timeout: 5s}}\ntokens: {audience: shop}\n",
        GATEKEEPER__UPSTREAMS__MY_API__TARGETS="[http://b:1, http://c:2]",
        GATEKEEPER__TOKENS="{access_ttl: 1m}",
        GATEKEEPER__RULES="[{name: a, allow: anyone}]",
    )
    upstream = found.config.upstreams["my-api"]
    assert (upstream.targets, upstream.timeout) == (["http://b:1", "http://c:2"], 5.0)
    assert (found.config.tokens.access_ttl, found.config.tokens.audience) == (60.0, "shop")
    assert found.source_of(("rules", 0, "allow")) == "environment GATEKEEPER__RULES"


def test_the_environment_changes_a_key_of_the_default_upstream(folder: Path) -> None:
    found = loaded(folder, "", GATEKEEPER__UPSTREAMS__API__TIMEOUT="5s")
    assert found.config.upstreams["api"].targets == ["http://127.0.0.1:9000"]
    assert found.config.upstreams["api"].timeout == 5.0
    replaced = loaded(folder, "", GATEKEEPER__UPSTREAMS__SHOP__TARGETS="http://127.0.0.1:9001")
    assert list(replaced.config.upstreams) == ["shop"]


def test_text_from_the_environment_is_taken_as_it_stands(folder: Path) -> None:
    assert loaded(folder, "", GATEKEEPER__TOKENS__AUDIENCE="123").config.tokens.audience == "123"


@pytest.mark.parametrize(
    ("name", "value", "key", "words"),
    [
        ("GATEKEEPER__TOKENS__ACCESS_TLL", "1m", "tokens.access_tll", "did you mean `access_ttl`?"),
        ("GATEKEEPER__TOKENS__ACCESS_TTL", "soon", "tokens.access_ttl", "a duration"),
        ("GATEKEEPER__TOKENS__ACCESS_TTL__X", "1m", "tokens.access_ttl", "is one value"),
        ("GATEKEEPER__RULES__0__NAME", "x", "rules", "is one value"),
        ("GATEKEEPER__RULES", "[{name: a", "rules", "not YAML"),
        ("GATEKEEPER__TOKENS", "1m", "tokens", "must be a mapping"),
        ("GATEKEEPER__TOKENS", "{acces_ttl: 1m}", "tokens.acces_ttl", "did you mean `access_ttl`?"),
        ("GATEKEEPER__PUBLIC_URL_FILE", "/x", "public_url_file", "did you mean `public_url`?"),
        ("GATEKEEPER__UPSTREAMS__SHOP__TIMEOUT", "1s", "upstreams.shop.targets", "is missing"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(
    folder: Path, name: str, value: str, key: str, words: str
) -> None:
    fault = only(folder, "", **{name: value})
    assert (fault.key, fault.line) == (key, None)
    assert words in fault.message
    if fault.message != "is missing":
        assert fault.file == f"environment {name}"


def test_an_upstream_takes_its_time_out_from_the_general_one(folder: Path) -> None:
    text = "timeouts: {first_byte: 7s}\nupstreams: {a: {targets: [http://a]}, b: {targets: [http://b], timeout: 30s}}\n"
    text += "rules: []\n"
    upstreams = loaded(folder, text).config.upstreams
    assert (upstreams["a"].timeout, upstreams["b"].timeout) == (7.0, 30.0)


def test_rules_know_their_lines(folder: Path) -> None:
    found = loaded(folder, "rules:\n  - {name: a, path: /a, allow: anyone}\n\n  - name: b\n    allow: anyone\n")
    assert [(rule.name, rule.line) for rule in found.rules.rules] == [("a", 2), ("b", 4)]


def test_no_secret_is_in_any_repr(folder: Path) -> None:
    found = loaded(folder, f"storage: {{secret: {SECRET}, postgres: 'postgresql://u:{SECRET}@h/d'}}\n")
    assert SECRET not in repr(found)
    assert found.config.storage.secret is not None
    assert found.config.storage.secret.get_secret_value() == SECRET


def test_files_of_listeners_and_trusted_proxies_start_at_the_file(folder: Path) -> None:
    found = loaded(
        folder,
        "public_url: https://a.example\n"
        "listen: [{address: '127.0.0.1:443', tls: true, proxy_protocol: true}, '127.0.0.1:80']\n"
        "tls: {cert: a.pem, key: keys/a.key, more: [{cert: b.pem}, {cert: /c.pem, key: c.key}]}\n"
        "trusted_proxies: [10.0.0.0/8, 'file:./cdn.txt', 'file:/etc/cdn.txt']\n",
    ).config
    assert (found.tls.cert, found.tls.key) == (folder / "a.pem", folder / "keys" / "a.key")
    assert [(one.cert, one.key) for one in found.tls.more] == [
        (folder / "b.pem", None),
        (Path("/c.pem"), folder / "c.key"),
    ]
    assert list(map(str, found.trusted_proxies)) == ["10.0.0.0/8", f"file:{folder}/cdn.txt", "file:/etc/cdn.txt"]
    ways = [(one.address, one.tls, one.proxy_protocol) for one in found.listeners]
    assert ways == [("127.0.0.1:443", True, True), ("127.0.0.1:80", False, False)]
