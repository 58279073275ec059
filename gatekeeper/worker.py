"""One worker process: serves its sockets until told to stop. ``supervisor`` starts ``python -m gatekeeper.worker``.

It imports everything first and then waits for its hand-over, so that this work overlaps with the start of the stores.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol, cast

import uvloop
from aiohttp import web

from gatekeeper.config.model import Config
from gatekeeper.control import Control, Keep, Order, end_with_supervisor, obey_supervisor_only
from gatekeeper.doors import Doors, Serve, panel_ways, public_ways
from gatekeeper.errors import GatekeeperError
from gatekeeper.handover import HandOver, load_config
from gatekeeper.inbound import TrustedProxies
from gatekeeper.listeners import BACKLOG, allow_quick_restart
from gatekeeper.observe import logging as lines
from gatekeeper.observe.access import AccessLog
from gatekeeper.observe.metrics import Metrics
from gatekeeper.reload_desk import ReloadDesk, ask_of_parent
from gatekeeper.server import Forward, Service, make_runner
from gatekeeper.store.addresses import StoreAddresses

NOTICE: Final = 0.5  # seconds in which readiness fails already while connections are still taken
SETTLE: Final = 2.0  # seconds for TLS handshakes that had begun
LATE: Final = 0.1  # seconds for the first request of the last connections to arrive
ABANDONED: Final = 5.0  # seconds that requests may still take once the supervisor, and the stores with it, are gone
PANEL_DRAIN: Final = 1.5  # seconds for answers under way on the panel's own listener
_MARGIN: Final = 2.0  # seconds beyond the deadline for closing what is left

_log = logging.getLogger("gatekeeper.worker")


class Gate(Protocol):
    """What the application's factory makes (``gatekeeper.app.Gatekeeper``)."""

    @property
    def app(self) -> web.Application: ...

    @property
    def internal(self) -> web.Application: ...

    @property
    def panel(self) -> web.Application | None: ...

    @property
    def forward(self) -> Forward | None: ...

    @property
    def express(self) -> Service | None: ...

    @property
    def trusted(self) -> TrustedProxies: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def reloads(self) -> ReloadDesk: ...

    def begin_drain(self) -> None: ...

    def reload(self, config: Config | None) -> None: ...


class Factory(Protocol):
    """``gatekeeper.app.build``, or a stand-in in tests."""

    def __call__(self, config: Config, addresses: StoreAddresses, *, access: AccessLog | None) -> Awaitable[Gate]: ...


