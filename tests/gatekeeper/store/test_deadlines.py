"""How long a question to a store may take is what the configuration says."""

from __future__ import annotations

from pathlib import Path

import pytest
import servers
from factories import NOW, SECRET

from gatekeeper.app.parts import open_stores
from gatekeeper.clock import ManualClock
from gatekeeper.config.model import Config
from gatekeeper.errors import StoreUnavailable


async def test_a_store_that_does_not_answer_is_given_up_after_the_configured_time(
    postgres_dsn: str, valkey: servers.Server, tmp_path: Path
) -> None:
    storage = {"data_dir": tmp_path, "secret": SECRET, "postgres_timeout": "20s", "redis_timeout": "1.5s"}
    config = Config.model_validate({"public_url": "http://localhost", "storage": storage})
    stores = open_stores(config, postgres_dsn, valkey.url, ManualClock(NOW))
    try:
        (told,) = await stores.postgres.fetch("SHOW statement_timeout")
        assert told == {"statement_timeout": "18s"}, "the server gives up a tenth earlier"
        await stores.redis.open()
        valkey.pause()
        with pytest.raises(StoreUnavailable, match=r"no answer within 1\.5 s"):
            await stores.redis.call("PING")
    finally:
        valkey.resume()
        await stores.redis.close()
        await stores.postgres.close()
