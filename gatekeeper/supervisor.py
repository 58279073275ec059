"""The parent process: brings up the stores, the workers and the example upstream, and takes them down again.

``serve`` is called by ``gatekeeper serve``. Everything that can be wrong is found, and said in one line, before
anybody can connect: sockets are bound first and listened on last. No child outlives this process for long, even if it
is killed: workers see their socket pair close, the embedded servers are ended by the kernel or found by the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Final, Self

from gatekeeper.bootstrap import prepare
from gatekeeper.children import Child, Keeper
from gatekeeper.config.forms import is_loopback, target_place
from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.model import Config
from gatekeeper.config.origin import Origin
from gatekeeper.config.processes import worker_count
from gatekeeper.control import RELOAD, Keep
from gatekeeper.doors import check_files
from gatekeeper.errors import StartupError
from gatekeeper.handover import HandOver
from gatekeeper.listed import read_listed
from gatekeeper.listeners import ListenAddress, Listeners, bind_one
from gatekeeper.observe import folder
from gatekeeper.observe import logging as lines
from gatekeeper.reload import Changed, ConfigWatch, Refused, in_words
from gatekeeper.store.addresses import StoreAddresses
from gatekeeper.store.embedded import Embedded, embedded_servers
from gatekeeper.store.migrate import migrate

APP: Final = "gatekeeper.app:build"
EMBEDDED: Final = "embedded"
DRAIN_MARGIN: Final = 5.0  # seconds beyond timeouts.drain before workers are killed
LOOK_EVERY: Final = 0.5  # seconds between two looks at the embedded servers
_RESTARTS: Final = 5  # of one embedded server within ...
_RESTARTS_WITHIN: Final = 60.0  # ... seconds; more is a fault for an operator
_CONNECTIONS_A_WORKER: Final = 4  # of PostgreSQL
_OTHER_CONNECTIONS: Final = 40  # commands, migrations, a person with psql

Waitable = asyncio.Future[Any]

_log = logging.getLogger("gatekeeper.supervisor")


def serve(loaded: LoadedConfig, *, example_upstream: bool, app: str = APP) -> int:
    """Run the gate until SIGTERM or SIGINT; the exit status. Raises GatekeeperError for what is to be said in one line.

    ``app`` is the dotted name of the workers' application factory.
    """
    lines.configure(loaded.config.logs.format, loaded.config.logs.level)
    try:
        with StopSignals.caught() as signals:
            Supervisor(loaded, signals, app).run(example_upstream=example_upstream)
    except Stopped as stopped:
        return 128 + stopped.number
    finally:
        lines.close()  # what was logged stands above what the caller says
    return 0


class Stopped(BaseException):
    """A signal came while nothing needed to be finished. ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@dataclass(slots=True)
