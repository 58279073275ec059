"""Metrics: what is counted is what is shown, in one process and across several."""

import os
import subprocess
import sys

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gatekeeper.observe.metrics import BUCKETS, Metrics


def _samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_counts_and_times_are_shown_under_the_contract_s_names():
    metrics = Metrics()
    for _ in range(3):
        metrics.request("proxy", "api", 200, 0.004)
    metrics.decision("allow", "", "api")
    metrics.login("failure", "invalid-credentials", "password")
    metrics.limited("default")
    shown = _samples(metrics.render())
    assert shown["gatekeeper_requests_total", (("code", "200"), ("surface", "proxy"), ("upstream", "api"))] == 3
    assert shown["gatekeeper_request_seconds_count", ()] == 3
    assert shown["gatekeeper_decisions_total", (("decision", "allow"), ("reason", ""), ("rule", "api"))] == 1
    assert shown["gatekeeper_limited_total", (("limit", "default"),)] == 1
    assert any(name == "gatekeeper_build_info" for name, _ in shown)


def test_a_flush_in_bulk_says_what_observing_one_by_one_says():
    values = [0.0, 0.0005, 0.001, 0.0011, 0.3, 29.0, 31.0, 400.0, *BUCKETS]
    metrics = Metrics()
    for value in values:
        metrics.upstream("api", value)
    registry = CollectorRegistry()
    plain = Histogram("gatekeeper_upstream_seconds", "x", ["upstream"], registry=registry, buckets=BUCKETS)
    for value in values:
        plain.labels("api").observe(value)
    expected = {key: value for key, value in _samples(generate_latest(registry)).items() if "created" not in key[0]}
    shown = _samples(metrics.render())
    assert {key: round(shown[key], 6) for key in expected} == {key: round(value, 6) for key, value in expected.items()}


_WORKER = """
from gatekeeper.observe.metrics import Metrics
metrics = Metrics()
for _ in range(5):
    metrics.request("proxy", "api", 200, 0.01)
metrics.in_flight = 2
metrics._per_second.set(1.5)
metrics.flush()
print(metrics.render().decode() + f"read_per_second {metrics.requests_per_second()}\\nEND", flush=True)
input()
"""


def test_the_workers_counts_are_added_up(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = []
    try:
        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "-c", _WORKER],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            workers.append(process)
            lines = []
            while (line := process.stdout.readline()) != "END\n":
                assert line, "the worker has ended"
                lines.append(line)
        shown = _samples("".join(lines).encode())
    finally:
        for process in workers:
            process.communicate("\n")
    assert shown["gatekeeper_requests_total", (("code", "200"), ("surface", "proxy"), ("upstream", "api"))] == 10
    assert shown["gatekeeper_in_flight", ()] == 4
    assert shown["gatekeeper_requests_per_second", ()] == shown["read_per_second", ()] == 3.0
