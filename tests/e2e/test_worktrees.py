"""Worktrees: those that the client makes, and the work that a killed session leaves in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.sandbox import Sandbox, git
from tests.support.scripted_model import Gate, Model, Text, Tool, Turn, marker
from tests.support.waiting import poll

CLAIM = Tool("Bash", {"command": "octet task claim", "description": "Claim a task"})
HALF_DONE = "half = 'é'\r\n\tof it"


def shell(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Work"})


def worktrees(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What `octet worktree list` says."""
    found: list[dict[str, Any]] = json.loads(
        sandbox.octet("worktree", "list", "--json", "--no-size").stdout
    )
    return found


def test_a_session_in_a_native_worktree_is_known_with_it(team: Sandbox, model: Model) -> None:
    """`claude -w NAME`: registered with that worktree, listed as its owner, and its writes there
    are its own.
    """
    gate = Gate()
    tree = team.repository / ".claude" / "worktrees" / "feature"
    write = Tool("Write", {"file_path": str(tree / "a.py"), "content": "a = 1\n"})
    model.script("A", write, Turn(Text("Written."), gate=gate))
    client = team.start(marker("A") + " work", "--worktree", "feature")
    gate.await_arrival()
    agent = team.agent_of(client)
    assert Path(agent["worktree"]) == tree
    [listed] = worktrees(team)
    assert (listed["path"], listed["owner"], listed["changed"]) == (str(tree), agent["id"], 1)
    assert team.holder("a.py") == "", "in its own worktree nothing needs to be locked"
    gate.open()
    client.finish()


def test_a_killed_sessions_work_is_kept_and_the_next_is_told(team: Sandbox, model: Model) -> None:
    """SIGKILL in the middle of the work in a native worktree: byte for byte in the rescue ref,
    named to the next claimer, applied by it.
    """
    task, gates = team.add_task("Parse"), {key: Gate() for key in "AB"}
    tree = team.repository / ".claude" / "worktrees" / "feature"
    write = Tool("Write", {"file_path": str(tree / "half.py"), "content": HALF_DONE})
    model.script(
        "A",
        CLAIM,
        shell(f"octet worktree add {task}"),
        write,
        Turn(Text("Never said."), gate=gates["A"]),
    )
    client = team.start(marker("A") + " work", "--worktree", "feature")
    gates["A"].await_arrival()
    assert git(tree, "branch", "--show-current").strip() == f"octet/{task}", (
        "the client's own worktree is taken for the task"
    )
    written = (tree / "half.py").read_bytes()
    client.kill()
    ref = poll(lambda: team.task(task).get("rescue_ref", ""), "the snapshot")
    assert ref == f"refs/octet/rescue/{task}/1"
    kept = git(team.repository, "rev-parse", f"{ref}:half.py")
    assert kept == git(tree, "hash-object", "--no-filters", "half.py")
    assert written.decode() == HALF_DONE

    rescue = (
        f"octet worktree add {task} && cd '{tree.parent / f'{task}-2'}' && octet task rescue "
        f"{task} && git status -s"
    )
    model.script("B", CLAIM, shell(rescue), Turn(Text("Taken up."), gate=gates["B"]))
    heir = team.start(marker("B") + " work")
    gates["B"].await_arrival()
    claimed, applied = model.tool_results("B")
    assert ref in claimed
    assert "1 file changed" in claimed
    assert "A  half.py" in applied
    for gate in gates.values():
        gate.open()
    heir.finish()
