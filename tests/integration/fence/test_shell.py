"""The hook's shell part alone, under every shell that may be /bin/sh: when it asks, and what the
hook behind it gets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octet.install.fence_hooks import (
    HOOKS,
    HookFacts,
    is_ours,
    read_protected,
    render,
    render_passing,
)

SHELLS = {
    "sh": ["/bin/sh"],
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "zsh": ["zsh", "--emulate", "sh"],
    "busybox": ["busybox", "sh"],
    "mksh": ["mksh"],
    "strict": ["/bin/sh", "-u"],
}
OLD, NEW, NONE = "1" * 40, "2" * 40, "0" * 40
ODD = ["main", "release/*", "v[0-9]?", "a'b", "$(touch x)", "x y", "*\n"]


class Hooks:
    """A `hooks` directory with ours in it; an interpreter that notes what it is asked and ends as
    it is told.
    """

    def __init__(self, directory: Path, shell: list[str], protected: list[str]) -> None:
        self.directory, self.shell = directory, shell
        self.root, self.state = directory / "a 'root", directory / "state"
        self.common = self.root / ".git"
        approval = self.state / "approval"
        self.place = HookFacts(
            self.root, self.common, self.state, approval, self.root / "octet.toml", tuple(protected)
        )
        self.hooks, self.before = self.common / "hooks", self.common / "hooks-before-octet"
        for path in (self.hooks, self.before, self.state):
            path.mkdir(parents=True)
        approval.touch()
        self.place.settings.touch()
        for name, content in render(self.place, None).items():
            (self.hooks / name).write_bytes(content)
        self.asked = directory / "asked"
        self.answers(0)

    def answers(self, code: int) -> None:
        python = self.directory / "python"
        python.write_text(f'#!/bin/sh\n/bin/grep . > "{self.asked}"\nexit {code}\n')
        python.chmod(0o755)
        (self.state / "interpreter").write_text(f"{python}\n{self.directory}\n")

    def hint(self, **values: str) -> None:
        lines = [
            f"octet_{name}='{value}'"
            for name, value in {"pids": "", "held": "", "trees": "", **values}.items()
        ]
        (self.state / "fence").write_text("\n".join(lines) + "\n")

    def add(self, name: str, script: str) -> None:
        (self.before / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.before / name).chmod(0o755)

    def run(
        self, hook: str, /, *words: str, stdin: str = "", code: int = 0, **environment: str
    ) -> str:
        """What it asked, "" when it did not; `self.said` is its standard error."""
        self.asked.unlink(missing_ok=True)
        done = subprocess.run(
            [*self.shell, str(self.hooks / hook), *words],
            input=stdin,
            env={"PATH": "/nowhere", **environment},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stderr
        self.said = done.stderr
        return self.asked.read_text() if self.asked.exists() else ""

    def moved(self, ref: str, old: str = OLD, new: str = NEW, **settings: Any) -> str:
        return self.run(
            "reference-transaction", "prepared", stdin=f"{old} {new} {ref}\n", **settings
        )


@pytest.fixture(params=SHELLS)
def hooks(
    request: pytest.FixtureRequest, tmp_path: Path, require_program: Callable[[str], Path]
) -> Hooks:
    command = SHELLS[request.param]
    if request.param in ("busybox", "mksh") and not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    return Hooks(tmp_path, [str(require_program(command[0])), *command[1:]], ODD)


def test_it_asks_about_agents_at_protected_branches_only(hooks: Hooks) -> None:
    """By builtins alone up to there: PATH leads nowhere. A superset of the patterns is asked about,
    nothing else.
    """
    agent: dict[str, Any] = {"CLAUDE_PID": "4242"}
    for ref in ("main", "release/1", "release/a/b", "v12", "a'b", "$(touch"):
        assert bool(hooks.moved(f"refs/heads/{ref}", **agent)) == (ref != "$(touch"), ref
    for ref in (
        "refs/heads/octet/main",
        "refs/heads/mainly",
        "refs/remotes/origin/main",
        "refs/tags/main",
        "main",
        "refs/heads/MAIN",
    ):
        assert not hooks.moved(ref, **agent), ref
    assert not hooks.moved("refs/heads/main", OLD, OLD, **agent)
    assert (
        hooks.moved("refs/heads/main", NONE, NONE, **agent) == f"{NONE} {NONE} refs/heads/main\n"
    ), "a deletion"
    assert hooks.moved("refs/heads/main", OCTET_AGENT="dev-1")
    assert hooks.moved("refs/heads/main", OCTET_FENCE_TOKEN="7")
    assert not hooks.moved("refs/heads/main")
    assert not list(hooks.directory.rglob("x"))


def test_only_the_prepared_phase_is_looked_at(hooks: Hooks) -> None:
    """The others come when nothing can be refused any more."""
    for phase in ("committed", "aborted", "preparing", ""):
        assert not hooks.run(
            "reference-transaction",
            phase,
            stdin=f"{OLD} {NEW} refs/heads/main\n",
            CLAUDE_PID="4242",
        )


def test_an_ancestor_is_found_without_any_variable(hooks: Hooks) -> None:
    """By the processes that the daemon has listed; others' are no reason to ask, nor is a file that
    is not there.
    """
    hooks.hint(pids=f" 4194301 {os.getpid()} ")
    assert hooks.moved("refs/heads/main")
    hooks.hint(pids=" 4194301 ")
    assert not hooks.moved("refs/heads/main")


def test_a_person_is_asked_about_while_somebody_is_at_it(hooks: Hooks) -> None:
    """A held branch, or a merge under way; whatever comes of the question, the person goes on
    unless it is refused.
    """
    hooks.hint(held="\n/other\n")
    assert not hooks.moved("refs/heads/main")
    hooks.place.root.rename(hooks.directory / "plain")
    hooks.root = hooks.directory / "plain"
    held = Hooks(hooks.directory / "second", hooks.shell, ["main"])
    (held.common / "worktrees" / "octet-merge").mkdir(parents=True)
    assert held.moved("refs/heads/main")
    held.answers(9)
    assert held.moved("refs/heads/main")
    assert not held.said


def test_a_worktrees_owner_is_not_asked_about(hooks: Hooks) -> None:
    """Its commits on a task's branch cost the shell's part only; in a directory that is not known
    for its own it is asked.
    """
    stdin = f"{OLD} {NEW} HEAD\n{OLD} {NEW} refs/heads/octet/t1\n"
    asked = {}
    tree = hooks.directory / "tree"
    tree.mkdir()
    main, hooks.root = hooks.root, tree
    for name, trees in {
        "own": f"\n4242 {tree}\n",
        "another's": f"\n4343 {tree}\n",
        "unknown": "",
    }.items():
        hooks.hint(trees=trees)
        asked[name] = bool(
            hooks.run("reference-transaction", "prepared", stdin=stdin, CLAUDE_PID="4242")
        )
        assert not hooks.run("reference-transaction", "prepared", stdin=stdin), "a person"
    assert asked == {"own": False, "another's": True, "unknown": True}
    assert main


@pytest.mark.parametrize("answer", [2, 3, 127])
def test_a_refusal_ends_it_and_what_cannot_answer_refuses_agents(hooks: Hooks, answer: int) -> None:
    """Whatever way the question failed; the hook behind is not run then."""
    hooks.add("reference-transaction", f"echo ran > '{hooks.directory}/ran'")
    hooks.answers(answer)
    hooks.moved("refs/heads/main", CLAUDE_PID="4242", PATH=os.environ["PATH"], code=1)
    assert bool(hooks.said) == (answer != 2)
    assert hooks.said.count("\n") <= 1
    assert not (hooks.directory / "ran").exists()


def test_the_hook_behind_gets_everything(hooks: Hooks) -> None:
    """Arguments, input to the byte, variables as they were; its exit code is ours; one without the
    right to run is not run.
    """
    names = sorted(set(re.findall(r"\b(\w+)=", (hooks.hooks / "pre-push").read_text())))
    plain = [name.removeprefix("octet_") for name in names if name.startswith("octet_")]
    values: dict[str, Any] = {name: f"mine {name}" for name in plain}
    script = f'printf "%s|" "$@" > "{hooks.directory}/got"; /bin/cat >> "{hooks.directory}/got"\n'
    script += "".join(f'[ "${name}" = "mine {name}" ] || exit 9\n' for name in plain) + "exit 7"
    for hook, words in (
        ("reference-transaction", ["prepared"]),
        ("reference-transaction", ["committed"]),
        ("pre-push", ["a b", "*"]),
    ):
        hooks.add(hook, script)
        for stdin in (
            "",
            f"{OLD} {NEW} refs/heads/x\n",
            f"refs/heads/x {OLD} refs/heads/x\\n {NEW}\n" * 3000,
        ):
            hooks.run(hook, *words, stdin=stdin, code=7, **{**values, "PATH": os.environ["PATH"]})
            assert (hooks.directory / "got").read_text() == "".join(
                f"{word}|" for word in words
            ) + stdin
        (hooks.before / hook).chmod(0o644)
        hooks.run(hook, *words)


def test_a_push_is_asked_about_by_the_remotes_branch(hooks: Hooks) -> None:
    """Not by the name that it has here."""

    def line(local: str, remote: str) -> str:
        return f"refs/heads/{local} {NEW} refs/heads/{remote} {OLD}\n"

    stdin = line("x", "main") + line("main", "x")
    assert (
        hooks.run("pre-push", "origin", "url", stdin=stdin, CLAUDE_PID="4242")
        == f"{OLD} {NEW} refs/heads/main\n"
    )
    assert not hooks.run("pre-push", "origin", "url", stdin=line("main", "x"), CLAUDE_PID="4242")
    assert not hooks.run("pre-push", "origin", "url", stdin=stdin)


def test_a_commit_is_asked_about_by_the_branch_of_head(hooks: Hooks) -> None:
    """For agents. It is found in a worktree's directory, or GIT_DIR's; a detached or unreadable
    HEAD is left to the transaction.
    """
    agent: dict[str, Any] = {"CLAUDE_PID": "4242"}
    head = hooks.common / "HEAD"
    asked = {}
    for text in (
        "ref: refs/heads/main\n",
        "ref: refs/heads/octet/t1\n",
        "ref: refs/heads/.invalid\n",
        f"{OLD}\n",
        "",
        "ref: ",
    ):
        head.write_text(text)
        asked[text] = hooks.run("pre-commit", **agent)
        assert not hooks.run("pre-commit"), "a person"
        assert not hooks.run("pre-commit", GIT_DIR="/nowhere", **agent)
    line = "now next refs/heads/main\n"
    assert asked.pop("ref: refs/heads/main\n") == f"{line}now next HEAD\n"
    assert not any(asked.values())
    head.unlink()
    own = hooks.directory / "own"
    own.mkdir()
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    assert line in hooks.run("pre-commit", GIT_DIR=str(own), **agent)
    tree = hooks.directory / "a tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {own}\n")
    hooks.root = tree
    assert line in hooks.run("pre-commit", **agent)


def test_what_runs_before_a_commit_gets_everything_and_only_if_it_may(hooks: Hooks) -> None:
    """Arguments, input and exit code of the hook behind; not run where the fence refuses."""
    (hooks.common / "HEAD").write_text("ref: refs/heads/main\n")
    hooks.add("pre-commit", f'echo "$# $(/bin/cat)" > "{hooks.directory}/got"; exit 7')
    hooks.run("pre-commit", stdin="text", code=7, CLAUDE_PID="4242")
    assert (hooks.directory / "got").read_text() == "0 text\n"
    (hooks.directory / "got").unlink()
    hooks.answers(2)
    hooks.run("pre-commit", code=1, CLAUDE_PID="4242")
    assert not (hooks.directory / "got").exists()
    hooks.run("pre-commit", code=7)


def test_newer_settings_are_asked_about(hooks: Hooks) -> None:
    """For agents; task branches cost no question even then."""
    later = time.time() + 100
    os.utime(hooks.place.settings, (later, later))
    assert hooks.moved("refs/heads/new-one", CLAUDE_PID="4242")
    assert not hooks.moved("refs/heads/octet/t1", CLAUDE_PID="4242")
    assert not hooks.moved("refs/heads/new-one")


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    """The patterns, whatever is in them, and whose hook it is."""
    place = HookFacts(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, tuple(ODD))
    for name, content in render(place, "/x").items():
        assert name in HOOKS
        assert is_ours(content)
        assert read_protected(content) == tuple(ODD)
    assert is_ours(render_passing("pre-commit", ".husky/_"))
    assert not is_ours(b"#!/bin/sh\n")
