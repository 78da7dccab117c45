"""A guarded write's hook as a whole process, against a bare `python3 -I -S -c pass`.

Everything is real: the launcher, the pipe, a warm daemon with its store, a payload of Claude Code.
The candidates take turns (A B C A B C …), so that whatever else the machine does meets all of them;
medians of CPU (the process and its children) and of wall time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Row, render

PROJECT = Path(__file__).resolve().parents[1]
LAUNCH = str(PROJECT / "hooks" / "launch")
ROUNDS = 200
WARM_UP = 10
HOOK_BUDGET = 1.3
SILENT_BUDGET = 1.15


@dataclass(frozen=True)
class Sandbox:
    """A home with a daemon, a repository that takes part, one that does not."""

    environment: Mapping[str, str]
    repository: Path
    elsewhere: Path
    python: str


@dataclass(frozen=True)
class Candidate:
    """A process to measure."""

    name: str
    command: Sequence[str]
    directory: Path


@dataclass(frozen=True)
class Cost:
    """One run of a process, in milliseconds."""

    cpu_ms: float
    wall_ms: float


def run(rounds: int = ROUNDS) -> list[Row]:
    """Measure; the first two rows are the yardstick."""
    with sandbox() as place:
        candidates = [
            Candidate(
                "python3 -I -S -c pass", [place.python, "-I", "-S", "-c", "pass"], place.repository
            ),
            Candidate(
                "PreToolUse, daemon warm", [LAUNCH, "PreToolUse", "plugin"], place.repository
            ),
            Candidate("not opted in", [LAUNCH, "PreToolUse", "plugin"], place.elsewhere),
        ]
        payload = place.repository / "payload.json"
        payload.write_text(json.dumps(write_payload(place.repository)))
        costs = take_turns(candidates, place.environment, payload, rounds)
    return list(make_rows(costs))


def take_turns(
    candidates: Sequence[Candidate], environment: Mapping[str, str], payload: Path, rounds: int
) -> dict[str, Cost]:
    """Medians by name."""
    costs: dict[str, list[Cost]] = {candidate.name: [] for candidate in candidates}
    for number in range(WARM_UP + rounds):
        for candidate in candidates:
            cost = measure(candidate, environment, payload)
            if number >= WARM_UP:
                costs[candidate.name].append(cost)
    return {name: median(found) for name, found in costs.items()}


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu_ms for cost in costs),
        statistics.median(cost.wall_ms for cost in costs),
    )


def measure(candidate: Candidate, environment: Mapping[str, str], payload: Path) -> Cost:
    """One run, from spawn to reaped."""
    os.chdir(candidate.directory)
    actions = [(os.POSIX_SPAWN_OPEN, 0, str(payload), os.O_RDONLY, 0)]
    started = time.perf_counter()
    pid = os.posix_spawn(
        candidate.command[0], list(candidate.command), environment, file_actions=actions
    )
    _, status, used = os.wait4(pid, 0)
    wall_ms = (time.perf_counter() - started) * 1e3
    if status != 0:
        raise SystemExit(f"{candidate.name} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost((used.ru_utime + used.ru_stime) * 1e3, wall_ms)


def make_rows(costs: Mapping[str, Cost]) -> Iterator[Row]:
    """The yardstick first; each of the others as a multiple of it."""
    yardstick, hook, silent = costs
    base = costs[yardstick]
    yield Row(f"{yardstick}, CPU", base.cpu_ms, "ms", None, None, True)
    yield Row(f"{yardstick}, wall", base.wall_ms, "ms", None, None, True)
    for name, budget in ((hook, HOOK_BUDGET), (silent, SILENT_BUDGET)):
        for kind, value, of in (
            ("CPU", costs[name].cpu_ms, base.cpu_ms),
            ("wall", costs[name].wall_ms, base.wall_ms),
        ):
            yield Row(
                f"{name}, {kind}", value, "ms", value / of, f"<= {budget}", value / of <= budget
            )


def write_payload(repository: Path) -> dict[str, object]:
    """What the client sends for a Write, a few lines long."""
    return {
        "session_id": "00000000-0000-4000-8000-000000000000",
        "transcript_path": "/nowhere.jsonl",
        "cwd": str(repository),
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": "Write",
        "tool_input": {"file_path": str(repository / "a.py"), "content": "print('hello')\n" * 40},
        "tool_use_id": "toolu_1",
    }


@contextmanager
def sandbox(client: int = 0) -> Iterator[Sandbox]:
    """All of it temporary; the daemon and its store have ended afterwards. `client` is the agent's
    process, 0 for this one.
    """
    with tempfile.TemporaryDirectory(prefix="octet-", dir="/tmp") as name:
        top = Path(name)
        repository, elsewhere = top / "repository", top / "elsewhere"
        repository.mkdir()
        elsewhere.mkdir()
        environment = {
            "HOME": name,
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "CLAUDE_PID": str(client or os.getpid()),
        }
        subprocess.run(["git", "init", "-q"], cwd=repository, env=environment, check=True)
        octet(environment, repository, "init")
        octet(environment, repository, "daemon", "start")
        try:
            start_session(environment, repository)
            python = (
                (top / ".local" / "state" / "octet" / "interpreter").read_text().splitlines()[0]
            )
            yield Sandbox(environment, repository, elsewhere, python)
        finally:
            os.chdir(PROJECT)
            octet(environment, repository, "daemon", "stop")
            octet(environment, repository, "redis", "stop")


def start_session(environment: Mapping[str, str], repository: Path) -> None:
    """Register the agent whose writes are measured; its process is ours."""
    event = {**write_payload(repository), "hook_event_name": "SessionStart", "source": "startup"}
    command = [LAUNCH, "SessionStart", "plugin"]
    subprocess.run(
        command,
        input=json.dumps(event).encode(),
        cwd=repository,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def octet(environment: Mapping[str, str], directory: Path, *words: str) -> None:
    """Our command under this interpreter, from this source."""
    with_source = {**environment, "PYTHONPATH": str(PROJECT / "src")}
    subprocess.run(
        [sys.executable, "-m", "octet", *words],
        cwd=directory,
        env=with_source,
        stdout=subprocess.DEVNULL,
        check=True,
    )


if __name__ == "__main__":
    print(render(run()))
