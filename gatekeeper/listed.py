"""Networks that often hide who is there, as ``anomalies.listed_networks`` and its files say. Used by the supervisor,
which refuses to start on a bad list, by ``gatekeeper.app`` and by commands.
"""

from __future__ import annotations

from typing import Any, Final

from gatekeeper.config.model import Config
from gatekeeper.config.networks import BadNetworks, all_listed, files_of
from gatekeeper.config.types import Network
from gatekeeper.errors import StartupError
from gatekeeper.observe.metrics import Metrics
from gatekeeper.watch import WatchedFiles
from policies.listed import Listed

LISTED: Final = "anomalies.listed_networks"


def read_listed(config: Config) -> list[int | Network]:
    """All entries, also those in files. Raises StartupError."""
    try:
        return all_listed(config.anomalies.listed_networks)
    except BadNetworks as bad:
        raise StartupError(f"{LISTED}: {bad}") from None


def watch_listed(config: Config, listed: Listed, metrics: Metrics) -> list[WatchedFiles[Any]]:
    """What keeps ``listed`` as the files are; nothing where there are none."""
    entries = config.anomalies.listed_networks
    files = files_of(entries)
    if not files:
        return []

    def told(good: bool) -> None:  # as WatchedFiles tells it
        metrics.files(LISTED, good=good)

    return [WatchedFiles(LISTED, files, lambda: all_listed(entries), listed.replace, on_read=told)]