class StopSignals:
    """SIGTERM and SIGINT: raised as ``Stopped`` where the code waits, reported where requests are to be finished."""

    _report: Callable[[], None] | None = None

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator[Self]:
        """In force within the block. SIGHUP does nothing until all workers serve; then it reloads."""
        signals = cls()
        wanted: dict[int, Handler] = {
            signal.SIGTERM: signals._came,
            signal.SIGINT: signals._came,
            signal.SIGHUP: signal.SIG_IGN,
        }
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield signals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def reported(self, report: Callable[[], None]) -> Iterator[None]:
        """Call ``report`` for each signal, between two steps of the main thread, instead of raising."""
        before, self._report = self._report, report
        try:
            yield
        finally:
            self._report = before

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise ``Stopped`` again, around something that blocks."""
        before, self._report = self._report, None
        try:
            yield
        finally:
            self._report = before

    def _came(self, number: int, _frame: FrameType | None) -> None:
        if self._report is None:
            raise Stopped(number)
        self._report()


@dataclass(slots=True)
class Running:
    """What has been started, for ``Supervisor`` to look after."""

    listeners: Listeners
    internal: Listeners
    panel: Listeners
    workers: list[Keeper]
    example: Keeper | None
    restarts: dict[str, deque[float]] = field(default_factory=dict)

    @property
    def children(self) -> list[Keeper]:
        """Every process of ours but the embedded servers."""
        return [*self.workers, *([self.example] if self.example else [])]

    def hand_over(self, slot: int, config: Config, addresses: StoreAddresses, origin: Origin) -> HandOver:
        """What the worker of a slot needs."""
        bound = self.listeners
        sockets = tuple((one.fileno(), entry) for one, entry in zip(bound.by_slot[slot], bound.entries, strict=True))
        inside = tuple(one.fileno() for one in self.internal.by_slot[slot])
        panel = tuple(one.fileno() for one in self.panel.by_slot[slot])
        return HandOver(slot, config, addresses, sockets, inside, origin, panel)

    def kill(self) -> None:
        """End all of them at once."""
        for keeper in self.children:
            keeper.child.kill()

    def close(self) -> None:
        """The same, after the event loop."""
        for keeper in self.children:
            keeper.child.close()


class Supervisor:
    """One start of the gate, from bound sockets to an orderly end."""

    def __init__(self, loaded: LoadedConfig, signals: StopSignals, app: str = APP) -> None:
        self._config = loaded.config
        self._origin = Origin.of(loaded)
        self._watch = ConfigWatch(loaded, os.environ)
        self._signals = signals
        self._app = app

    def run(self, *, example_upstream: bool) -> None:
        """Start everything, stay until told to stop, end everything. Raises GatekeeperError or Stopped."""
        storage, count = self._config.storage, worker_count(self._config.workers)
        postgres, redis = storage.postgres.get_secret_value(), storage.redis.get_secret_value()
        with ExitStack() as stack:
            running = self._spawn(count, stack, example_upstream=example_upstream)
            servers = stack.enter_context(
                embedded_servers(
                    storage.data_dir,
                    postgres=postgres == EMBEDDED,
                    redis=redis == EMBEDDED,
                    connections=count * _CONNECTIONS_A_WORKER + _OTHER_CONNECTIONS,
                )
            )
            addresses = StoreAddresses(
                servers.addresses.postgres or postgres,
                servers.addresses.redis or redis,
            )
            for name in asyncio.run(migrate(addresses.postgres)):
                _log.info("migrated the database: %s", name)
            prepared = prepare(self._config, addresses.postgres)
            asyncio.run(self._attend(running, servers, addresses, prepared.setup_token))

    def _spawn(self, count: int, stack: ExitStack, *, example_upstream: bool) -> Running:
        """Bind every socket, then start the processes: they import their code while the stores start, and wait for
        their hand-over.
        """
        config = self._config
        check_files(config)
        read_listed(config)
        listeners = stack.enter_context(closing(Listeners.bind([one.address for one in config.listeners], count)))
        inside = [config.internal_listen] if config.internal_listen else []
        internal = stack.enter_context(closing(Listeners.bind(inside, count, key="internal_listen")))
        own = [] if config.panel_listener is None else [config.panel_listener.address]
        panel = stack.enter_context(closing(Listeners.bind(own, count, key="admin.listen")))
        example = stack.enter_context(bind_one(example_address(config))) if example_upstream else None
        metrics = stack.enter_context(folder.metrics_folder())
        running = Running(listeners, internal, panel, [], None)
        stack.callback(running.close)

        def worker(slot: int) -> Child:
            sockets = [*listeners.by_slot[slot], *internal.by_slot[slot], *panel.by_slot[slot]]
            return Child.spawn("gatekeeper.worker", ["--app", self._app], sockets, {folder.VARIABLE: str(metrics)})

        def upstream(listener: socket.socket) -> Child:
            return Child.spawn("gatekeeper.example_upstream", ["--listener", str(listener.fileno())], [listener])

        on_end = partial(folder.forget_gauges, metrics)
        for slot in range(count):
            running.workers.append(Keeper(f"worker {slot}", partial(worker, slot), on_end=on_end))
        if example is not None:
            running.example = Keeper("example upstream", partial(upstream, example))
        return running

    async def _attend(
        self, running: Running, servers: Embedded, addresses: StoreAddresses, setup_token: str | None
    ) -> None:
        loop = asyncio.get_running_loop()
        told = asyncio.Queue[None]()

        def tell() -> None:
            loop.call_soon_threadsafe(told.put_nowait, None)

        keeping = self._keep(running, addresses)
        tasks = [task for task, _ in keeping]
        ready: Waitable = asyncio.gather(*(future for _, future in keeping))
        stop: Waitable = asyncio.ensure_future(told.get())
        stores: Waitable = asyncio.ensure_future(self._look_after(servers, running))
        follow: Waitable = asyncio.ensure_future(self._follow(running, addresses, ready))
        loop.add_signal_handler(signal.SIGHUP, self._watch.ask)
        with self._signals.reported(tell):
            try:
                await first_of(ready, stop, stores)
                if ready.done():
                    ready.result()  # a worker that cannot start ends the start
                    announce(self._config, setup_token)
                    await first_of(stop, stores)
                ready.cancel()
                await self._drain(running, tasks, told)
                if stores.done():
                    stores.result()
            finally:
                running.kill()
                for task in (stop, stores, follow, *tasks):
                    task.cancel()
                await asyncio.gather(stop, stores, follow, *tasks, return_exceptions=True)
                loop.remove_signal_handler(signal.SIGHUP)
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _keep(
        self, running: Running, addresses: StoreAddresses
    ) -> list[tuple[asyncio.Task[None], asyncio.Future[None]]]:
        """A task and a future of readiness for each child."""
        loop = asyncio.get_running_loop()
        keeping = []
        for slot, keeper in enumerate(running.children):
            hand_over = b""
            if keeper is not running.example:
                hand_over = running.hand_over(slot, self._config, addresses, self._origin).dump()
            ready: asyncio.Future[None] = loop.create_future()
            keeping.append((asyncio.create_task(keeper.keep(hand_over, ready)), ready))
        return keeping

    async def _follow(self, running: Running, addresses: StoreAddresses, ready: Waitable) -> None:
        """Hand changes of the configuration to the workers, once all of them serve."""
        await asyncio.wait({ready})
        while True:
            change = await self._watch.next()
            level = logging.INFO if isinstance(change, Changed) else logging.ERROR
            for line in in_words(change):
                _log.log(level, "%s", line)
            if isinstance(change, Refused):
                for keeper in running.workers:
                    keeper.tell(Keep(change.faults).dump())
                continue
            self._config, self._origin = change.config, change.origin
            lines.set_level(change.config.logs.level)
            for slot, keeper in enumerate(running.workers):
                hand_over = running.hand_over(slot, change.config, addresses, change.origin)
                keeper.reload(hand_over.dump(), RELOAD + hand_over.dump_config())

    async def _look_after(self, servers: Embedded, running: Running) -> None:
        """Start embedded servers that ended again. Raises StartupError when one does not stay up; returns when
        told to stop meanwhile.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for ended in servers.poll():
                _log.error("%s; it is started again", ended)
                times = running.restarts.setdefault(ended.name, deque(maxlen=_RESTARTS))
                if len(times) == _RESTARTS and time.monotonic() - times[0] < _RESTARTS_WITHIN:
                    raise StartupError(f"{ended}; it was started again {_RESTARTS} times in a minute")
                times.append(time.monotonic())
                try:
                    with self._signals.raised():  # this blocks: servers end with the thread that started them
                        servers.restart(ended.name)
                except Stopped:
                    return

    async def _drain(self, running: Running, tasks: list[asyncio.Task[None]], told: asyncio.Queue[None]) -> None:
        """Let the workers finish; a second signal, or the deadline, cuts them off."""
        _log.info("stopping")
        for keeper in running.workers:
            keeper.drain()
        for bound in (running.listeners, running.internal, running.panel):
            bound.close()  # the workers' copies are the last: with them the ports are free
        count, limit = len(running.workers), self._config.timeouts.drain + DRAIN_MARGIN
        workers: Waitable = asyncio.ensure_future(asyncio.wait(tasks[:count]))
        again: Waitable = asyncio.ensure_future(told.get())
        try:
            await first_of(workers, again, timeout=limit)
            if not workers.done():
                _log.warning("stopping at once: %s", "told again" if again.done() else f"{limit:g} s are over")
            elif running.example is not None:
                running.example.drain()
                await first_of(tasks[count], again, timeout=DRAIN_MARGIN)
        finally:
            for task in (workers, again):
                task.cancel()


