"""`octet test …` and `octet merge …`"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Shop, git
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join

from octet.base.process import host_id
from octet.core.tasks.record import TaskState
from octet.project import trust
from octet.project.repository import load_project

DEADLINE_S = 30.0


@pytest.fixture
def tested(shop: Shop) -> Shop:
    """The shop with an approved test command: it passes while there is no file `broken`."""
    settings = '\n[test]\ncommand = "test ! -e broken"\n[gates]\ndefault = ["test", "merge"]\n'
    with open(shop.root / ".claude" / "octet.toml", "a") as file:
        file.write(settings)
    (shop.root / ".gitignore").write_text(".claude/worktrees/\n")
    git(shop.root, "add", "-A")
    git(shop.root, "commit", "-q", "-m", "Test")
    trust.approve(load_project(shop.root))
    return shop


def build(shop: Shop, files: dict[str, str], *more: str) -> str:
    """A task from `task add` to `task submit`; its id."""
    task: str = shop.json("task", "add", "work", *more)["id"]
    shop.run("task", "claim", task)
    tree = Path(shop.json("worktree", "add", task)["path"])
    for name, text in files.items():
        (tree / name).write_text(text)
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", f"Build {task}")
    shop.run("task", "submit", task, "--branch", f"octet/{task}")
    return task


def worked_on(shop: Shop) -> str:
    """A claimed task with a commit on its branch."""
    task: str = shop.json("task", "add", "work")["id"]
    shop.run("task", "claim", task)
    tree = Path(shop.json("worktree", "add", task)["path"])
    (tree / "more").write_text("x\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "More")
    return task


def test_from_submission_to_merged_main(tested: Shop) -> None:
    """The test gate adds evidence, the queue shows it, the merge ends it; each says so."""
    task = build(tested, {"new": "x\n"})
    assert tested.json("merge", "queue")["tasks"] == []
    judged = tested.json("test", "run")
    assert (judged["task"], judged["passed"], judged["evidence"]["status"]) == (task, True, 0)
    assert task in tested.run("merge", "queue").out
    [merged] = [
        json.loads(line) for line in tested.run("merge", "run", "--once", "--json").out.splitlines()
    ]
    assert (merged["kind"], merged["task"]) == ("merged", task)
    assert (tested.root / "new").exists()
    assert tested.json("task", "show", task)["state"] == "done"
    assert (
        git(tested.root, "log", "-1", "--format=%(trailers:key=Octet-Task,valueonly)").strip()
        == task
    )
    assert [agent["role"] for agent in tested.json("agent", "list")] == ["person"], (
        "the command's own agent has left"
    )


def test_what_fails_ends_with_exit_code_one(tested: Shop) -> None:
    """The task is its developer's again; the reason is one line."""
    task = build(tested, {"broken": "x\n"})
    assert "goes back" in tested.run("test", "run", task, code=1).out
    assert tested.json("task", "show", task)["state"] == "pending"


def test_nothing_to_do_is_refused(tested: Shop) -> None:
    """Both say that nothing waits."""
    assert "nothing waits" in tested.refuses("merge", "run", "--once")
    assert "no task waits" in tested.refuses("test", "run")


def test_a_dirty_checkout_is_named(tested: Shop) -> None:
    """Exit code 1, the checkout in the message, the task in the queue as before; with the change
    gone it is merged.
    """
    task = build(tested, {"new": "x\n"}, "--gate", "merge")
    (tested.root / ".gitignore").write_text("mine\n")
    ran = tested.run("merge", "run", "--once", code=1)
    assert str(tested.root) in ran.out
    assert tested.json("task", "show", task)["state"] == "submitted"
    assert str(tested.root) in tested.run("merge", "queue").out
    git(tested.root, "checkout", ".gitignore")
    assert f"merged {task}" in tested.run("merge", "run", task).out


def test_the_queue_shows_what_conflicts(tested: Shop) -> None:
    """With the branch, or with what is merged before it."""
    first, second = (build(tested, {".gitignore": f"{name}\n"}, "--gate", "merge") for name in "ab")
    listed = {task["id"]: task["conflicts"] for task in tested.json("merge", "queue")["tasks"]}
    assert listed == {first: "", second: f"{first}: .gitignore"}


def test_agents_of_other_roles_do_not_merge(tested: Shop) -> None:
    """A developer is refused; so is an agent that would merge without tests. A person may."""
    task = build(tested, {"broken": "x\n"}, "--gate", "merge")
    join(tested.octet, "developer", name="dev-x", process="")
    assert "repository-guardian" in tested.refuses(
        "merge", "run", "--once", OCTET_AGENT="dev-x", OCTET_ROLE="developer"
    )
    assert "person" in tested.refuses(
        "merge", "run", "--once", "--no-tests", OCTET_AGENT="g-1", OCTET_ROLE="repository-guardian"
    )
    assert "goes back" in tested.run("merge", "run", "--once").out
    tested.run("task", "claim", task)
    tested.run("task", "submit", task, "--branch", f"octet/{task}")
    assert "no tests were run" in tested.run("merge", "run", "--once", "--no-tests").out


def test_without_a_test_command(shop: Shop) -> None:
    """It is not a pass: both are refused, and say what a person may do."""
    assert "[test]" in shop.refuses("merge", "run", "--once")
    assert "[test]" in shop.refuses("test", "run")


