"""``gatekeeper audit`` against real stores."""

import asyncio
import json

import pytest
from factories import NOW, SECRET

from gatekeeper.app.audit import audit_key
from gatekeeper.cli import main
from gatekeeper.clock import ManualClock
from gatekeeper.journal.audit import Change
from gatekeeper.journal.sealing import Sealer
from gatekeeper.store.audit import PostgresSeals, RedisHeads
from gatekeeper.store.postgres import Postgres
from gatekeeper.store.records import PostgresJournal
from gatekeeper.store.redis import Redis


@pytest.fixture
def command(postgres_dsn, redis_url, tmp_path, capsys):
    """Runs ``gatekeeper audit ...``; returns status, stdout, stderr."""
    config = tmp_path / "config.yaml"
    storage = {"postgres": postgres_dsn, "redis": redis_url, "secret": SECRET, "data_dir": str(tmp_path / "data")}
    config.write_text(json.dumps({"storage": storage}))

    def run(*arguments):
        status = main(["--config", str(config), "audit", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def world(postgres_dsn, redis_url):
    """Does something with the stores: ``world(lambda postgres, redis: ...)``."""

    async def inside(work):
        postgres, redis = Postgres(postgres_dsn, size=2, timeout=30.0), Redis(redis_url, timeout=30.0)
        await redis.open()
        try:
            return await work(postgres, redis)
        finally:
            await redis.close()
            await postgres.close()

    return lambda work: asyncio.run(inside(work))


async def _written(postgres, _redis):
    for number, action in enumerate(("user.add", "user.lock", "ban.add")):
        await PostgresJournal(postgres).record_change(
            Change(NOW + number, "cli:root", action, "ada", None, {"n": number})
        )


async def _sealed(postgres, redis):
    await Sealer(PostgresSeals(postgres), RedisHeads(redis), audit_key(SECRET), ManualClock()).seal()


def test_entries_are_listed_the_newest_first(command, world):
    assert command("list") == (0, "none\n", "")
    world(_written)
    status, out, _ = command("list")
    assert (status, out.split()[:6]) == (0, ["ID", "TIME", "ACTOR", "ACTION", "SUBJECT", "ADDRESS"])
    assert [line.split()[3] for line in out.splitlines()[1:]] == ["ban.add", "user.lock", "user.add"]
    rows = [json.loads(line) for line in command("list", "--action", "user.*", "--json")[1].splitlines()]
    assert [(row["action"], row["after"]) for row in rows] == [("user.lock", {"n": 1}), ("user.add", {"n": 0})]
    assert len(command("list", "--limit", "1", "--json")[1].splitlines()) == 1
    assert command("list", "--actor", "eve", "--json") == (0, "", "")


def test_what_nobody_touched_is_good_and_the_head_can_be_written_down(command, world):
    status, out, _ = command("verify")
    assert (status, "nothing is sealed yet" in out) == (0, True)
    world(_written)
    world(_sealed)
    status, out, err = command("verify")
    assert (status, err) == (0, "")
    assert out.startswith("3 entries under 1 seals: unchanged; 0 not sealed yet; the newest seal is 1:")
    head = out.split("newest seal is ")[1].split()[0]
    assert command("verify", "--head", head)[0] == 0
    status, _, err = command("verify", "--head", f"2:{'00' * 32}")
    assert (status, err) == (1, "seal 2, which was remembered, is gone, and what it covered with it\n")


def test_a_changed_entry_is_named_and_the_command_fails(command, world):
    world(_written)
    world(_sealed)

    async def tamper(postgres, _redis):
        await postgres.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await postgres.execute("GRANT UPDATE ON audit_log TO CURRENT_USER")
        await postgres.execute("UPDATE audit_log SET subject = 'eve' WHERE id = 2")

    world(tamper)
    status, out, err = command("verify")
    assert (status, err) == (1, "entry 2 was changed (seal 1); it says user.lock by cli:root\n")
    assert "1 faults" in out


def test_a_redis_that_remembers_nothing_is_said(command, world):
    world(_written)
    world(_sealed)

    async def forget(_postgres, redis):
        await redis.call("FLUSHALL")

    world(forget)
    status, _, err = command("verify")
    assert (status, "Redis remembers no seal" in err) == (0, True)


@pytest.mark.parametrize("head", ["1", "x:00", "0:" + "00" * 32, "1:00"])
def test_a_head_that_is_none_is_wrong_use(command, head):
    with pytest.raises(SystemExit) as ended:
        command("verify", "--head", head)
    assert ended.value.code == 2