async def first_of(*several: Waitable, timeout: float | None = None) -> None:
    """Until one of them is done, for at most ``timeout`` seconds."""
    await asyncio.wait(several, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def example_address(config: Config) -> ListenAddress:
    """Where the example upstream listens: the first target of the first upstream. Raises StartupError."""
    name, upstream = next(iter(config.upstreams.items()))
    target = upstream.addresses[0]
    key = f"upstreams.{name}.targets[0]"
    place = target_place(target)
    if place is None or not target.startswith("http:") or not is_loopback(place[0]):
        raise StartupError(f"{key}: the example upstream serves http on this machine only, not {target}")
    return ListenAddress(*place, key=key)


def announce(config: Config, setup_token: str | None) -> None:
    """Say on standard output that the gate is ready, where, and what to try."""
    url, own, panel = config.public_url, f"{config.public_url}{config.prefix}", f"{config.panel_url}{config.prefix}"
    said = [f"Ready: {url}", f"Panel: {panel}/admin"]
    if setup_token is not None:
        said.append(f"First admin (once, 1 h): {panel}/setup/{setup_token}")
    account = """'{"email":"ada@example.com","password":"correct horse battery 9"}'"""
    calls = [
        f"curl -H 'Content-Type: application/json' -d {account} {own}/auth/{call}" for call in ("register", "login")
    ]
    if not config.open_registration:
        calls[0] = f"curl -i {url}/"
    said += [*calls, f"curl -H 'Authorization: Bearer ACCESS_TOKEN' {url}/hello"]
    with contextlib.suppress(OSError):  # nobody reads
        sys.stdout.write("\n".join(said) + "\n")
        sys.stdout.flush()
