"""gatekeeper/config/processes.py."""

from __future__ import annotations

import os

from gatekeeper.config.processes import worker_count


def test_a_number_of_workers_is_that_number():
    assert worker_count(3) == 3


def test_auto_is_one_a_core_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert worker_count("auto") == 3


def test_auto_is_one_a_core_where_nothing_says_which(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert worker_count("auto") == 1
