"""What is usual and what failed lately, in memory: the stores of the signals while a story is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gatekeeper.identity.signals import Failure
from policies.anomalies import Lately
from policies.familiar import Familiar


class ToldProfiles:
    """Implements ``identity.signals.Profiles``."""

    def __init__(self) -> None:
        self.known: dict[str, Familiar] = {}

    async def read(self, user: str) -> Familiar:
        return self.known.get(user, Familiar())

    async def learn(self, user: str, change: Callable[[Familiar], Familiar]) -> None:
        self.known[user] = change(await self.read(user))


class ToldFailures:
    """Implements ``identity.signals.Failures``; ``window`` in seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._failed: deque[Failure] = deque()

    async def failed(self, failure: Failure) -> Lately:
        self._failed.append(failure)
        return self._counted(failure)

    async def succeeded(self, failure: Failure) -> Lately:
        mine = [
            one
            for one in self._failed
            if one.account == failure.account and (one.place == failure.place or one.client == failure.client)
        ]
        for one in mine:
            self._failed.remove(one)
        return self._counted(failure)

    def of_address(self, place: str, now: float, within: float) -> int:
        """How many failed there in the last ``within`` seconds, at most the window's."""
        return sum(one.place == place and one.now > now - within for one in self._failed)

    def of_account(self, account: str, now: float) -> int:
        """How many failed on it within the window."""
        return sum(one.account == account and one.now > now - self._window for one in self._failed)

    def _counted(self, now: Failure) -> Lately:
        while self._failed and self._failed[0].now < now.now - self._window:
            self._failed.popleft()
        client = [one for one in self._failed if now.client is not None and one.client == now.client]
        account = [one for one in self._failed if one.account == now.account]
        return Lately(
            len({one.account for one in self._failed if one.place == now.place}),
            len({one.account for one in client}),
            len({one.place for one in client}),
            len(account),
            sum(one.code for one in account),
        )
