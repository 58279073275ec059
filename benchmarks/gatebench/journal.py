"""Part `journal`: the login log with ten million rows: pages, charts, an export, and how fast attempts are taken in.

A PostgreSQL of its own, as the gate starts it. What is timed are the gate's own reads and its own spool.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from gatebench.journal_rows import COUNTRIES, filled_year
from gatebench.processes import BenchError, rss
from gatebench.report import Goal, Part
from gatebench.stage import Stage

_TRIES = 10
_PAGE = 50
_RATE = 5_000
_SECONDS = 10
_TICK = 0.01
_MIB = 1 << 20
_EXPORTED = timedelta(days=60)

Read = Callable[[int], Awaitable[Any]]


def journal(stage: Stage) -> Part:
    """Fill, read, export, take in."""
    with filled_year(stage) as filled:
        return measured(filled.folder, filled.stores.postgres, filled.rows, filled.until)


def measured(folder: Path, dsn: str, rows: int, until: datetime) -> Part:
    """Over a filled database."""
    part = Part(f"Login log with {rows:,} rows", ["what", "median ms", "worst ms"])
    reads = asyncio.run(_reads(dsn, until))
    for name, times in reads.items():
        part.row(name, f"{median(times):.1f}", f"{max(times):.1f}")
    export, taken = _export(folder, dsn, until), asyncio.run(_take_in(folder, dsn))
    part.data = {"reads": reads, "export": export, "intake": taken}
    part.notes = [f"{_TRIES} reads each, every one with other values; the first of each kind finds a cold cache."]
    part.notes.append(
        f"Export: {export['rows']:,} rows in {export['seconds']:.0f} s ({export['rows'] / export['seconds']:,.0f}/s);"
        f" the process grew by {export['grown_mib']:.1f} MiB between the first and the last tenth."
    )
    part.notes.append(
        f"Intake: {taken['sent']:,} attempts at {_RATE:,}/s, each on the disk before it counts as kept (p50"
        f" {taken['p50_ms']:.1f} ms, p99 {taken['p99_ms']:.1f} ms): {taken['rows']:,} rows, all of them"
        f" {taken['behind_s']:.1f} s after the last attempt."
    )
    pages = [max(times) for name, times in reads.items() if name.startswith("page")]
    charts = [max(times) for name, times in reads.items() if name.startswith("chart")]
    part.goals = [
        Goal("login log, slowest page of 50", max(pages), "<=", 50, " ms"),
        Goal("login log, slowest chart", max(charts), "<=", 100, " ms"),
        Goal("login log, export's memory", export["grown_mib"], "<=", 8, " MiB"),
        Goal("login log, attempts lost", taken["sent"] - taken["rows"], "<=", 0),
        Goal("login log, 50,000 attempts in 10 s are all in the database after", taken["all_s"], "<=", 11, " s"),
    ]
    return part


async def _reads(dsn: str, until: datetime) -> dict[str, list[float]]:
    from gatekeeper.store.login_reader import PostgresLoginReader

    async with _database(dsn, 60.0) as postgres:
        reader = PostgresLoginReader(postgres)
        found: dict[str, list[float]] = {}
        for name, read in {**_pages(reader, until), **_charts(reader, until)}.items():
            found[name] = []
            for number in range(_TRIES):
                begun = perf_counter()
                await read(number)
                found[name].append((perf_counter() - begun) * 1000)
        return found


def _pages(reader: Any, until: datetime) -> dict[str, Read]:
    from uuid import UUID

    from gatekeeper.journal.attempts import Result
    from gatekeeper.journal.questions import LoginFilter, Seen
    from policies.model import Reason

    now, span = until.timestamp(), 365 * 86_400.0

    def page(**wanted: Any) -> Awaitable[Any]:
        after = wanted.pop("after", None)
        return reader.page(LoginFilter(**wanted), count=_PAGE, after=after)

    def deep(number: int) -> Awaitable[Any]:
        return page(after=Seen(now - span * (number + 0.5) / _TRIES, UUID(int=1 << 127)))

    return {
        "page, newest": lambda _: page(),
        "page, deep in the year by keyset": deep,
        "page, one account": lambda n: page(user_id=f"{n * 137:032x}"),
        "page, one e-mail": lambda n: page(email=f"user{n * 911}@example.com"),
        "page, one address": lambda n: page(network=ip_network(ip_address("10.0.0.0") + n * 97)),
        "page, one /24": lambda n: page(network=ip_network(f"10.0.{n}.0/24")),
        "page, one country": lambda n: page(country=COUNTRIES[n]),
        "page, one network (ASN)": lambda n: page(asn=64500 + n * 31),
        "page, failures": lambda _: page(result=Result.FAILURE),
        "page, one reason and country": lambda n: page(reason=Reason.RATE_LIMITED, country=COUNTRIES[n + 5]),
        "page, one signal": lambda n: page(signal=("new_device", "new_country", "odd_hour")[n % 3]),
        "page, risk of 80 and more": lambda _: page(risk=80),
        "page, failures of a month from one country": lambda n: page(
            result=Result.FAILURE,
            country=COUNTRIES[n],
            since=now - (n + 2) * 30 * 86_400,
            until=now - (n + 1) * 30 * 86_400,
        ),
        "page, nothing fits": lambda n: page(email=f"nobody{n}@example.com", result=Result.SUCCESS),
    }


def _charts(reader: Any, until: datetime) -> dict[str, Read]:
    from gatekeeper.journal.questions import CountFilter, Dimension, Grain

    now, day = until.timestamp(), 86_400.0

    def chart(grain: Any, days: float, *by: Any, **wanted: Any) -> Awaitable[Any]:
        return reader.counts(grain, CountFilter(now - days * day, now, **wanted), by)

    return {
        "chart, a day by minute and result": lambda _: chart(Grain.MINUTE, 1, Dimension.RESULT),
        "chart, a week by hour and country": lambda _: chart(Grain.HOUR, 7, Dimension.COUNTRY),
        "chart, a month by hour and result": lambda _: chart(Grain.HOUR, 30, Dimension.RESULT),
        "chart, a year by day and result": lambda _: chart(Grain.DAY, 365, Dimension.RESULT),
        "chart, a year by day and country": lambda _: chart(Grain.DAY, 365, Dimension.COUNTRY),
        "chart, a quarter by day, country and device": lambda _: chart(
            Grain.DAY, 90, Dimension.COUNTRY, Dimension.DEVICE
        ),
        "chart, a year by day and reason, one country": lambda n: chart(
            Grain.DAY, 365, Dimension.REASON, country=COUNTRIES[n]
        ),
    }


def _export(folder: Path, dsn: str, until: datetime) -> dict[str, Any]:
    """``gatekeeper logs export`` of two months into a pipe, and the memory of its process meanwhile."""
    config = folder / "export.json"
    config.write_text(
        json.dumps({"storage": {"postgres": dsn, "redis": "redis://127.0.0.1:1", "data_dir": str(folder)}})
    )
    since = (until - _EXPORTED).strftime("%Y-%m-%d")
    command = [sys.executable, "-m", "gatekeeper", "--config", str(config), "logs", "export", "--since", since]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[1:2])}
    sizes, lines, begun = [], 0, perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdout is not None
        while portion := child.stdout.read(_MIB):
            lines += portion.count(b"\n")
            sizes.append(rss(child.pid))
    if child.returncode or not sizes:
        raise BenchError(f"logs export ended with {child.returncode}")
    tenth = max(1, len(sizes) // 10)
    grown = (max(sizes[-tenth:]) - max(sizes[:tenth])) / _MIB
    return {"rows": lines, "seconds": perf_counter() - begun, "grown_mib": grown, "peak_mib": max(sizes) / _MIB}


async def _take_in(folder: Path, dsn: str) -> dict[str, Any]:
    """An open loop of attempts against recorder, spool and drain, beside the ten million rows."""
    from gatekeeper.journal.caps import FloodCaps
    from gatekeeper.journal.drain import Drain
    from gatekeeper.journal.recorder import LoginRecorder
    from gatekeeper.journal.spool import Spool
    from gatekeeper.store.login_rows import PostgresLoginLog

    async with _database(dsn, 30.0) as postgres:
        store = PostgresLoginLog(postgres)
        spool = Spool(folder / "spool", sync=True, most=1 << 30)
        drain = Drain(spool, store, folder / "rejected.jsonl")
        recorder = LoginRecorder(spool, store, FloodCaps(session=10**7, address=10**7, minute=10**7))
        draining = asyncio.create_task(drain.run())
        took: list[float] = []
        begun = perf_counter()
        waiting = []
        for tick in range(int(_SECONDS / _TICK)):
            await asyncio.sleep(max(0.0, begun + tick * _TICK - perf_counter()))
            waiting += [asyncio.create_task(_one(recorder, took)) for _ in range(int(_RATE * _TICK))]
        await asyncio.gather(*waiting)
        sent_in = perf_counter() - begun
        await drain.settle()
        behind = perf_counter() - begun - sent_in
        row = await postgres.fetch_one("SELECT count(*) AS n FROM login_logs WHERE request_id = 'intake'")
        draining.cancel()
        await asyncio.wait([draining])
        await spool.close()
    took.sort()
    return {
        "sent": len(took),
        "rows": row["n"] if row else 0,
        "all_s": sent_in + behind,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[len(took) * 99 // 100] * 1000,
        "behind_s": behind,
    }


async def _one(recorder: Any, took: list[float]) -> None:
    from gatekeeper.clock import SystemClock
    from gatekeeper.journal.attempts import Attempt, Result
    from policies.model import Reason

    number = len(took)
    attempt = Attempt(
        time=SystemClock.now(),
        email=f"user{number}@example.com",
        user_id=None,
        result=Result.FAILURE,
        reason=Reason.INVALID_CREDENTIALS,
        method="password",
        address=ip_address("10.0.0.0") + number,
        country=COUNTRIES[number % len(COUNTRIES)],
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
        session=None,
        request_id="intake",
        browser="Chrome",
        os="Linux",
        device_kind="desktop",
    )
    begun = perf_counter()
    await recorder.record_attempt(attempt)
    took.append(perf_counter() - begun)


@contextlib.asynccontextmanager
async def _database(dsn: str, timeout: float) -> AsyncIterator[Any]:
    from gatekeeper.store.postgres import Postgres

    postgres = Postgres(dsn, timeout=timeout)
    try:
        yield postgres
    finally:
        await postgres.close()
