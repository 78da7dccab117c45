"""The fence without an answer: agents follow `on_store_down`, people are let through; and Octet's
own merge goes through it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octet.cli import run
from octet.daemon.process import control
from octet.project import trust

from .field import SETTINGS, SOURCE, Field, wait_for

REAL = f'PYTHONPATH={SOURCE} exec {sys.executable} -m octet "$@"'
COMMIT = ["commit", "--allow-empty", "-m", "x"]


def stop_daemon(field: Field) -> None:
    control.stop()
    field.record('echo "no command" >&2; exit 9')


def test_without_a_daemon_the_command_starts_one(fenced: Field) -> None:
    """Asked by an agent; the answer is the same, and a daemon is there afterwards."""
    developer = fenced.session("developer")
    assert "repository-guardian" in developer.git(*COMMIT, CLAUDE_PID=str(developer.pid)).said
    assert control.status() is not None
    control.stop()
    fenced.init()
    assert fenced.session("guest").git(*COMMIT, CLAUDE_PID=str(fenced.sessions[-1].pid)).code == 0


@pytest.mark.parametrize(("policy", "passes"), [("deny", False), ("allow", True), ("ask", False)])
def test_with_nobody_to_ask_agents_follow_the_policy(
    fenced: Field, policy: str, passes: bool
) -> None:
    """Daemon gone, command broken: also for an agent whose environment tells nothing; a person goes
    on, silently.
    """
    (fenced.root / ".claude" / "octet.toml").write_text(f'{SETTINGS}on_store_down = "{policy}"\n')
    fenced.init()
    developer = fenced.session("developer")
    fenced.serve(developer)
    stop_daemon(fenced)
    environments: list[dict[str, Any]] = [{"CLAUDE_PID": str(developer.pid)}, {}]
    for environment in environments:
        ended = developer.git(*COMMIT, **environment)
        assert (ended.code == 0) == passes, ended
        assert ended.said
    assert not fenced.person(*COMMIT).said


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_a_store_that_does_not_answer(fenced: Field, kind: str, short_directory: Path) -> None:
    """Unplugged, or accepting and never answering: refused in time to an agent, with what is wrong;
    a person goes on.
    """
    with socket.socket(socket.AF_UNIX) as hole:
        url = f"unix://{short_directory}/store"
        if kind == "silent":
            hole.bind(f"{short_directory}/store")
            hole.listen(64)
        ended = fenced.person(*COMMIT, code=128, CLAUDE_PID=str(os.getpid()), OCTET_REDIS_URL=url)
        assert "cannot tell whether another agent holds the branch main" in ended.said
        fenced.person(*COMMIT, OCTET_REDIS_URL=url)


@pytest.mark.parametrize("broken", ["interpreter", "package", "settings", "no settings"])
def test_what_is_broken_stops_agents_only(fenced: Field, broken: str) -> None:
    """No Python, no package, unreadable settings: one line, and a person is not held up."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    stop_daemon(fenced)
    python, package, command = (fenced.state / "interpreter").read_text().split("\n")[:3]
    settings = fenced.root / ".claude" / "octet.toml"
    if broken == "settings":
        settings.write_text("project = \n")
    elif broken == "no settings":
        settings.unlink()
        fenced.record(REAL)
    else:
        lines = (
            ["/nowhere/python", package]
            if broken == "interpreter"
            else [python, str(fenced.directory)]
        )
        (fenced.state / "interpreter").write_text("\n".join([*lines, command, ""]))
    ended = developer.git(*COMMIT)
    assert ended.code
    assert ended.said
    fenced.person(*COMMIT)


