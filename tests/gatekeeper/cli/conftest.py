"""``gatekeeper`` as it is called at a shell, over real stores and with an archive, for tests of what it keeps."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from types import SimpleNamespace

import pytest
from factories import SECRET

from gatekeeper.cli import main
from gatekeeper.journal.archive import Archive
from gatekeeper.store.login_rows import PostgresLoginLog
from gatekeeper.store.postgres import Postgres


class Command:
    """Runs ``gatekeeper ...`` and keeps what it says."""

    def __init__(self, config, dsn, folder, capsysbinary, monkeypatch):
        self.config, self._dsn, self.archive = config, dsn, Archive(folder)
        self._capture, self._patch = capsysbinary, monkeypatch

    def __call__(self, *arguments: str, stdin: str = "") -> SimpleNamespace:
        self._patch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main(["--config", str(self.config), *arguments])
        printed = self._capture.readouterr()
        return SimpleNamespace(status=status, out=printed.out.decode(), err=printed.err.decode())

    def exported(self, *filters: str) -> list[dict]:
        answer = self("logs", "export", *filters)
        assert (answer.status, answer.err) == (0, "")
        return [json.loads(line) for line in answer.out.splitlines()]

    def keep(self, *attempts):
        async def keep() -> None:
            postgres = Postgres(self._dsn, size=1, timeout=30.0)
            for one in attempts:
                await PostgresLoginLog(postgres).record_attempt(one)
            await postgres.close()

        asyncio.run(keep())

    def rows(self, sql: str) -> list[dict]:
        async def fetch() -> list[dict]:
            postgres = Postgres(self._dsn, size=1, timeout=30.0)
            try:
                return await postgres.fetch(sql)
            finally:
                await postgres.close()

        return asyncio.run(fetch())


@pytest.fixture
def command(postgres_dsn, redis_url, tmp_path, capsysbinary, monkeypatch):
    config = tmp_path / "config.yaml"
    storage = {"postgres": postgres_dsn, "redis": redis_url, "secret": SECRET, "data_dir": str(tmp_path / "data")}
    folder = tmp_path / "archive"
    config.write_text(json.dumps({"storage": storage, "logs": {"archive_to": str(folder)}}))
    return Command(config, postgres_dsn, folder, capsysbinary, monkeypatch)
