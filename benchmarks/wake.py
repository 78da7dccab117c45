"""Idle sessions: the cost of their waiters, and a message's delay into the model's next request.

Twenty waiters are real (launcher, `wake.py`, daemon, store), their clients are processes that only
live. The latency is measured with the real client in a terminal, against the scripted model, from
before the message is stored until the request that carries it has arrived.
"""

from __future__ import annotations

import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.hook import LAUNCH, PROJECT, Sandbox, sandbox
from benchmarks.table import Row, render

SESSIONS = 20
MESSAGES = 50
IDLE_S = 60.0
LATENCY_BUDGET_MS = 300
# Of fifty idle agents in all; twenty are measured.
CPU_BUDGET_PERCENT = 0.1
WAITER_BUDGET_MB = 8
DAEMON_BUDGET_MB = 60
LIVE = "import time; time.sleep(3600)"


def run(sessions: int = SESSIONS, messages: int = MESSAGES, idle_s: float = IDLE_S) -> list[Row]:
    """Measure the idle, then the latency where the real client is there."""
    with sandbox() as place, clients(sessions) as pids:
        alone = measure_daemon(place, idle_s / 2)
        waiters = [arm(place, pid) for pid in pids]
        try:
            rows = [
                Row("CPU of the daemon, no waiter", alone, "% of a core", None, None, True),
                *measure_idle(place, [waiter.pid for waiter in waiters], idle_s),
            ]
        finally:
            for waiter in waiters:
                waiter.kill()
                waiter.wait()
    return [*rows, *measure_latency(messages, idle_s)]


@contextmanager
def clients(count: int) -> Iterator[list[int]]:
    """Processes with a terminal, as interactive sessions have one."""
    master, terminal = pty.openpty()
    made = [
        subprocess.Popen([sys.executable, "-c", LIVE], stdin=terminal, stdout=terminal)
        for _ in range(count)
    ]
    os.close(terminal)
    try:
        yield [process.pid for process in made]
    finally:
        for process in made:
            process.kill()
            process.wait()
        os.close(master)


def arm(place: Sandbox, pid: int) -> subprocess.Popen[bytes]:
    """A session begins: its hook registers it, its waiter waits."""
    event = {
        "session_id": f"s{pid}",
        "transcript_path": "/t",
        "cwd": str(place.repository),
        "hook_event_name": "SessionStart",
    }
    payload = json.dumps({**event, "source": "startup"}).encode()
    environment = {**place.environment, "CLAUDE_PID": str(pid)}
    subprocess.run(
        [LAUNCH, "SessionStart", "plugin"],
        input=payload,
        cwd=place.repository,
        env=environment,
        check=True,
        capture_output=True,
    )
    waiter = subprocess.Popen(
        [LAUNCH, "Wake", "plugin"], stdin=subprocess.PIPE, cwd=place.repository, env=environment
    )
    assert waiter.stdin
    waiter.stdin.write(payload)
    waiter.stdin.close()
    return waiter


def measure_daemon(place: Sandbox, idle_s: float) -> float:
    """Its CPU with one agent and no waiter, in percent of a core."""
    time.sleep(5)
    before = cpu_s(daemon_of(place))
    time.sleep(idle_s)
    return 100 * (cpu_s(daemon_of(place)) - before) / idle_s


def daemon_of(place: Sandbox) -> int:
    state = Path(place.environment["HOME"]) / ".local" / "state" / "octet"
    return int(json.loads((state / "daemon.json").read_text())["pid"])


