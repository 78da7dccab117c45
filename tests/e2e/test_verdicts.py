"""Each way to write and to move a branch, by sessions and sub-agents, in the shared checkout and in
worktrees: what the model is told.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import Sandbox, git
from tests.support.scripted_model import Gate, Model, Text, Tool, Turn, marker

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "id": "c1",
            "metadata": {},
            "source": ["1"],
            "outputs": [],
            "execution_count": None,
        }
    ],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
HELD = "is held by guest-1"
Case = tuple[Tool, str]


def shell(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Run it"})


def write(path: Path, content: str = "b = 1\n") -> Tool:
    return Tool("Write", {"file_path": str(path), "content": content})


def start_holder(sandbox: Sandbox) -> tuple[ClaudeHeadless, Gate]:
    """Session A, guest-1, which holds a.py, nb.ipynb and main until the gate is opened."""
    repository, gate = sandbox.repository, Gate()
    for name, content in (("a.py", "a = 0\n"), ("nb.ipynb", json.dumps(NOTEBOOK))):
        (repository / name).write_text(content)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Files")
    git(repository, "branch", "topic")
    take = shell(
        "touch a.py nb.ipynb && git -c user.name=A -c user.email=a@example.org commit -q "
        "--allow-empty -m Mine"
    )
    sandbox.model.script("A", take, Turn(Text("Took them."), gate=gate))
    client = sandbox.start(marker("A") + " take them")
    gate.await_arrival()
    assert sandbox.holder("a.py") == "guest-1"
    return client, gate


def in_the_shared_checkout(repository: Path) -> list[Case]:
    """Calls with the words that the model must be told, "" where the call goes on."""
    notebook = {"notebook_path": str(repository / "nb.ipynb"), "cell_id": "c1", "new_source": "2"}
    return [
        (Tool("Read", {"file_path": str(repository / "a.py")}), ""),
        (Tool("Read", {"file_path": str(repository / "nb.ipynb")}), ""),
        (write(repository / "a.py"), f"a.py {HELD}"),
        (
            Tool(
                "Edit",
                {"file_path": str(repository / "a.py"), "old_string": "a = 0", "new_string": "b"},
            ),
            f"a.py {HELD}",
        ),
        (Tool("NotebookEdit", notebook), f"nb.ipynb {HELD}"),
        (shell("echo b > a.py"), f"a.py {HELD}"),
        (shell("cd /tmp && sed -i s/a/b/ '" + str(repository / "a.py") + "'"), f"a.py {HELD}"),
        (
            shell("find . -name '*.py' -exec sed -i s/a/b/ {} +"),
            f"a.py (which this may change) {HELD}",
        ),
        (shell("git checkout -- a.py"), f"a.py {HELD}"),
        (
            shell("git commit -q --allow-empty -m x"),
            f"the branch main (`git commit -q --allow-empty -m x` moves it) {HELD}",
        ),
        (shell("git merge topic"), f"(`git merge topic` moves it) {HELD}"),
        (shell("git push origin HEAD:main"), f"(`git push origin HEAD:main` moves it) {HELD}"),
        (shell(f"git -C '{repository}' commit -q --allow-empty -m x"), f"moves it) {HELD}"),
        (shell("git stash"), f"(which this may change) {HELD}"),
        (
            shell("git push -f origin main"),
            "a protected branch is moved by a merge, never removed, renamed or rewritten",
        ),
        (shell("git clean -fdx"), "git clean -f -- PATH"),
        (shell("git worktree prune"), "octet worktree remove NAME"),
        (shell("git gc"), "leave it to git"),
        (shell("git branch -D octet/T9"), "Octet removes it once it is merged"),
        (shell("git switch wt"), "wt is checked out in the worktree wt"),
        (shell("echo mine > b.py && cat b.py && git status --short"), ""),
    ]


def in_a_worktree(repository: Path, own: Path, other: Path) -> list[Case]:
    return [
        (write(own / "a.py"), ""),
        (
            shell(
                "sed -i s/b/c/ a.py && git add a.py && git -c user.name=B -c "
                "user.email=b@example.org commit -q -m Mine"
            ),
            "",
        ),
        (shell("git stash"), "octet worktree snapshot"),
        (shell("git stash list; git status --short"), ""),
        (shell("git merge -q main"), ""),
        (write(repository / "a.py"), f"a.py {HELD}"),
        (shell(f"echo b > '{repository}/a.py'"), f"a.py {HELD}"),
        (shell("git -C ../../.. merge topic"), f"(`git -C ../../.. merge topic` moves it) {HELD}"),
        (shell("git push origin HEAD:main"), f"moves it) {HELD}"),
        (shell(f"git -C '{other}' stash"), "octet worktree snapshot"),
        (shell(f"rm -rf '{other}'"), f"octet worktree remove {other.name}"),
        (shell("git switch main"), "main is checked out in the main checkout"),
    ]


def in_a_subagents_worktree(repository: Path) -> list[Case]:
    """A worktree that the client has made for a sub-agent, under a name of its own."""
    return [
        (Tool("Write", {"file_path": "new.py", "content": "n = 1\n"}), ""),
        (
            shell(
                "git add new.py && git -c user.name=C -c user.email=c@example.org commit -q -m Mine"
            ),
            "",
        ),
        (shell("git stash push -m wip"), "octet worktree snapshot"),
        (shell(f"sed -i s/a/b/ '{repository}/a.py'"), f"a.py {HELD}"),
        (shell(f"git -C '{repository}' merge topic"), f"moves it) {HELD}"),
        (shell("git push origin HEAD:main"), f"moves it) {HELD}"),
    ]


def assert_told(model: Model, session: str, cases: Sequence[Case]) -> None:
    """The model of `session` was told what each case says, and each denial is Octet's."""
    results = model.tool_results(session)
    assert len(results) == len(cases), results
    for (tool, words), told in zip(cases, results, strict=True):
        denied = told.startswith("PreToolUse:")
        assert denied == bool(words), f"{tool}: {told}"
        assert words in told, f"{tool}: {told}"


