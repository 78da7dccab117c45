"""`octet up` and `octet down`, with a program that stands for Claude Code; with the real client:
tests/e2e/test_crew.py.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shop, git

import octet as package
from octet.base.process import ProcessIdentity
from octet.base.processes import kill_all, processes_of
from octet.crew.record import CrewDirectory
from octet.runtime import bootstrap

STAND_IN = Path(__file__).with_name("stand_in.py")
DEADLINE_S = 30.0
USUAL = [
    "orchestrator-1",
    "developer-1",
    "developer-2",
    "code-sentinel-1",
    "test-orchestrator-1",
    "repository-guardian-1",
]
SMALL = ["--role", "orchestrator", "--developers", "1"]


def poll(ask: Callable[[], Any], what: str) -> Any:
    """The first true answer."""
    end = time.monotonic() + DEADLINE_S
    while not (found := ask()):
        assert time.monotonic() < end, f"{what}: not within {DEADLINE_S:g} s, last {found!r}"
        time.sleep(0.02)
    return found


class Crew:
    """The crew of `shop`, and what its members were told."""

    def __init__(self, shop: Shop, stage: Path) -> None:
        self.shop, self.stage = shop, stage
        self.directory = CrewDirectory.of("shop")

    def up(self, *words: str, code: int = 0) -> str:
        """`octet up --headless --force`, so that no other load of this machine changes the crew;
        what it printed.
        """
        return self.shop.run("up", "--headless", "--force", *words, code=code).out

    def down(self, *words: str) -> str:
        return self.shop.run("down", *words).out

    def play(self, member: str, part: str) -> None:
        (self.stage / member).write_text(part)

    def told(self, member: str) -> list[dict[str, Any]]:
        """What each start of a member was given, oldest first."""
        path = self.stage / f"{member}.told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def member(self, name: str) -> dict[str, Any]:
        """A member as `octet status` has it."""
        crew = self.shop.json("status")["crew"]
        return next((one for one in crew["members"] if one["name"] == name), {})

    def pid(self, name: str) -> int:
        """Its process; 0 while it has none."""
        process = self.member(name)["process"]
        return ProcessIdentity.parse(process).pid if process else 0

    def agents(self) -> list[str]:
        """Live sessions in the store."""
        return [agent.id for agent in self.shop.octet.agents.list() if agent.kind == "session"]

    def supervisor(self) -> int:
        report = self.directory.read_report()
        assert report
        return ProcessIdentity.parse(report.supervisor).pid

    def processes(self) -> dict[int, str]:
        """Every process of this crew: the supervisor, its members and their children."""
        return processes_of(str(self.directory.path))


@pytest.fixture
def crew(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    stage = tmp_path / "stage"
    stage.mkdir()
    program = tmp_path / "claude"
    source = str(Path(package.__file__).parents[1])
    python = shlex.join([sys.executable, str(STAND_IN)])
    program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(source)} exec {python} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("OCTET_CLAUDE", str(program))
    monkeypatch.setenv("CREW_PLAY", str(stage))
    monkeypatch.setenv("OCTET_DAEMON", "never")
    made = Crew(shop, stage)
    yield made
    kill_all(str(made.directory.path))
    shutil.rmtree(made.directory.scratch(), ignore_errors=True)


class TestUp:
    def test_the_usual_crew(self, crew: Crew) -> None:
        """A session for each role that the gates call for, each told who it is; it registers before
        the command returns.
        """
        shown = crew.up()
        assert sorted(crew.agents()) == sorted(USUAL)
        assert f"up: {', '.join(sorted(USUAL))}" in shown
        assert "nothing can be merged yet: no test command is set" in shown
        [told] = crew.told("developer-2")
        assert told["words"][told["words"].index("--agent") + 1] == "octet:developer"
        assert told["words"][told["words"].index("--permission-mode") + 1] == "manual"
        assert "as developer" in told["said"]["message"]["content"]
        assert "of 6 sessions up" in crew.shop.run("status").out

    def test_again_starts_what_is_missing(self, crew: Crew) -> None:
        """A second call changes no member; one that asks for more adds exactly those, one that asks
        for fewer says how.
        """
        crew.up(*SMALL)
        before = crew.pid("developer-1")
        assert "the crew is up" in crew.up()
        assert "up: developer-2, developer-3" in crew.up("--developers", "3")
        assert "octet down" in crew.up("--developers", "1")
        assert sorted(crew.agents()) == [
            "developer-1",
            "developer-2",
            "developer-3",
            "orchestrator-1",
        ]
        assert crew.pid("developer-1") == before
        assert [len(crew.told(f"developer-{number}")) for number in (1, 2, 3)] == [1, 1, 1]

    def test_two_at_once(self, crew: Crew) -> None:
        """Of four calls at the same moment one starts the crew."""
        calls = [crew.shop.start("up", "--headless", "--force", *SMALL) for _ in range(4)]
        assert [call.wait(60) for call in calls] == [0, 0, 0, 0], [
            call.communicate() for call in calls
        ]
        for call in calls:
            call.communicate()
        assert sorted(crew.agents()) == ["developer-1", "orchestrator-1"]
        assert [len(crew.told(name)) for name in ("developer-1", "orchestrator-1")] == [1, 1]

    def test_a_feature_reaches_the_orchestrator_as_a_task(self, crew: Crew) -> None:
        """The text is a task of the plan stage before the crew is up; a crew without an
        orchestrator cannot have one.
        """
        crew.shop.refuses(
            "up", "--headless", "--force", "--role", "developer", "--feature", "Pay by card", code=2
        )
        assert crew.shop.octet.tasks.list() == []
        crew.shop.run(
            "up",
            "--headless",
            "--force",
            *SMALL,
            "--feature",
            "-",
            stdin="Pay by card\nVisa first.\n",
        )
        [task] = crew.shop.octet.tasks.list()
        assert (task.title, task.description, task.stage) == (
            "Pay by card",
            "Pay by card\nVisa first.",
            "plan",
        )

    def test_a_dry_run_changes_nothing(self, crew: Crew) -> None:
        """It shows members, commands and permissions, and leaves no file and no process."""
        data = json.loads(crew.up("--dry-run", "--json"))
        assert data["new"] == USUAL
        assert "Bash(git commit:*)" in data["settings"]["developer"]["permissions"]["allow"]
        assert not any(
            "Bash" in rule for rule in data["settings"]["code-sentinel"]["permissions"]["allow"]
        )
        assert "bypassPermissions" not in json.dumps(data)
        assert "--permission-mode manual" in crew.up("--dry-run")
        assert not crew.directory.path.exists()
        assert crew.shop.octet.agents.list() == []

    def test_interrupted_leaves_no_half_crew(self, crew: Crew) -> None:
        """Ctrl-C while a session has not registered yet: everybody ends, and the feature is not
        left in the queue.
        """
        crew.play("orchestrator-1", "die")
        started = crew.shop.start("up", "--headless", "--force", *SMALL, "--feature", "Pay by card")
        poll(lambda: "developer-1" in crew.agents(), "the developer")
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=60)
        assert (started.returncode, err) == (130, b"octet: interrupted\n")
        assert crew.processes() == {}
        assert crew.agents() == []
        assert [task.state for task in crew.shop.octet.tasks.list()] == ["cancelled"]
        assert crew.down() == "no crew is up\n"

    def test_no_program_or_another(self, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is wrong with the program is one line, and nothing is started."""
        monkeypatch.setenv("OCTET_CLAUDE", "/nowhere/claude")
        assert "/nowhere/claude is no program" in crew.shop.refuses("up", "--headless", code=2)
        monkeypatch.setenv("OCTET_CLAUDE", "/bin/true")
        assert "is not Claude Code" in crew.shop.refuses("up", "--headless", code=2)
        monkeypatch.delenv("OCTET_CLAUDE")
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        assert "there is no `claude` on PATH" in crew.shop.refuses("up", "--headless", code=2)

    def test_not_opted_in(
        self, crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Elsewhere it says what to do first."""
        other = tmp_path / "other"
        other.mkdir()
        monkeypatch.chdir(other)
        assert "octet init" in crew.shop.refuses("up", "--headless", code=2)

    def test_the_store_of_the_command_line(
        self, crew: Crew, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who names the store by --redis gets members that use it too."""
        url = os.environ["OCTET_REDIS_URL"]
        monkeypatch.delenv("OCTET_REDIS_URL")
        crew.shop.run(
            "--redis",
            url,
            "up",
            "--headless",
            "--force",
            "--role",
            "developer",
            "--developers",
            "1",
        )
        assert crew.agents() == ["developer-1"]
        crew.shop.run("--redis", url, "down")

    def test_one_crew_for_a_project(
        self, crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second clone on this machine does not get a crew of its own."""
        from octet.project import trust
        from octet.project.repository import load_project

        crew.up(*SMALL)
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "-q", str(crew.shop.root), str(clone))
        trust.approve(load_project(clone))
        monkeypatch.chdir(clone)
        assert str(crew.shop.root) in crew.shop.refuses("up", "--headless")

    def test_members_know_nothing_of_a_session_around_the_call(
        self, crew: Crew, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """/octet:up runs inside a session: its identity must not be the members'."""
        strange = {
            "CLAUDECODE": "1",
            "CLAUDE_CODE_SESSION_ID": "x",
            "CLAUDE_PROJECT_DIR": "/x",
            "ANTHROPIC_MODEL": "m",
        }
        for name, value in strange.items():
            monkeypatch.setenv(name, value)
        crew.up("--role", "developer", "--developers", "1")
        [told] = crew.told("developer-1")
        environment = told["environment"]
        assert {name for name in strange if name in environment} == {"ANTHROPIC_MODEL"}


class TestCrashes:
    def test_a_killed_member_comes_back(self, crew: Crew) -> None:
        """It is started again under a new conversation, what it had started is gone, and `octet
        status` counts it.
        """
        crew.up(*SMALL)
        before, mark = crew.pid("developer-1"), crew.directory.mark("developer-1")
        mine = set(
            poll(
                lambda: len(found := processes_of(mark)) > 1 and found,
                "what the member has started",
            )
        )
        os.kill(before, signal.SIGKILL)
        poll(lambda: crew.pid("developer-1") not in (0, before), "the restart")
        assert not mine & processes_of(mark).keys()
        assert crew.member("developer-1")["restarts"] == 1
        assert " restarted 1 time, last end: killed by signal 9" in crew.shop.run("status").out
        first, second = poll(
            lambda: len(crew.told("developer-1")) > 1 and crew.told("developer-1"), "two starts"
        )
        assert named(first)[0] == named(second)[0] == "--session-id"
        assert named(first)[1] != named(second)[1]
        assert "has restarted this session" in second["said"]["message"]["content"]

    def test_a_killed_orchestrator_goes_on_with_its_conversation(self, crew: Crew) -> None:
        """It alone knows why the plan is as it is; after two quick ends its conversation is given
        up too.
        """
        crew.up("--role", "orchestrator")
        for count in (2, 3):
            os.kill(poll(lambda: crew.pid("orchestrator-1"), "its process"), signal.SIGKILL)
            # poll() asks before `count` changes
            poll(lambda: len(crew.told("orchestrator-1")) == count, "the restart")  # noqa: B023
        first, second, third = map(named, crew.told("orchestrator-1"))
        assert second == ("--resume", first[1])
        assert third[0] == "--session-id"
        assert third[1] != first[1]

    def test_a_member_that_cannot_start_is_given_up(self, crew: Crew) -> None:
        """After five quick ends in a row, with its last words; the others work, and the next `octet
        up` tries again.
        """
        crew.play("developer-1", "die")
        shown = crew.up(*SMALL)
        assert "developer-1 does not start: no key: run /login" in shown
        assert len(crew.told("developer-1")) == 5
        assert "was given up: no key" in crew.shop.run("status").out
        crew.play("developer-1", "")
        assert "up: developer-1" in crew.up()
        assert sorted(crew.agents()) == ["developer-1", "orchestrator-1"]

    def test_a_killed_supervisor(self, crew: Crew) -> None:
        """Its members end by themselves; `octet status` says so, and `octet up` starts one crew,
        not a second one beside the first.
        """
        crew.play("orchestrator-1", "stubborn")  # this one does not
        crew.up(*SMALL)
        os.kill(crew.supervisor(), signal.SIGKILL)
        poll(lambda: crew.agents() == ["orchestrator-1"], "the developer's end")
        orphan = next(
            agent.pid for agent in crew.shop.octet.agents.list() if agent.id == "orchestrator-1"
        )
        assert "its supervisor has ended, `octet up` goes on" in crew.shop.run("status").out
        crew.play("orchestrator-1", "")
        crew.up()
        assert orphan not in crew.processes()
        assert crew.pid("orchestrator-1") != orphan
        assert crew.member("developer-1")["state"] == "up"

    def test_everything_survives_the_terminal(self, crew: Crew) -> None:
        """The hang-up of a terminal reaches neither the supervisor nor its members."""
        crew.up(*SMALL)
        supervisor, pid = crew.supervisor(), crew.pid("developer-1")
        assert len({os.getsid(0), os.getsid(supervisor), os.getsid(pid)}) == 3
        os.kill(supervisor, signal.SIGHUP)
        assert "the crew is up" in crew.up()
        assert (crew.supervisor(), crew.pid("developer-1")) == (supervisor, pid)


class TestDown:
    def test_leaves_nothing(self, crew: Crew) -> None:
        """No process, agent, lock or file of a member; the next crew goes on with the
        orchestrator's conversation and the same roles.
        """
        crew.up(*SMALL)
        [conversation] = map(named, crew.told("orchestrator-1"))
        assert crew.down().startswith("ended: orchestrator-1, developer-1")
        assert crew.processes() == {}
        assert crew.agents() == []
        assert crew.shop.octet.locks.list() == []
        assert not crew.directory.scratch().exists()
        assert "crew" not in crew.shop.run("status").out
        assert crew.down() == "no crew is up\n"
        crew.up()
        assert [agent.split("-")[0] for agent in sorted(crew.agents())] == [
            "developer",
            "orchestrator",
        ]
        assert named(crew.told("orchestrator-1")[-1]) == ("--resume", conversation[1])

    def test_waits_for_what_is_being_worked_on(self, crew: Crew) -> None:
        """Who holds nothing ends at once; who holds a task may finish it."""
        crew.shop.octet.tasks.add("Pay", task_id="pay")
        crew.play("developer-1", "hold")
        crew.up(*SMALL)
        task = poll(
            lambda: (found := crew.shop.octet.tasks.get("pay")).holder and found, "the claim"
        )
        ending = crew.shop.start("down")
        poll(lambda: crew.agents() == ["developer-1"], "the end of the orchestrator")
        assert ending.poll() is None
        crew.shop.octet.tasks.submit("pay", task.token, branch="b", commit="c")
        out, err = ending.communicate(timeout=60)
        assert (ending.returncode, err) == (0, b"")
        assert b"waiting for developer-1 (task pay)" in out
        assert crew.processes() == {}
        assert crew.shop.octet.tasks.get("pay").state == "submitted"

    def test_does_not_wait_for_who_idles_over_a_task(self, crew: Crew) -> None:
        """A turn was cut off, or its person talked with it: nothing would come of waiting, and the
        task is handed over.
        """
        crew.shop.octet.tasks.add("Pay", task_id="pay")
        crew.play("developer-1", "hold")
        crew.up(*SMALL)
        poll(lambda: crew.shop.octet.tasks.get("pay").holder, "the claim")
        developer = crew.shop.octet.agents.get("developer-1")
        idle_ms = crew.shop.octet.now_ms() - 60_000
        crew.shop.octet.work_states.change(developer, lambda state: replace(state, idle_ms=idle_ms))
        assert "task pay waits again" in crew.down()
        assert crew.shop.octet.tasks.get("pay").state == "pending"
        assert crew.processes() == {}

    def test_that_was_killed_stops_nobody_for_good(self, crew: Crew) -> None:
        """It had told the crew to take no new work; the next `octet up` ends that, as it starts who
        was ended already.
        """
        crew.shop.octet.tasks.add("Pay", task_id="pay")
        crew.play("developer-1", "hold")
        crew.up(*SMALL)
        poll(lambda: crew.shop.octet.tasks.get("pay").holder, "the claim")
        ending = crew.shop.start("down")
        poll(lambda: crew.agents() == ["developer-1"], "the end of the orchestrator")
        ending.kill()
        ending.communicate()
        assert "developer-1 is paused: its crew is going down" in crew.shop.run("status").out
        crew.up(*SMALL)
        assert len(crew.agents()) == 2
        assert "paused" not in crew.shop.run("status").out

    def test_hands_over_when_the_time_is_over(self, crew: Crew) -> None:
        """The task waits again with the work so far, its worktree stays because there is work in
        it, and both are said.
        """
        crew.shop.octet.tasks.add("Pay", task_id="pay")
        crew.play("developer-1", "hold")
        crew.up(*SMALL)
        poll(lambda: crew.shop.octet.tasks.get("pay").holder, "the claim")
        add = subprocess.run(
            [sys.executable, "-m", "octet", "worktree", "add", "pay"],
            env={
                **os.environ,
                "CLAUDE_PID": str(crew.pid("developer-1")),
                "PYTHONPATH": str(Path(package.__file__).parents[1]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert add.returncode == 0, add.stderr
        worktree = crew.shop.root / ".claude" / "worktrees" / "pay"
        (worktree / "half.py").write_text("half = 1\n")
        shown = crew.down("--timeout", "1s")
        task = crew.shop.octet.tasks.get("pay")
        assert (task.state, task.holder, task.attempts) == ("pending", "", 0)
        assert git(crew.shop.root, "show", f"{task.rescue_ref}:half.py") == "half = 1"
        assert "task pay waits again" in shown
        assert f"kept {worktree} (1 changed" in shown
        assert crew.processes() == {}
        assert crew.shop.octet.locks.list() == []

    def test_now_ends_also_who_does_not_listen(self, crew: Crew) -> None:
        """SIGKILL is the last word; what the member had started goes with it."""
        crew.play("developer-1", "stubborn")
        crew.up("--role", "developer", "--developers", "1")
        crew.down("--now")
        assert crew.processes() == {}
        assert crew.agents() == []

    def test_after_the_supervisor_was_killed(self, crew: Crew) -> None:
        """What it left is ended all the same."""
        crew.play("orchestrator-1", "stubborn")
        crew.up(*SMALL)
        os.kill(crew.supervisor(), signal.SIGKILL)
        crew.down("--now")
        assert crew.processes() == {}
        assert crew.agents() == []


def named(told: dict[str, Any]) -> tuple[str, str]:
    """How a start's conversation was named, and its id."""
    words = told["words"]
    return next(
        (name, words[words.index(name) + 1])
        for name in ("--session-id", "--resume")
        if name in words
    )


def test_the_recorded_command_is_the_one_on_path() -> None:
    """A member finds `octet` by the same rule as the hooks."""
    assert bootstrap.own_command().name == "octet"