def test_a_pattern_that_came_later_is_asked_about(fenced: Field) -> None:
    """Before the next `octet init`, which doctor calls for; one that was taken out of the settings
    stays fenced until then.
    """
    developer = fenced.session("developer")
    fenced.serve(developer)
    settings = fenced.root / ".claude" / "octet.toml"
    settings.write_text('project = "shop"\nprotected = ["stable"]\n')
    os.utime(settings, (settings.stat().st_mtime + 5, settings.stat().st_mtime + 5))
    update = ["update-ref", "refs/heads/stable", "HEAD"]
    assert developer.git(*update, CLAUDE_PID=str(developer.pid)).code
    assert (
        developer.git(
            "update-ref", "refs/heads/stables", "HEAD", CLAUDE_PID=str(developer.pid)
        ).code
        == 0
    )
    assert developer.git(*COMMIT).code, "main is still fenced"
    assert "main, release/*, octet.toml says stable" in fenced.doctor().detail
    fenced.init()
    assert fenced.doctor().ok
    fenced.serve(developer)
    assert developer.git(*update).code
    assert developer.git(*COMMIT).code == 0


def test_undone_it_stands_in_nobodys_way(fenced: Field) -> None:
    """Also where only the approval was withdrawn, and the hooks are still there."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    trust.revoke(fenced.root)
    assert developer.git(*COMMIT).code == 0


def test_a_repository_that_was_moved_is_not_fenced(fenced: Field) -> None:
    """As it takes part no more, until the next `octet init`."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    moved = fenced.root.rename(fenced.directory / "elsewhere")
    assert developer.git(*COMMIT, at=moved, CLAUDE_PID=str(developer.pid)).code == 0


@pytest.fixture
def submitted(
    field: Field, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """A fenced repository with this test command, and a task built there; runs the merge queue once
    and returns what it said.
    """

    def merge(command: str) -> str:
        settings = field.root / ".claude" / "octet.toml"
        settings.write_text(
            f'{SETTINGS}[test]\ncommand = {json.dumps(command)}\n[gates]\ndefault = ["merge"]\n'
        )
        (field.root / ".gitignore").write_text(".claude/worktrees/\n")
        field.person("add", "-A")
        field.person("commit", "-q", "-m", "Settings")
        field.init()
        monkeypatch.chdir(field.root)
        task = field.octet.tasks.add("work")
        assert run(["task", "claim", task.id]) == 0
        assert run(["worktree", "add", task.id]) == 0
        tree = field.root / ".claude" / "worktrees" / task.id
        (tree / "new").write_text("x\n")
        field.person("add", "-A", at=tree)
        field.person("commit", "-q", "-m", "New", at=tree)
        assert run(["task", "submit", task.id, "--branch", f"octet/{task.id}"]) == 0
        field.serve()
        capsys.readouterr()
        run(["merge", "run", "--once"])
        return capsys.readouterr().out

    return merge


def test_octets_own_merge_goes_through(field: Field, submitted: Callable[[str], str]) -> None:
    """A task from claim to merge, by the guardian that this process is."""
    assert "merged" in submitted("true")
    assert (field.root / "new").exists()


def test_a_merge_that_lost_its_lock_is_stopped_by_git(
    field: Field, submitted: Callable[[str], str]
) -> None:
    """While its tests ran: the token that it shows is stale, and the branch stays where it was."""
    tip = field.tips()
    program = "from octet import connect; connect().locks.break_lock('repository:main', 'ann')"
    said = submitted(f'PYTHONPATH={SOURCE} {sys.executable} -c "{program}"')
    assert "is lost (it is free now)" in said, said
    assert not (field.root / "new").exists()
    assert tip != field.tips(), "the settings' commit"
    assert "Settings" in field.person("log", "-1", "--format=%s", "main").out


def test_doctor_tells(fenced: Field, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line: what is guarded, or what is wrong and what mends it."""
    capsys.readouterr()
    run(["-C", str(fenced.root), "doctor"])
    assert "reference-transaction and pre-push guard main, release/*" in capsys.readouterr().out
    (fenced.root / ".git" / "hooks" / "reference-transaction").unlink()
    run(["-C", str(fenced.root), "doctor"])
    assert "the hook reference-transaction is missing: run `octet init`" in capsys.readouterr().out


def test_the_fence_survives_a_daemon_that_is_killed(fenced: Field) -> None:
    """Its successor, started by its supervisor, answers the same."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    status = control.status()
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    assert developer.git(*COMMIT).code
    wait_for(lambda: (now := control.status()) and now.pid != status.pid, "another worker")
    assert "repository-guardian" in developer.git(*COMMIT).said
