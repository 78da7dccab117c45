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

from octet.demo.actions import EditFile, WriteFile
from octet.git.program import Git

BRANCH = "main"
PROJECT = "pocket-demo"

Step = WriteFile | EditFile


@dataclass(frozen=True)
class Job:
    """One task, and how a developer does it. Paths are relative to the worktree."""

    id: str
    title: str
    priority: int
    paths: tuple[str, ...]  # what it may change besides its tests
    after: tuple[str, ...]  # the tasks that it waits for
    alone: bool  # whether no other task may touch these paths meanwhile
    tests: WriteFile  # the step that writes its tests
    steps: tuple[Step, ...]  # the other steps

    @property
    def scope(self) -> tuple[str, ...]:
        """The paths that it declares to Octet."""
        return (*self.paths, str(self.tests.path)) if self.alone else ()


@dataclass(frozen=True)
class Sample:
    """The files of the first commit, and the jobs of the feature."""

    files: tuple[WriteFile, ...]
    feature: str
    jobs: tuple[Job, ...]

    def job(self, task: str) -> Job:
        return next(job for job in self.jobs if job.id == task)


def load_sample() -> Sample:
    """Read the sample's data files."""
    data = resources.files("octet.demo") / "data"
    project = tomllib.loads((data / "project.toml").read_text(encoding="utf-8"))
    feature = tomllib.loads((data / "feature.toml").read_text(encoding="utf-8"))
    files = tuple(WriteFile(Path(file["path"]), file["text"]) for file in project["file"])
    return Sample(files, feature["title"], tuple(_read_job(task) for task in feature["task"]))


def test_command(python: str) -> str:
    """The command that runs the sample's tests: by pytest if this Python has it, else by unittest.

    pytest is no dependency of Octet, and the demo must run where only Octet is installed.
    """
    probe = subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False)
    if probe.returncode:
        return shlex.join([python, "-B", "-m", "unittest", "-q"])
    # Without the plugins that happen to be installed: the sample needs none.
    run = shlex.join([python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"])
    return f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {run}"


def make_repository(root: Path, sample: Sample, command: str) -> Git:
    """Make the repository with one commit on `main`, opted in to Octet.

    The repository itself sets the author and turns signing off, so that it needs no git settings
    of the person.
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
        f'project = "{PROJECT}"\nprotected = ["{BRANCH}"]\n\n'
        f"[test]\ncommand = {_toml_string(command)}\n"
    )
    for file in (*sample.files, WriteFile(Path(".claude/octet.toml"), settings)):
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "Household expenses: ledger, CSV files, reports")
    return git


def _read_job(task: dict[str, Any]) -> Job:
    tests, *steps = (_read_step(step) for step in task["step"])
    assert isinstance(tests, WriteFile)
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


def _read_step(step: dict[str, str]) -> Step:
    if "write" in step:
        return WriteFile(Path(step["write"]), step["text"])
    return EditFile(Path(step["edit"]), step["old"], step["new"])


def _toml_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
