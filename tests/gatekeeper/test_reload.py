"""Another configuration while the gate runs: what is taken over, what waits for a restart, what changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.config.load import load
from gatekeeper.reload import Changed, ConfigWatch, Refused, in_words

RULES = [{"name": "api", "path": "/**", "allow": "authenticated"}]


class File:
    """A config.yaml and the watch on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write()
        self.watch = ConfigWatch(load(path, {}), {}, every=0.001)

    def write(self, **keys: Any) -> None:
        self.path.write_text(json.dumps({"rules": RULES, **keys}))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "config.yaml")


async def changed(file: File) -> Changed:
    found = await file.watch.next()
    assert isinstance(found, Changed), found
    return found


async def refused(file: File) -> Refused:
    found = await file.watch.next()
    assert isinstance(found, Refused), found
    return found


async def test_rules_upstreams_the_limit_and_the_level_are_taken_over(file):
    upstreams = {"shop": {"targets": ["http://127.0.0.1:9100"]}}
    file.write(
        rules=[{"name": "open", "path": "/**", "allow": "anyone"}],
        upstreams=upstreams,
        limits={"default": "7/minute"},
        logs={"level": "debug"},
    )
    found = await changed(file)
    assert found.changed == ("limits.default", "logs.level", "upstreams", "rules")
    assert found.waiting == ()
    config = file.watch.current
    assert (config.rules[0].name, list(config.upstreams), config.logs.level) == ("open", ["shop"], "debug")
    assert config.limits.default[0].amount == 7


async def test_limits_bans_and_other_origins_are_taken_over(file):
    bans = {"after": 3, "for": "1h", "allow": ["192.0.2.0/24"]}
    origins = {"origins": ["https://app.example.org"]}
    file.write(limits={"login_per_ip": "1/minute"}, otp={"limit": "2/hour"}, bans=bans, cors=origins)
    found = await changed(file)
    taken = {"limits.login_per_ip", "otp.limit", "bans.after", "bans.for", "bans.allow", "cors.origins"}
    assert (set(found.changed), found.waiting) == (taken, ())
    config = file.watch.current
    assert (config.limits.login_per_ip.amount, config.otp.limit.amount, config.bans.length) == (1, 2, 3600.0)


async def test_what_needs_a_restart_is_named_each_time_and_stays_as_it_was(file):
    for size in ("1MiB", "2MiB"):
        file.write(tokens={"access_ttl": "5m"}, sizes={"body": size}, otp={"digits": 8})
        found = await changed(file)
        assert set(found.waiting) == {"tokens.access_ttl", "sizes.body", "otp.digits"}
        assert found.changed == ()
        assert any("only a restart" in line and "tokens.access_ttl" in line for line in in_words(found))
    assert file.watch.current.tokens.access_ttl == 900


async def test_a_bad_file_changes_nothing_and_is_said_with_file_and_line(file):
    before = file.watch.current
    file.path.write_text("rules:\n  - {name: a, path: /x, allow: everyone}\n  - {name: a, path: /y, allow: anyone}\n")
    found = await refused(file)
    assert file.watch.current is before
    assert any(f"{file.path}:2: rules[0].allow" in line for line in found.faults)
    assert next(iter(in_words(found))) == "the configuration is not reloaded, the old one stays in force"
    file.write(rules=[{"name": "good", "path": "/**", "allow": "anyone"}])
    assert (await changed(file)).config.rules[0].name == "good"


async def test_a_file_that_vanishes_or_is_half_written_changes_nothing(file):
    file.path.unlink()
    assert "No such file" in (await refused(file)).faults[0]
    file.path.write_text('{"rules": [{"name": "api"')
    assert "not YAML" in (await refused(file)).faults[0]


async def test_what_only_fits_together_with_a_restart_is_refused(file):
    file.write(sizes={"body": "200MiB"}, rules=[{"name": "big", "path": "/**", "allow": "anyone", "body": "150MiB"}])
    (fault,) = (await refused(file)).faults
    assert "rules[0].body" in fault
    assert "restart" in fault


async def test_the_same_content_again_is_no_change_but_sighup_reads_it_anyway(file):
    file.write()
    file.watch.ask()
    found = await changed(file)
    assert (found.changed, found.waiting) == ((), ())
    assert list(in_words(found)) == ["the configuration is reloaded: nothing has changed"]


async def test_rules_stay_bound_to_the_environment_of_the_start(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"rules": RULES}))
    environ = {"GATEKEEPER__LIMITS__DEFAULT": "3/minute"}
    watch = ConfigWatch(load(path, environ), environ, every=0.001)
    path.write_text(json.dumps({"rules": RULES, "limits": {"default": "9/minute"}, "logs": {"level": "error"}}))
    found = await watch.next()
    assert isinstance(found, Changed)
    assert found.config.limits.default[0].amount == 3