def turns(cases: Sequence[Case]) -> list[Tool | Text]:
    return [*(tool for tool, _ in cases), Text("Done.")]


def test_in_the_shared_checkout(team: Sandbox, model: Model) -> None:
    """While another session holds files and main: each way to write them is denied by name, with
    advice; the rest goes on.
    """
    holder, gate = start_holder(team)
    git(
        team.repository,
        "worktree",
        "add",
        "-q",
        "-b",
        "wt",
        str(team.repository / ".claude/worktrees/wt"),
    )
    tip = git(team.repository, "rev-parse", "main")
    cases = in_the_shared_checkout(team.repository)
    model.script("B", *turns(cases))
    team.start(marker("B") + " write").finish()
    assert_told(model, "B", cases)
    call = Tool(
        "Agent",
        {
            "description": "Write",
            "prompt": marker("C.1") + " write",
            "subagent_type": "general-purpose",
        },
    )
    model.script("C", call, Text("Waiting."), Text("Done."))
    model.script("C.1", *turns(cases))
    client = team.start(None)
    client.send(marker("C") + " have it written")
    model.wait_for_requests("C.1", len(cases) + 1)
    assert_told(model, "C.1", cases)
    client.finish()
    assert (team.repository / "a.py").read_text() == "a = 0\n"
    assert git(team.repository, "rev-parse", "main") == tip
    gate.open()
    holder.finish()


def test_in_worktrees(team: Sandbox, model: Model) -> None:
    """An agent's own worktree and branch are free; shared ones and another agent's are not."""
    holder, gate = start_holder(team)
    own, other = (team.repository / ".claude/worktrees" / name for name in ("mine", "wt"))
    for tree in (own, other):
        git(team.repository, "worktree", "add", "-q", "-b", tree.name, str(tree))
    look = [
        (Tool("Read", {"file_path": str(place / "a.py")}), "") for place in (team.repository, own)
    ]
    cases = [*look, *in_a_worktree(team.repository, own, other)]
    model.script("B", *turns(cases))
    team.start(marker("B") + " write", cwd=own).finish()
    assert_told(model, "B", cases)
    of_subagent = in_a_subagents_worktree(team.repository)
    prompt = {
        "description": "Write",
        "prompt": marker("C.1"),
        "subagent_type": "general-purpose",
        "isolation": "worktree",
    }
    model.script("C", Tool("Agent", prompt), Text("Waiting."), Text("Done."))
    model.script("C.1", *turns(of_subagent))
    client = team.start(None)
    client.send(marker("C") + " have it written")
    model.wait_for_requests("C.1", len(of_subagent) + 1)
    assert_told(model, "C.1", of_subagent)
    client.finish()
    assert (own / "a.py").read_text() == "c = 1\n"
    assert (team.repository / "a.py").read_text() == "a = 0\n"
    assert other.is_dir()
    gate.open()
    holder.finish()


def test_a_write_that_no_parser_sees_is_told(team: Sandbox, model: Model) -> None:
    """A program changes a held file by itself, once with success and once without: the writer's
    model hears of it with the result.
    """
    holder, gate = start_holder(team)
    write_it = "python3 -c \"open('a.py', 'w').write('x = {}')\""
    model.script(
        "B", shell(write_it.format(1)), shell(write_it.format(2) + "; false"), Text("Done.")
    )
    team.start(marker("B") + " write").finish()
    texts = model.requests_of("B")[-1].texts()
    told = [
        text for text in texts if "a.py changed while this command ran; its holder guest-1" in text
    ]
    assert len(told) == 2
    gate.open()
    holder.finish()
