"""Everything that a worker is given by the supervisor, over their socket pair. Used by both.

Secrets travel there and nowhere else: not in arguments, which every user can read, and not in the environment, which
children inherit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import orjson
from pydantic import SecretStr

from gatekeeper.config.model import Config
from gatekeeper.config.origin import UNKNOWN, Origin
from gatekeeper.store.addresses import StoreAddresses


@dataclass(frozen=True, slots=True)
class HandOver:
    """Everything a worker needs: the configuration as the supervisor understood it, where the stores are, and the
    descriptors of the sockets to serve. A worker that starts later gets the same, whatever the file says by then.
    ``listeners`` are descriptors with their position in the configuration's ``listen``, ``internal`` those of
    ``internal_listen``, ``panel`` those of ``admin.listen``; ``origin`` is where the configuration's values come from.
    """

    slot: int
    config: Config
    addresses: StoreAddresses
    listeners: tuple[tuple[int, int], ...]
    internal: tuple[int, ...] = ()
    origin: Origin = UNKNOWN
    panel: tuple[int, ...] = ()

    def dump(self) -> bytes:
        """As one line of JSON, secrets in clear."""
        fields = {
            "slot": self.slot,
            "config": self.config.model_dump(by_alias=True),
            "postgres": self.addresses.postgres,
            "redis": self.addresses.redis,
            "listeners": self.listeners,
            "internal": self.internal,
            "origin": self.origin.as_data(),
            "panel": self.panel,
        }
        return orjson.dumps(fields, default=_revealed, option=orjson.OPT_APPEND_NEWLINE)

    def dump_config(self) -> bytes:
        """The configuration and its origin alone, likewise."""
        fields = {"config": self.config.model_dump(by_alias=True), "origin": self.origin.as_data()}
        return orjson.dumps(fields, default=_revealed, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def load(cls, line: bytes) -> Self:
        """The inverse of ``dump``."""
        fields = orjson.loads(line)
        return cls(
            slot=fields["slot"],
            config=Config.model_validate(fields["config"]),
            addresses=StoreAddresses(fields["postgres"], fields["redis"]),
            listeners=tuple((descriptor, entry) for descriptor, entry in fields["listeners"]),
            internal=tuple(fields["internal"]),
            origin=Origin.from_data(fields["origin"]),
            panel=tuple(fields["panel"]),
        )


def load_config(line: bytes) -> tuple[Config, Origin]:
    """The inverse of ``HandOver.dump_config``."""
    fields = orjson.loads(line)
    return Config.model_validate(fields["config"]), Origin.from_data(fields["origin"])


def _revealed(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
