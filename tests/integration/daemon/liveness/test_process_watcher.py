"""The watch over processes, on real ones."""

from __future__ import annotations

import os
import queue
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.support.redis_fixtures import wait_for

from octet.base.process import ProcessIdentity, identify
from octet.daemon.liveness import process_watcher
from octet.daemon.liveness.process_watcher import ProcessWatcher


@pytest.fixture(params=["pidfd", "look"])
def watch(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ProcessWatcher, queue.Queue[ProcessIdentity]]]:
    if request.param == "look":
        monkeypatch.setattr(process_watcher, "_open_pid", lambda _: -1)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("no pidfd_open here")
    reports: queue.Queue[ProcessIdentity] = queue.Queue()
    watch = ProcessWatcher(reports.put)
    yield watch, reports
    watch.stop()


def start() -> tuple[subprocess.Popen[bytes], ProcessIdentity]:
    process = subprocess.Popen(["sleep", "60"])
    identity = identify(process.pid)
    assert identity
    return process, identity


def test_reports_the_end_of_a_process_within_a_second(
    watch: tuple[ProcessWatcher, queue.Queue[ProcessIdentity]],
) -> None:
    """SIGKILL of a watched process is reported once, also while it is a zombie, and others stay
    unreported.
    """
    (first, dead), (second, alive) = start(), start()
    try:
        for identity in (dead, alive, dead):
            watch[0].watch(identity)
        first.kill()
        began = time.monotonic()
        assert watch[1].get(timeout=2) == dead
        assert time.monotonic() - began < 1.5
        assert watch[1].empty()
    finally:
        for process in (first, second):
            process.kill()
            process.wait()


def test_reports_one_that_ended_before_it_was_watched(
    watch: tuple[ProcessWatcher, queue.Queue[ProcessIdentity]],
) -> None:
    """A process that is gone, or whose pid another process has now, is reported at once."""
    me = identify(os.getpid())
    assert me
    stranger = ProcessIdentity(me.host, me.pid, me.start - 1)
    watch[0].watch(stranger)
    assert watch[1].get(timeout=2) == stranger


def test_a_report_that_fails_does_not_end_the_watch() -> None:
    """When the callback raises, the next death is reported all the same."""
    seen: list[int] = []

    def report(process: ProcessIdentity) -> None:
        seen.append(process.pid)
        if len(seen) == 1:
            raise RuntimeError("the store is down")

    watch = ProcessWatcher(report)
    try:
        for number in (1, 2):
            process, identity = start()
            watch.watch(identity)
            process.kill()
            wait_for(lambda wanted=number: len(seen) == wanted, "the report")  # type: ignore[misc]
            process.wait()
    finally:
        watch.stop()