@pytest.mark.parametrize("command", [("merge", "run", "--once"), ("test", "run")])
def test_a_failed_registration_gives_its_reason(tested: Shop, command: tuple[str, ...]) -> None:
    """A store out of memory refuses writes: exit code 3 and one line, not an internal error."""
    tested.octet.store.client.config_set("maxmemory", "1")
    try:
        assert "out of memory" in tested.refuses(*command, code=3)
    finally:
        tested.octet.store.client.config_set("maxmemory", "0")


def test_ctrl_c_leaves_nothing_behind(tested: Shop) -> None:
    """While the tests run: exit code 130, the branch unmoved, the task in the queue, no lock, no
    scratch worktree, no process.
    """
    started = tested.root.parent / "started"
    settings = (
        (tested.root / ".claude" / "octet.toml")
        .read_text()
        .replace("test ! -e broken", f"touch '{started}'; sleep 1000")
    )
    (tested.root / ".claude" / "octet.toml").write_text(settings)
    git(tested.root, "commit", "-q", "-a", "-m", "Slow")
    trust.approve(load_project(tested.root))
    task, before = (
        build(tested, {"new": "x\n"}, "--gate", "merge"),
        git(tested.root, "rev-parse", "main"),
    )
    process = tested.start("merge", "run", env={"OCTET_DAEMON": "never"})
    wait_for(started.exists, "the tests run")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, b"Traceback" in out + err) == (130, False)
    assert tested.json("task", "show", task)["state"] == "submitted"
    assert git(tested.root, "rev-parse", "main") == before
    assert [
        lock["resource"]
        for lock in tested.json("lock", "list")
        if lock["resource"].startswith("repository:")
    ] == []
    assert "octet-merge" not in git(tested.root, "worktree", "list")
    found = subprocess.run(
        ["pgrep", "-f", str(started)], capture_output=True, text=True, check=False
    ).stdout.split()
    assert [pid for pid in found if int(pid) != os.getpid()] == []


def test_it_waits_for_work(tested: Shop) -> None:
    """Started first: what is submitted later is merged without another command."""
    process = tested.start("merge", "run", "--wait", "20s", env={"OCTET_DAEMON": "never"})
    wait_for(
        lambda: any(agent.role == "repository-guardian" for agent in tested.octet.agents.list()),
        "the queue works",
    )
    task = build(tested, {"new": "x\n"}, "--gate", "merge")
    wait_for(lambda: tested.octet.tasks.get(task).state == TaskState.DONE, "it is merged")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert host_id()


def test_it_ends_with_the_session_that_began_it(tested: Shop) -> None:
    """A killed session's command does not go on in the person's name."""
    with subprocess.Popen(["sleep", "1000"]) as session:
        asking = {"CLAUDE_PID": str(session.pid)}
        name = tested.json("agent", "join", "repository-guardian", **asking)["id"]
        process = tested.start("merge", "run", env={"OCTET_DAEMON": "never", **asking})
        waiters = tested.octet.store.keys.waiters("merge:merge")
        wait_for(lambda: tested.octet.store.client.zcard(waiters), "it waits for work")
        session.kill()
    tested.octet.agents.leave(tested.octet.agents.get(name))
    _, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err.decode()) == (
        1,
        f"octet: {name}'s session has ended, and with it this command\n",
    )


def test_work_that_conflicts_is_not_even_submitted(tested: Shop) -> None:
    """The developer is told at once in which files, and has its claim still."""
    task = worked_on(tested)
    tree = Path(tested.json("worktree", "add", task)["path"])
    for directory, text in ((tree, "mine\n"), (tested.root, "theirs\n")):
        (directory / ".gitignore").write_text(text)
        git(directory, "commit", "-q", "-a", "-m", "Change")
    refusal = tested.refuses("task", "submit", task, "--branch", f"octet/{task}")
    assert ".gitignore" in refusal
    assert "git merge main" in refusal
    assert tested.json("task", "show", task)["state"] == "claimed"


def test_at_a_remote(tested: Shop) -> None:
    """A submitted branch is pushed, the merge moves the remote's branch and the person's checkout,
    the task's branch is gone everywhere.
    """
    remote = tested.root.parent / "hub.git"
    git(tested.root, "clone", "-q", "--bare", ".", str(remote))
    git(tested.root, "remote", "add", "hub", str(remote))
    with open(tested.root / ".claude" / "octet.toml", "a") as file:
        file.write('[merge]\nremote = "hub"\n')
    git(tested.root, "commit", "-q", "-a", "-m", "Merge at the hub")
    git(tested.root, "push", "-q", "hub", "main")
    task = build(tested, {"new": "x\n"}, "--gate", "merge")
    assert git(remote, "rev-parse", f"octet/{task}") == git(
        tested.root, "rev-parse", f"octet/{task}"
    )
    assert f"merged {task}" in tested.run("merge", "run", "--once").out
    assert git(remote, "rev-parse", "main") == git(tested.root, "rev-parse", "main")
    assert (tested.root / "new").exists()
    assert git(remote, "branch", "--list", "octet/*") == ""
    git(tested.root, "remote", "set-url", "hub", str(remote) + ".gone")
    other = worked_on(tested)
    assert "hub" in tested.refuses("task", "submit", other, "--branch", f"octet/{other}")
