"""`octet worktree …` as agents run it: processes of their own, on one repository and one server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from octet.git.program import Git
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project

SOURCES = str(Path(__file__).parents[2] / "src")


class Crew:
    """A repository, and the command line as any named agent uses it."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self.environment = environment

    def start(self, agent: str, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "octet", *words],
            cwd=cwd or self.root,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environment, "OCTET_AGENT": agent, "OCTET_ROLE": "developer"},
        )

    def __call__(self, agent: str, *words: str, code: int = 0, cwd: Path | None = None) -> str:
        process = self.start(agent, *words, cwd=cwd)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, (out, err)
        assert "Traceback" not in err
        return out if code == 0 else err

    def json(self, agent: str, *words: str, cwd: Path | None = None) -> Any:
        return json.loads(self(agent, *words, "--json", cwd=cwd))


@pytest.fixture
def crew(tmp_path: Path, redis_url: str, clean_env: dict[str, str]) -> Crew:
    root = tmp_path / "a shop"
    (root / ".claude").mkdir(parents=True)
    (root / FILE).write_text('project = "shop"\n[worktree]\nports = ["PORT"]\n')
    (root / ".gitignore").write_text("/.claude/worktrees/\n")
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "base")
    trust.approve(load_project(root))
    environment = {
        **clean_env,
        "PYTHONPATH": SOURCES,
        "OCTET_REDIS_URL": redis_url,
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    return Crew(root, environment)


@pytest.mark.timeout(240)
def test_twenty_processes_add_twenty_worktrees(crew: Crew) -> None:
    """All at once: each gets its own directory, branch and port."""
    for n in range(20):
        crew("planner", "task", "add", f"work {n}", "--id", f"t{n}")
    for n in range(20):
        crew(f"dev-{n}", "task", "claim", f"t{n}")
    processes = [crew.start(f"dev-{n}", "worktree", "add", "--json") for n in range(20)]
    ended = [(process.communicate(timeout=200), process.returncode) for process in processes]
    assert [(err, code) for (_, err), code in ended if code or err] == []
    made = [json.loads(out) for (out, _), _ in ended]
    assert [one["branch"] for one in made] == [f"octet/t{n}" for n in range(20)]
    assert len({one["ports"]["PORT"] for one in made}) == 20
    assert {one["name"] for one in crew.json("dev-0", "worktree", "list", "--no-size")} == {
        f"t{n}" for n in range(20)
    }


def test_removal_by_name_and_the_doctor(crew: Crew) -> None:
    """Another's worktree stays while its owner lives; afterwards the doctor removes what is merged
    and leaves what is not.
    """
    for n in (1, 2):
        crew("planner", "task", "add", "work", "--id", f"t{n}")
        crew(f"dev-{n}", "task", "claim", f"t{n}")
    clean, dirty = (Path(crew.json(f"dev-{n}", "worktree", "add")["path"]) for n in (1, 2))
    (dirty / "new").write_text("x")
    assert "dev-1 works in it" in crew("dev-2", "worktree", "remove", "t1", code=1)
    assert "all is well" in crew("dev-2", "worktree", "doctor")
    for n in (1, 2):
        crew(f"dev-{n}", "agent", "leave")
    assert "--fix does it" in crew("ann", "worktree", "doctor")
    report = crew.json("ann", "worktree", "doctor", "--fix")
    assert [one["name"] for one in report["done"]] == ["t1"]
    assert [one["name"] for one in report["left"]] == ["t2"]
    assert (clean.exists(), dirty.exists()) == (False, True)
    assert "refs/octet/rescue/t2/1" in crew("ann", "worktree", "remove", "t2")
    assert "no worktrees" in crew("ann", "worktree", "list")


@pytest.mark.parametrize("name", ["", "..", "-x", "/", "octet/../x", "a\nb", "refs/heads/main"])
def test_hostile_names_are_refused_in_a_line(crew: Crew, name: str) -> None:
    """No name of a worktree: usage error, nothing removed."""
    assert crew("ann", "worktree", "remove", "--", name, code=2).count("\n") == 1
    assert crew("ann", "worktree", "snapshot", f"--name={name or 'a..b'}", code=2).count("\n") == 1
