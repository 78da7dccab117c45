"""`octet up` and `octet down` with real clients: permissions, idle sessions, crashes, tmux."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import accept_first_run_questions
from tests.support.sandbox import PROJECT, SERVICE, Sandbox
from tests.support.scripted_model import Tool
from tests.support.waiting import poll

from .crew_model import CrewModel
from .test_whole_flow import TESTS, opt_in_with_tests, shell, write

CREW_DEADLINE_S = 120.0
# What there is of an agent that lives, or holds something.
HELD = (
    "heartbeat:",
    "agents:claims:",
    "agents:locks:",
    "locks:path:",
    "locks:worktree:",
    "locks:repository:",
    "locks:task:",
)


class Crew:
    """A crew in a sandbox whose sessions run on a scripted model."""

    def __init__(self, sandbox: Sandbox, model: CrewModel) -> None:
        self.sandbox, self.model = sandbox, model
        self.environment = {
            **sandbox.client_environment(),
            **sandbox.environment(),
            "OCTET_CLAUDE": str(sandbox.binary),
        }
        self.environment |= {"ANTHROPIC_BASE_URL": model.url, "TMUX_TMPDIR": str(sandbox.directory)}
        self.directory = sandbox.home / ".local" / "state" / "octet" / "crews" / "flow-1"

    def octet(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`octet` as the person with that program and that model types it; it must succeed."""
        done = subprocess.run(
            [PROJECT / "bin" / "octet", *words],
            cwd=self.sandbox.repository,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CREW_DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, (
            f"octet {' '.join(words)}: exit {done.returncode}: "
            f"{done.stdout}{done.stderr}{self.logs()}"
        )
        return done

    def up(self, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.octet("up", "--force", "--json", *words).stdout)
        return told

    def dry_run(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self.octet("up", "--headless", "--force", "--dry-run", "--json").stdout
        )
        return told

    def members(self) -> dict[str, dict[str, Any]]:
        """Member → what `octet status` has of it."""
        crew = json.loads(self.octet("status", "--json").stdout)["crew"]
        return {one["name"]: one for one in crew["members"]}

    def pid(self, name: str) -> int:
        process = self.members()[name]["process"]
        return int(process.split(":")[1]) if process else 0

    def supervisor(self) -> int:
        report = json.loads((self.directory / "crew.json").read_text())
        return int(report["supervisor"].split(":")[1])

    def logs(self) -> str:
        """The ends of all logs, for a failure."""
        return "".join(
            f"\n--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in self.directory.glob("*.log")
        )

    def assert_gone(self) -> None:
        """No process but Octet's own services: no session, supervisor or waiter; no agent, claim,
        lock, settings, tmux session.
        """
        poll(lambda: not self.strangers(), "the end of every process but daemon and server", 10)
        assert self.sandbox.agents() == []
        keys = [key.removeprefix(self.sandbox.key("")) for key in self.sandbox.store.scan_iter()]
        assert [
            key for key in keys if key.startswith(HELD) and not key.startswith("heartbeat:person-")
        ] == []
        assert json.loads(self.octet("lock", "list", "--json").stdout) == []
        assert self.windows() == []
        assert list(self.directory.glob("settings/*")) == []

    def strangers(self) -> dict[int, str]:
        """Processes of the sandbox that are neither daemon nor server."""
        return {
            pid: line for pid, line in self.sandbox.processes().items() if not SERVICE.search(line)
        }

    def windows(self) -> list[str]:
        """The windows of its tmux session, by name."""
        done = self.tmux("list-windows", "-t", "=flow-1", "-F", "#{window_name}")
        return sorted(done.stdout.split()) if done.returncode == 0 else []

    def tmux(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tmux", *words], env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def crew(sandbox: Sandbox) -> Iterator[Crew]:
    opt_in_with_tests(sandbox)
    with CrewModel() as model:
        made = Crew(sandbox, model)
        try:
            yield made
        finally:
            made.octet("down", "--now")
            made.tmux("kill-server")
    assert model.errors == []


def test_members_idle_work_and_come_back(crew: Crew) -> None:
    """Real sessions stay when their turn is over and ask the model nothing; one that is killed is
    replaced, its task is free at once.
    """
    crew.sandbox.add_task("Parse")
    crew.model.play("developer", lambda _name: iter([shell("octet task claim")]))
    told = crew.up("--headless", "--role", "code-sentinel", "--developers", "1")
    assert sorted(one["agent"] for one in told["started"]) == ["code-sentinel-1", "developer-1"]
    poll(lambda: crew.sandbox.task("1").get("holder") == "developer-1", "the claim")
    poll(lambda: crew.model.idle(2), "two sessions whose turn is over")
    asked = crew.model.count
    crew.model.play("developer", lambda _name: iter([]))
    killed = crew.pid("developer-1")
    os.kill(killed, signal.SIGKILL)
    poll(lambda: crew.sandbox.task("1")["state"] == "pending", "the task given back", 10)
    poll(lambda: crew.pid("developer-1") not in (0, killed), "another session")
    poll(lambda: crew.model.count > asked, "its first request")
    assert crew.members()["code-sentinel-1"]["restarts"] == 0
    crew.octet("down")
    crew.assert_gone()


@pytest.mark.parametrize("where", ["headless", "tmux"])
def test_what_is_not_allowed_is_denied_with_a_reason(
    crew: Crew, where: str, missing: Callable[[str], None]
) -> None:
    """A developer claims, builds, tests, commits and submits unasked; everything else is denied at
    once, and told what to do.
    """
    if where == "tmux":
        if shutil.which("tmux") is None:
            missing("needs tmux")
        accept_first_run_questions(crew.sandbox.home, crew.sandbox.repository)
    task = crew.sandbox.add_task("Parse")
    worktree = crew.sandbox.repository / ".claude" / "worktrees" / task
    refused = [
        write(Path("/tmp/elsewhere.txt"), "x"),
        shell("curl http://127.0.0.1:9/"),
        shell("git push"),
        shell("octet gc --dry-run"),
    ]
    steps: list[Tool] = [
        shell("octet task claim"),
        shell(f"octet worktree add {task}"),
        write(worktree / "parse.py", "parse = int\n"),
        shell(f"cd '{worktree}'"),
        shell("git add -A"),
        shell("git commit -q -m 'Parse'"),
        shell(TESTS),
        *refused,
        shell(f"octet task submit {task} --note 'tests pass'"),
        shell(f"cd '{crew.sandbox.repository}'"),
    ]
    crew.model.play("developer", lambda _name: iter(steps))
    crew.up(
        *(["--headless"] if where == "headless" else []), "--role", "developer", "--developers", "1"
    )
    poll(lambda: len(crew.model.results) == len(steps), "every step", 60)
    for step, result in zip(steps, crew.model.results, strict=True):
        assert result.failed == (step in refused), (step, result)
        assert ("has no person to ask" in result.text) == (step in refused)
    assert crew.sandbox.task(task)["state"] == "submitted"
    crew.octet("down")
    crew.assert_gone()


def test_windows_of_tmux(crew: Crew, missing: Callable[[str], None]) -> None:
    """A window each; a killed session is replaced in it, an /exit is respected, a killed
    supervisor's windows are taken over.
    """
    if shutil.which("tmux") is None:
        missing("needs tmux")
    accept_first_run_questions(crew.sandbox.home, crew.sandbox.repository)
    crew.up("--role", "code-sentinel", "--developers", "1")
    assert crew.windows() == ["board", "code-sentinel-1", "developer-1"]
    first = crew.pid("developer-1")
    os.kill(first, signal.SIGKILL)
    poll(lambda: crew.pid("developer-1") not in (0, first), "another session")
    assert crew.windows() == ["board", "code-sentinel-1", "developer-1"]

    os.kill(crew.supervisor(), signal.SIGKILL)
    second, reviewer = crew.pid("developer-1"), crew.pid("code-sentinel-1")
    assert crew.up()["started"] == []
    assert (crew.pid("developer-1"), crew.pid("code-sentinel-1")) == (second, reviewer)

    poll(lambda: crew.model.idle(2), "two sessions whose turn is over")
    crew.tmux("send-keys", "-t", "=flow-1:code-sentinel-1", "/exit", "Enter")
    poll(lambda: crew.windows() == ["board", "developer-1"], "the window's end")
    assert crew.members()["code-sentinel-1"]["state"] == "ended"
    assert [one["name"] for one in crew.up()["started"]] == ["code-sentinel-1"]
    crew.octet("down")
    crew.assert_gone()
