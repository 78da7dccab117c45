"""The sample repository and the feature that is built in it, read from `data/*.toml`.

sample = load_sample()
make_repository(Path("/tmp/pocket"), sample, test_command("/usr/bin/python3"))
"""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from octet.git.program import Git

BRANCH = "main"
PROJECT = "pocket-demo"


@dataclass(frozen=True)
class Write:
    """A whole file; `path` is relative to the worktree."""

    path: str
    text: str


@dataclass(frozen=True)
class Edit:
    """Text of a file replaced once; `path` is relative to the worktree."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Job:
    """One task as a scripted developer does it: `tests` is the step that writes its tests, `steps`
    are the others.

    `paths` are what it may touch beside its tests; `alone`: nobody else is to work on them
    meanwhile. `after` are the tasks it waits for.
    """

    id: str
    title: str
    priority: int
    paths: tuple[str, ...]
    after: tuple[str, ...]
    alone: bool
    tests: Write
    steps: tuple[Write | Edit, ...]

    @property
    def scope(self) -> tuple[str, ...]:
        """The paths that it declares to Octet."""
        return (*self.paths, self.tests.path) if self.alone else ()


@dataclass(frozen=True)
class Sample:
    """The files of the first commit, and the jobs of the feature."""

    files: tuple[Write, ...]
    feature: str
    jobs: tuple[Job, ...]

    def job(self, task: str) -> Job:
        return next(job for job in self.jobs if job.id == task)


def load_sample() -> Sample:
    """Read the sample's data files."""
    data = resources.files("octet.demo") / "data"
    project = tomllib.loads((data / "project.toml").read_text(encoding="utf-8"))
    feature = tomllib.loads((data / "feature.toml").read_text(encoding="utf-8"))
    files = tuple(Write(file["path"], file["text"]) for file in project["file"])
    return Sample(files, feature["title"], tuple(_read_job(task) for task in feature["task"]))


def test_command(python: str) -> str:
    """The line that runs the sample's tests: under pytest where this Python has it, under plain
    unittest where it has not.

    pytest is no dependency of Octet's, and the demo must run where only Octet is installed.
    """
    has_pytest = (
        subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode
        == 0
    )
    if not has_pytest:
        return shlex.join([python, "-B", "-m", "unittest", "-q"])
    # Without the plugins that happen to be installed: the sample has no need of them.
    return "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 " + shlex.join(
        [python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    )


def make_repository(root: Path, sample: Sample, command: str) -> Git:
    """Make the repository with one commit on `main`, opted in to Octet.

    Identity and no signing are set in the repository itself, so that nothing of the person's git
    settings is needed.
    """
    root.mkdir(exist_ok=True)
    git = Git(root)
    git.out("init", "--quiet", f"--initial-branch={BRANCH}")
    for key, value in (
        ("user.name", "Octet demo"),
        ("user.email", "demo@octet.invalid"),
        ("commit.gpgSign", "false"),
    ):
        git.out("config", key, value)
    settings = (
        f'project = "{PROJECT}"\nprotected = ["{BRANCH}"]\n\n[test]\ncommand = '
        f"{_toml_string(command)}\n"
    )
    for file in (*sample.files, Write(".claude/octet.toml", settings)):
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "Household expenses: ledger, CSV files, reports")
    return git


def apply_step(root: Path, step: Write | Edit) -> None:
    """Do one step below `root`.

    Raises:
        ValueError: the text to replace does not stand in the file exactly once.
    """
    path = root / step.path
    if isinstance(step, Write):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    if text.count(step.old) != 1:
        raise ValueError(
            f"{step.path}: the text to replace stands in it {text.count(step.old)} times"
        )
    path.write_text(text.replace(step.old, step.new), encoding="utf-8")


def _read_job(task: dict[str, Any]) -> Job:
    tests, *steps = (_read_step(step) for step in task["step"])
    assert isinstance(tests, Write)
    return Job(
        id=task["id"],
        title=task["title"],
        priority=task["priority"],
        paths=tuple(task["paths"]),
        after=tuple(task.get("after", ())),
        alone=task.get("alone", False),
        tests=tests,
        steps=tuple(steps),
    )


def _read_step(step: dict[str, str]) -> Write | Edit:
    return (
        Write(step["write"], step["text"])
        if "write" in step
        else Edit(step["edit"], step["old"], step["new"])
    )


def _toml_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
