"""The configuration as the panel lists it: complete, with sources, and no secret in it (security 22)."""

from gatekeeper.config.listing import chapters
from gatekeeper.config.load import load
from gatekeeper.config.model import Config
from gatekeeper.config.origin import UNKNOWN, Origin

SECRETS = ["header-s3cret", "password-s3cret", "path-s3cret", "whsec_aGVsbG8gd29ybGQgaGVsbG8gd29ybGQh", "store-s3cret"]
FILE = f"""
storage:
  postgres: postgresql://gate:{SECRETS[4]}@db.example:5432/gate
tokens: {{access_ttl: 5m}}
rules:
  - name: api
    path: /**
    allow: authenticated
    request_headers: {{set: {{X-Key: {SECRETS[0]}}}, remove: [X-Old]}}
mail: {{from: gate@example.com, smtp: {{host: 127.0.0.1, user: gate, password: {SECRETS[1]}}}}}
notify:
  webhooks:
    - {{url: "https://example.com/{SECRETS[2]}?k={SECRETS[2]}", secret: {SECRETS[3]}, events: ['*']}}
"""


def _settings(config, origin=UNKNOWN):
    return {one.path: one for chapter in chapters(config, origin) for one in chapter.settings}


def test_every_value_has_its_source_and_secrets_are_masked(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(FILE)
    loaded = load(file, {"GATEKEEPER__LOGS__LEVEL": "debug"})
    origin = Origin.of(loaded, waiting=("tokens.access_ttl", "geo"))
    settings = _settings(loaded.config, origin)
    said = "\n".join(map(str, settings.values()))
    assert [secret for secret in SECRETS if secret in said] == []
    assert settings["storage.postgres"].value == "postgresql://gate:***@db.example:5432/gate"
    assert "set: {X-Key: " in settings["rules[0]"].value
    assert "remove: [X-Old]" in settings["rules[0]"].value
    assert "url: https://example.com/***" in settings["notify.webhooks[0]"].value.replace('"', "")
    assert settings["tokens.access_ttl"].source == f"{file}:4"
    assert settings["logs.level"].source == "environment GATEKEEPER__LOGS__LEVEL"
    given = {path for path, one in settings.items() if one.given}
    assert {"tokens.access_ttl", "logs.level", "rules[0]", "mail.smtp.host"} <= given
    assert {"tokens.algorithm", "mail.smtp.port", "prefix"} & given == set()
    waiting = {path for path, one in settings.items() if one.waiting}
    assert {"tokens.access_ttl", "geo.database"} <= waiting
    assert not any(path.startswith("logs") for path in waiting)


def test_every_key_of_the_model_is_listed_with_its_meaning():
    found = chapters(Config(), UNKNOWN)
    assert [chapter.name for chapter in found][:3] == ["", "tls", "storage"]
    settings = _settings(Config())
    assert {"listen", "admin.idle", "limits.login_per_ip", "upstreams.api.targets"} <= set(settings)
    assert [path for path, one in settings.items() if not one.meaning] == []
    assert [path for path, one in settings.items() if one.given and not path.startswith("upstreams.")] == []


def test_an_origin_survives_the_way_to_a_worker(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(FILE)
    origin = Origin.of(load(file, {}), waiting=("listen",))
    assert Origin.from_data(origin.as_data()) == origin
