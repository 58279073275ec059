"""Data folders for the tests of the embedded servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from embedding import copied
from servers import short_folder

from gatekeeper.store import embedded
from gatekeeper.store.embedded import embedded_servers


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed processes lose nothing by it; only a machine that fails would, and the disk is shared."""
    monkeypatch.setitem(embedded.postgres._SETTINGS, "fsync", "off")


@pytest.fixture
def new_data_dir(short_tmp: Path) -> Path:
    """Not there yet."""
    return short_tmp / "data"


@pytest.fixture(scope="session")
def model() -> Iterator[Path]:
    """A folder that both servers have been started on once."""
    with short_folder() as folder:
        with embedded_servers(folder / "data", postgres=True, redis=True):
            pass
        yield folder / "data"


@pytest.fixture
def data_dir(model: Path, new_data_dir: Path) -> Path:
    """A copy of the model, as it is quicker than initdb."""
    return copied(model, new_data_dir)
