"""Metrics in Prometheus' form, right across workers. Written by the edge and the services, read at ``P/metrics``.

On the request path a metric is an addition in a dict; twice a second the sums go into prometheus_client, whose
multi-process mode (a folder that the supervisor names) adds up the workers. Its own calls cost 1.5 to 4 us each.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gatekeeper import __version__
from gatekeeper.observe.pace import Pace
from gatekeeper.observe.rule_hits import RuleHits

FLUSH_EVERY: Final = 0.5  # seconds
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PER_SECOND: Final = "gatekeeper_requests_per_second"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Labels = tuple[str, ...]


class _Sums:
    """Counts waiting for the next flush into one Counter."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.waiting: dict[_Labels, int] = defaultdict(int)
        self.followers: list[Callable[[Mapping[_Labels, int]], None]] = []

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, defaultdict(int)
        for follow in self.followers:
            follow(waiting)
        for labels, count in waiting.items():
            self._counter.labels(*labels).inc(count)


class _Times:
    """Observations waiting for the next flush into one Histogram."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self.waiting: dict[_Labels, list[float]] = defaultdict(list)

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, defaultdict(list)
        for labels, seconds in waiting.items():
            child = self._histogram.labels(*labels) if labels else self._histogram
            counts: dict[int, int] = defaultdict(int)
            for one in seconds:
                counts[bisect_left(BUCKETS, one)] += 1
            # observe() would do the same a value at a time; tests/gatekeeper/observe/test_metrics.py holds them equal.
            for bucket, count in counts.items():
                child._buckets[bucket].inc(count)  # noqa: SLF001
            child._sum.inc(sum(seconds))  # noqa: SLF001


class Metrics:
    """The gate's metrics; the names are those of the contract."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._sums: list[_Sums] = []
        self._times: list[_Times] = []
        self._requests = self._counter("requests", "Requests answered.", "surface", "upstream", "code")
        self._request_seconds = self._histogram("request_seconds", "Time from head to answered.")
        self._upstream_seconds = self._histogram("upstream_seconds", "Time to the head of the answer.", "upstream")
        self._decisions = self._counter("decisions", "Decisions.", "decision", "reason", "rule")
        self._logins = self._counter("logins", "Login attempts.", "result", "reason", "method")
        self._tokens = self._counter("tokens", "Tokens handed out or refused.", "event")
        self._otp = self._counter("otp", "One-time codes: requested, repeated, resent, right, wrong, late.", "event")
        self._messages = self._counter("messages", "Mail and webhooks: sent, postponed, given_up.", "channel", "event")
        self._signals = self._counter("signals", "What was odd about logins and sessions.", "kind")
        self._events = self._counter("events", "Events for programs: sent, dropped.", "receiver", "event")
        self._limited = self._counter("limited", "Requests over a limit.", "limit")
        self._bans = self._counter("bans", "Automatic bans.", "source")
        self._reported = self._counter("reported", "What rules on trial would do.", "rule", "decision", "reason")
        self._store_errors = self._counter("store_errors", "Stores that did not answer.", "store", "policy")
        self._in_flight = self._gauge("in_flight", "Requests being answered.")
        self._per_second = self._gauge("requests_per_second", "Requests answered a second, over the last ten seconds.")
        self._pace = Pace()
        self._requests.followers.append(lambda requests: self._pace.add(sum(requests.values())))
        self._bans_active = Gauge(
            "gatekeeper_bans_active", "Bans in force.", registry=self._registry, multiprocess_mode="livemax"
        )
        self._password_queue = self._gauge("password_queue", "Passwords being hashed or waiting for it.")
        self._suppressed = self._counter("login_log_suppressed", "Login attempts without a row of their own.", "cap")
        self._login_log_spooled = self._gauge("login_log_spooled", "Login attempts not yet in the database.")
        self._refused = self._counter("connections_refused", "Connections closed before a request.", "reason")
        self._connections = self._gauge("connections", "Connections of clients.")
        self._files_good = self._labelled("files_good", "Whether watched files held when read last.", "files")
        self._certificate = self._labelled(
            "certificate_expires_seconds", "When a certificate expires, in Unix time.", "file"
        )
        self.connections: Callable[[], int] = int
        self.in_flight = 0
        self.password_queue: Callable[[], int] = int
        self.bans_active: Callable[[], int] = int
        self.login_log_spooled: Callable[[], int] = int
        self.before_flush: list[Callable[[], None]] = []
        self.target_up = Gauge(
            "gatekeeper_upstream_target_up",
            "Whether a target gets requests.",
            ["upstream", "target"],
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self._reload_success = self._labelled("config_reload_success", "Whether what was read last is in force.")
        self._reload_time = self._labelled("config_reload_timestamp_seconds", "When what is in force was put there.")
        self._tell_version()

    def follow_rules(self, hits: RuleHits) -> None:
        """Have ``hits`` told of all decisions, whenever the sums are handed on."""
        self._decisions.followers.append(hits.decided)
        self._reported.followers.append(hits.reported)

    def _tell_version(self) -> None:
        build = Gauge(
            "gatekeeper_build_info", "Version.", ["version"], registry=self._registry, multiprocess_mode="livemax"
        )
        build.labels(__version__).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> _Sums:
        sums = _Sums(Counter(f"gatekeeper_{name}", text, labels, registry=self._registry))
        self._sums.append(sums)
        return sums

    def _histogram(self, name: str, text: str, *labels: str) -> _Times:
        times = _Times(Histogram(f"gatekeeper_{name}", text, labels, registry=self._registry, buckets=BUCKETS))
        self._times.append(times)
        return times

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"gatekeeper_{name}", text, registry=self._registry, multiprocess_mode="livesum")

    def _labelled(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"gatekeeper_{name}", text, labels, registry=self._registry, multiprocess_mode="livemin")

    def connection_refused(self, reason: str) -> None:
        """One connection closed at the door (``server.crowd.Refusal``)."""
        self._refused.waiting[reason,] += 1

    def files(self, name: str, *, good: bool) -> None:
        """What the key ``name`` takes from files was read again."""
        self._files_good.labels(name).set(good)

    def certificate(self, file: str, expires: float) -> None:
        """A certificate shown to clients; ``expires`` in Unix seconds."""
        self._certificate.labels(file).set(expires)

    def request(self, surface: str, upstream: str, code: int, seconds: float) -> None:
        """One request answered on ``surface`` (proxy, verify, own)."""
        self._requests.waiting[surface, upstream, str(code)] += 1
        self._request_seconds.waiting[()].append(seconds)

    def upstream(self, name: str, seconds: float) -> None:
        """The head of an upstream's answer came after ``seconds``."""
        self._upstream_seconds.waiting[name,].append(seconds)

    def decision(self, decision: str, reason: str, rule: str) -> None:
        """One decision of the gate."""
        self._decisions.waiting[decision, reason, rule] += 1

    def login(self, result: str, reason: str, method: str) -> None:
        """One login attempt."""
        self._logins.waiting[result, reason, method] += 1

    def login_suppressed(self, cap: str) -> None:
        """One login attempt that is only counted, because of ``cap`` (session, address, minute)."""
        self._suppressed.waiting[cap,] += 1

    def token(self, event: str) -> None:
        """issued, rotated, repeated, renewed, reused, revoked."""
        self._tokens.waiting[event,] += 1

    def otp(self, event: str) -> None:
        """requested, repeated, resent, right, wrong, late."""
        self._otp.waiting[event,] += 1

    def message(self, channel: str, event: str) -> None:
        """sent, postponed, given_up."""
        self._messages.waiting[channel, event] += 1

    def signal(self, kind: str) -> None:
        """Something was odd about a login or a session."""
        self._signals.waiting[kind,] += 1

    def event(self, receiver: str, event: str, count: int) -> None:
        """sent, dropped."""
        self._events.waiting[receiver, event] += count

    def limited(self, limit: str) -> None:
        """One request over the limit of this name."""
        self._limited.waiting[limit,] += 1

    def ban(self, source: str) -> None:
        """One automatic ban."""
        self._bans.waiting[source,] += 1

    def reported(self, rule: str, decision: str, reason: str) -> None:
        """One request about which a rule, or its limit, only reported."""
        self._reported.waiting[rule, decision, reason] += 1

    def store_error(self, store: str, policy: str) -> None:
        """A store did not answer, and what was done then (closed, local)."""
        self._store_errors.waiting[store, policy] += 1

    def reloaded(self, *, good: bool, now: float) -> None:
        """A configuration is in force since ``now`` (Unix seconds), or was refused."""
        self._reload_success.set(good)
        if good:
            self._reload_time.set(now)

    def flush(self) -> None:
        """Hand the sums on."""
        for bring_up_to_date in self.before_flush:
            bring_up_to_date()
        self._in_flight.set(self.in_flight)
        self._connections.set(self.connections())
        self._password_queue.set(self.password_queue())
        self._login_log_spooled.set(self.login_log_spooled())
        self._bans_active.set(self.bans_active())
        for sums in self._sums:
            sums.flush()
        for times in self._times:
            times.flush()

    async def keep_flushing(self) -> None:
        """For ever, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self.flush()
            self._per_second.set(self._pace.rate(asyncio.get_running_loop().time()))

    def requests_per_second(self) -> float:
        """Of all workers of this node; reads a small file of each."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is None:
            return float(self._per_second._value.get())  # noqa: SLF001  # a Gauge has no other way to be read
        files = [str(file) for file in Path(folder).glob("gauge_livesum_*.db")]
        found = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return float(sum(s.value for one in found if one.name == _PER_SECOND for s in one.samples))

    def render(self) -> bytes:
        """All workers' metrics in text form."""
        self.flush()
        registry = self._registry
        if FOLDER_VARIABLE in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no annotations here
        return generate_latest(registry)