def measure_idle(place: Sandbox, waiters: Sequence[int], idle_s: float) -> Iterator[Row]:
    """CPU of daemon and waiters while nothing happens, and what they hold in memory."""
    daemon = daemon_of(place)
    time.sleep(5)  # they have settled
    before = [cpu_s(pid) for pid in (daemon, *waiters)]
    time.sleep(idle_s)
    used = [
        after - was
        for after, was in zip([cpu_s(pid) for pid in (daemon, *waiters)], before, strict=True)
    ]
    of_fifty = 100 * (used[0] + sum(used[1:]) * 50 / len(waiters)) / idle_s
    yield Row(
        f"CPU of the daemon, {len(waiters)} idle",
        100 * used[0] / idle_s,
        "% of a core",
        None,
        None,
        True,
    )
    yield Row(
        f"CPU of {len(waiters)} waiters",
        100 * sum(used[1:]) / idle_s,
        "% of a core",
        None,
        None,
        True,
    )
    yield Row(
        "CPU of daemon and 50 waiters",
        of_fifty,
        "% of a core",
        None,
        f"<= {CPU_BUDGET_PERCENT}",
        of_fifty <= CPU_BUDGET_PERCENT,
    )
    worst = max(memory_mb(pid, "Pss") for pid in waiters)
    yield Row(
        "memory of a waiter, its share (PSS)",
        worst,
        "MB",
        None,
        f"<= {WAITER_BUDGET_MB}",
        worst <= WAITER_BUDGET_MB,
    )
    yield Row(
        "memory of a waiter, its own", max(own_mb(pid) for pid in waiters), "MB", None, None, True
    )
    held = memory_mb(daemon, "Rss")
    yield Row(
        "memory of the daemon", held, "MB", None, f"<= {DAEMON_BUDGET_MB}", held <= DAEMON_BUDGET_MB
    )


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, from the scheduler's own count in nanoseconds: a clock tick is
    too coarse here.
    """
    return (
        sum(
            int(path.read_text().split()[0])
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )
        / 1e9
    )


def memory_mb(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def own_mb(pid: int) -> float:
    return memory_mb(pid, "Private_Clean") + memory_mb(pid, "Private_Dirty")


def measure_latency(messages: int, idle_s: float) -> Iterator[Row]:
    """From send to request, with the real client; nothing where that is not there."""
    sys.path.insert(0, str(PROJECT))
    from tests.support.claude import find_claude, unfit_because
    from tests.support.sandbox import PLUGIN
    from tests.support.sandbox import Sandbox as Machine
    from tests.support.scripted_model import Model, Text, marker

    binary = find_claude()
    if binary is None or (reason := unfit_because(binary)):
        print(
            f"wake: no latency is measured: {reason if binary else 'Claude Code is not there'}",
            file=sys.stderr,
        )
        return
    directory = Path(tempfile.mkdtemp(prefix="octet-", dir="/tmp")).resolve()
    with Model() as model, tempfile.TemporaryDirectory() as cache:
        place = Machine(
            directory, binary, model, PLUGIN, Path(os.environ.get("OCTET_TEST_CACHE", cache))
        )
        try:
            subprocess.run(
                [PROJECT / "bin" / "octet", "--version"],
                env=place.environment(),
                check=True,
                capture_output=True,
            )
            place.opt_in()
            model.script("A", Text("Hello."))
            client = place.open_terminal()
            client.type_line(marker("A") + " hello")
            model.wait_for_requests("A", 1)
            taken_ms = [one_message(place, model, client, number) for number in range(messages)]
            count = len(model.requests_of("A"))
            time.sleep(idle_s)
            asked = len(model.requests_of("A")) - count
        finally:
            place.close()
    p50, p99 = statistics.median(taken_ms), sorted(taken_ms)[int(len(taken_ms) * 0.99) - 1]
    yield Row(
        f"message to request, {messages} messages, p50",
        p50,
        "ms",
        None,
        f"<= {LATENCY_BUDGET_MS}",
        p50 <= LATENCY_BUDGET_MS,
    )
    yield Row(
        f"message to request, {messages} messages, p99",
        p99,
        "ms",
        None,
        f"<= {LATENCY_BUDGET_MS}",
        p99 <= LATENCY_BUDGET_MS,
    )
    yield Row(f"requests in {idle_s:g} s idle", asked, "", None, "<= 0", asked == 0)


def one_message(place: object, model: object, client: object, number: int) -> float:
    """Wait until the session is idle, then send; ms until the request with the message has come."""
    from typing import Any, cast

    from tests.support.waiting import poll

    from octet.client.api import Octet
    from octet.store.connection import open_client

    machine, scripted, session = cast(Any, place), cast(Any, model), cast(Any, client)
    status = machine.home / ".claude" / "sessions" / f"{session.pid}.json"
    poll(lambda: '"status":"idle"' in status.read_text(), "an idle session")
    poll(
        lambda: any("import wake" in command for command in machine.processes().values()),
        "a waiter",
    )
    time.sleep(0.2)
    before = len(scripted.requests_of("A"))
    recipient, url = machine.agent_of(session)["id"], machine.octet("redis", "url").stdout.strip()
    with Octet(open_client(url), machine.project) as octet:
        began = time.perf_counter()
        octet.messages.send(recipient, f"message {number}", sender="bench")
        request = scripted.wait_for_requests("A", before + 1)
        taken_ms = (time.perf_counter() - began) * 1e3
    assert request.says(f"message {number}")
    return taken_ms


if __name__ == "__main__":
    print(render(run()))