class Worker:
    """Serves one slot's sockets with one application."""

    def __init__(self, hand_over: HandOver, control: Control) -> None:
        self._config = hand_over.config
        self._addresses = hand_over.addresses
        self._sockets = [(socket.socket(fileno=descriptor), entry) for descriptor, entry in hand_over.listeners]
        self._internal = [socket.socket(fileno=descriptor) for descriptor in hand_over.internal]
        self._panel = [socket.socket(fileno=descriptor) for descriptor in hand_over.panel]
        self._origin = hand_over.origin
        self._control = control
        self._terminated = asyncio.Event()

    async def run(self, build: Factory) -> int:
        """Start, serve, drain; the exit status."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated.set)
        runners: list[web.AppRunner] = []
        inside: web.AppRunner | None = None
        doors: Doors | None = None
        try:
            logs = self._config.logs
            access = AccessLog.standard(prefix=self._config.prefix, form=logs.access, sample=logs.access_sample)
            gate = await build(self._config, self._addresses, access=access)
            gate.reloads.request, gate.reloads.origin = ask_of_parent(), self._origin
            runners = self._runners(gate)
            for runner in runners:
                await runner.setup()
            doors = self._doors(gate, runners)
            inside = await self._serve_inside(gate)
        except (GatekeeperError, OSError) as fault:
            if doors is not None:
                doors.stop()
                await doors.close()
            for started in filter(None, (inside, *reversed(runners))):
                await started.cleanup()
            self._control.say_failed(str(fault))
            return 1
        _spare_the_collector()
        self._control.say_ready()
        await self._drain(gate, runners, doors, await self._until_told_to_stop(gate, doors))
        await inside.cleanup()
        return 0

    async def _serve_inside(self, gate: Gate) -> web.AppRunner:
        """Metrics and health on the internal listener, to the very end of the drain."""
        runner = make_runner(gate.internal, timeouts=self._config.timeouts, sizes=self._config.sizes)
        await runner.setup()
        for one in self._internal:
            allow_quick_restart(one)
            await web.SockSite(runner, one, backlog=BACKLOG).start()
        return runner

    def _doors(self, gate: Gate, runners: Sequence[web.AppRunner]) -> Doors:
        config, serves = self._config, [_server_of(runner) for runner in runners]
        ways = public_ways(config, self._sockets, serves[0])
        ways += panel_ways(config, self._panel, serves[-1])
        return Doors(config, ways, gate.trusted, gate.metrics).open()

    def _runners(self, gate: Gate) -> list[web.AppRunner]:
        """For the public listeners, and for the panel's own where it has one."""
        config = self._config
        runner = make_runner(
            gate.app,
            timeouts=config.timeouts,
            sizes=config.sizes,
            prefix=config.prefix,
            forward=gate.forward,
            express=gate.express,
        )
        if gate.panel is None:
            return [runner]
        brief = config.timeouts.model_copy(update={"drain": min(config.timeouts.drain, PANEL_DRAIN)})
        return [runner, make_runner(gate.panel, timeouts=brief, sizes=config.sizes, prefix=config.prefix)]

    async def _until_told_to_stop(self, gate: Gate, doors: Doors) -> Order:
        """Obey orders until one ends this process."""
        while True:
            match await self._told():
                case Keep(faults):
                    gate.reload(None)
                    gate.reloads.faults = faults
                case Order() as order:
                    return order
                case line:
                    await self._reload(gate, line)
            await doors.read_again()  # SIGHUP means the files that the configuration names too

    async def _reload(self, gate: Gate, line: bytes) -> None:
        try:
            config, origin = await asyncio.to_thread(load_config, line)
            gate.reload(config)
            gate.reloads.origin = origin
        except (GatekeeperError, ValueError) as fault:
            gate.reloads.faults = (str(fault),)
            _log.error("the new configuration cannot be used, the old one stays in force: %s", fault)

    async def _told(self) -> Order | Keep | bytes:
        """By the supervisor, by its end, or by a SIGTERM to this process alone."""
        order = asyncio.ensure_future(self._control.order())
        terminated = asyncio.ensure_future(self._terminated.wait())
        await asyncio.wait({order, terminated}, return_when=asyncio.FIRST_COMPLETED)
        told = order.result() if order.done() else Order.DRAIN
        for task in (order, terminated):
            task.cancel()
        return told

    async def _drain(self, gate: Gate, runners: Sequence[web.AppRunner], doors: Doors, order: Order) -> None:
        """Fail readiness, stop accepting, let requests finish, close what is idle and at last what is not."""
        gate.begin_drain()
        limit = self._config.timeouts.drain
        if order is Order.ABANDONED:
            limit = min(limit, ABANDONED)
            _log.error("the supervisor is gone; ending")
        else:
            await asyncio.sleep(NOTICE)
        doors.stop()
        if order is not Order.ABANDONED:
            await asyncio.sleep(LATE)
        await doors.close(SETTLE)
        try:
            async with asyncio.timeout(limit + _MARGIN):
                for runner in reversed(runners):  # the public one's end is that of the stores
                    await runner.cleanup()
        except TimeoutError:
            _log.warning("requests were still in flight after %g s and have been cut off", limit)


def _server_of(runner: web.AppRunner) -> Serve:
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")
    return cast("Serve", runner.server)


def _spare_the_collector() -> None:
    """What the start made stays for good and need not be looked at again; requests leave few cycles behind.

    Measured: 11 % of the CPU time a forwarded request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _serve(control_descriptor: int, build: Factory) -> int:
    control = await Control.open(control_descriptor)
    try:
        line = await control.hand_over()
        if line is None:
            return 0
        hand_over = HandOver.load(line)
        logs = hand_over.config.logs
        lines.configure(logs.format, logs.level)
        try:
            return await Worker(hand_over, control).run(build)
        except Exception as fault:  # noqa: BLE001  # the supervisor is told, whatever it was
            _log.exception("worker %d failed", hand_over.slot)
            control.say_failed(f"worker {hand_over.slot}: unexpected {type(fault).__name__}; the log says more")
            return 3
    finally:
        await control.close()


def _imported(dotted: str) -> Factory:
    module, _, name = dotted.partition(":")
    return cast("Factory", getattr(importlib.import_module(module), name))


def main() -> int:
    """The process, from its arguments to its exit status."""
    obey_supervisor_only()
    parser = argparse.ArgumentParser(prog="gatekeeper.worker")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--app", default="gatekeeper.app:build")
    given = parser.parse_args()
    end_with_supervisor(given.control, ABANDONED + _MARGIN + 1)
    build = _imported(given.app)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        status = loop.run(_serve(given.control, build))
    lines.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
