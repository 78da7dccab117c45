"""From the death of an agent to its task claimable: its process killed on this machine, or its
whole machine silent.

Everything is real: sessions that their hooks have registered, a warm daemon with its store, kill
-9. Times are the server's own, from the kill to the script that gives the task back. A machine that
goes silent was last heard of at a random moment of the ten seconds between two heartbeats; the
server tells of leases that run out, and then, as another's server may, it does not.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.hook import Sandbox, sandbox, start_session
from benchmarks.table import Row, render
from octet.client.api import Octet
from octet.core.agents.registry import LEASE_MS, Agent, Registration
from octet.project.repository import load_project
from octet.store.connection import open_client
from octet.worktree.creation import prepare_worktree

ROUNDS = 40
SEED = 20261122
FILES = 500
BUDGET_S = 2.0
BEAT_S = LEASE_MS / 3000
DEADLINE_S = LEASE_MS / 1000 * 3


def run(rounds: int = ROUNDS) -> list[Row]:
    """Measure; seconds."""
    with sandbox() as place:
        make_work(place)
        with Octet(
            open_client(url_of(place)),
            load_project(place.repository).name,
            load_project(place.repository),
        ) as found:
            rows = list(
                make_rows("process killed", kill_each(found, place, rounds, work=False), BUDGET_S)
            )
            rows += make_rows(
                "process killed, unfinished work in a worktree",
                kill_each(found, place, rounds // 2, work=True),
                BUDGET_S,
            )
            rows += make_rows(
                "machine silent, server tells", fall_silent(found, rounds), LEASE_MS / 1000 + 1
            )
            found.store.client.config_set("notify-keyspace-events", "")
            rows += make_rows(
                "machine silent, server does not tell",
                fall_silent(found, rounds),
                LEASE_MS / 1000 + BEAT_S + 1,
            )
    return rows


def make_work(place: Sandbox) -> None:
    """A first commit of some files on main."""
    for number in range(FILES):
        (place.repository / f"file{number}.txt").write_text(f"{number}\n" * 20)
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    branch = ["symbolic-ref", "HEAD", "refs/heads/main"]
    person = {name: value for name, value in place.environment.items() if name != "CLAUDE_PID"}
    for words in (branch, ["add", "-A"], [*identity, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *words], cwd=place.repository, env=person, check=True)


def url_of(place: Sandbox) -> str:
    """The daemon's store."""
    command = [sys.executable, "-m", "octet", "redis", "url"]
    environment = {**place.environment, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    return subprocess.run(
        command, cwd=place.repository, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def kill_each(found: Octet, place: Sandbox, rounds: int, *, work: bool) -> list[float]:
    """Sessions with a task each, killed one after the other; with `work`, each has changed files in
    a worktree of its own.
    """
    killed: dict[str, int] = {}
    for _ in range(rounds):
        with subprocess.Popen(["sleep", "3600"]) as client:
            start_session({**place.environment, "CLAUDE_PID": str(client.pid)}, place.repository)
            agent = next(agent for agent in found.agents.list() if agent.pid == client.pid)
            task = claim(found, agent)
            if work:
                worktree = Path(prepare_worktree(found, agent, found.tasks.get(task)).path)
                for number in range(50):
                    (worktree / f"file{number}.txt").write_text("changed\n")
            killed[task] = found.now_ms()
            client.kill()
            wait_for(found, [task])
    return seconds(found, killed)


def fall_silent(found: Octet, rounds: int) -> list[float]:
    """Agents of another machine, of whose leases a part is over when it ends; all at once."""
    chance = random.Random(SEED)
    killed: dict[str, int] = {}
    for number in range(rounds):
        own = Registration(
            role="worker",
            process=f"elsewhere-0:{number}:{time.monotonic_ns()}",
            host="elsewhere-0",
            pid=number,
        )
        task = claim(found, found.agents.register(own).agent)
        killed[task] = found.now_ms() + int(chance.uniform(0, BEAT_S * 1000))
    wait_for(found, killed)
    return seconds(found, killed)


def claim(found: Octet, agent: Agent) -> str:
    """A new task, and the agent has it."""
    task = found.tasks.add("work", max_attempts=100)
    return found.tasks.claim(agent, task_id=task.id).id


def wait_for(found: Octet, tasks: Sequence[str] | Mapping[str, int]) -> None:
    """Until all of them can be claimed."""
    end = time.monotonic() + DEADLINE_S
    while any(found.tasks.get(task).state != "pending" for task in tasks):
        if time.monotonic() > end:
            raise SystemExit("a task of the dead is not given back")
        time.sleep(0.05)


def seconds(found: Octet, killed: Mapping[str, int]) -> list[float]:
    """From each task's moment to its release, which the task itself has noted."""
    return [
        (found.tasks.get(task).ended[-1].at_ms - at_ms) / 1000 for task, at_ms in killed.items()
    ]


def make_rows(name: str, times: Sequence[float], budget_s: float) -> Iterator[Row]:
    """The median, and the 99th percentile with its budget."""
    ordered = sorted(times)
    worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    yield Row(
        f"{name}: to claimable, p50 of {len(times)}",
        statistics.median(times),
        "s",
        None,
        None,
        True,
    )
    yield Row(
        f"{name}: to claimable, p99", worst, "s", None, f"<= {budget_s:g} s", worst <= budget_s
    )


if __name__ == "__main__":
    print(render(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)))
