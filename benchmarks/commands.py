"""The cost of seeing what a shell command does: an everyday one, and the longest possible one.

Each is read and judged in this process as the daemon does it; the fastest of some rounds counts,
because what is measured is work and not the machine's other work.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.table import Row, render
from octet.git.program import Git
from octet.guard import policy
from octet.guard.payload import Client, PreToolUse
from octet.project.repository import Project, load_project

ROUNDS = 5
MOST_MS = 20.0
EVERYDAY = "git add -A && git commit -m 'Fix the cart' && pytest -q tests/ | tail -5"
HOSTILE = {
    "git restore, 5,000 paths": "git restore " + " ".join(f"src/f{n}" for n in range(5000)),
    "199 git checkouts": "; ".join(f"git checkout b{n}" for n in range(199)),
    "2,000 paths known in part": "; ".join(f"echo x > $D/f{n}.log" for n in range(2000)),
    "rm, 480 files": "rm " + " ".join(f"src/f{n}" for n in range(480)),
    "400 rm after 50 cd": "; ".join(["cd src/.."] * 50 + [f"rm f{n}" for n in range(400)]),
    "600 redirections": "; ".join(f"echo > f{n}" for n in range(600)),
    "200 globs": "rm " + " ".join(f"src/*{n}*" for n in range(200)),
    "100,000 words": "echo " + "a " * 100_000,
    "3,000 pipes": "|".join(["cat"] * 3000),
    "here-document of 200 kB": "cat <<E\n" + "x" * 200_000 + "\nE\n",
    "200 subshells in each other": "(" * 200 + "ls" + ")" * 200,
}


def run() -> list[Row]:
    """The everyday command, and each of the hostile ones."""
    with tempfile.TemporaryDirectory(prefix="octet-bench") as directory:
        project = _make_project(Path(directory).resolve() / "shop")
        rows = [Row("an everyday command", _cost_ms(project, EVERYDAY), "ms", None, None, True)]
        for name, command in HOSTILE.items():
            cost_ms = _cost_ms(project, command)
            rows.append(Row(name, cost_ms, "ms", None, f"<= {MOST_MS:g} ms", cost_ms <= MOST_MS))
    return rows


def _make_project(root: Path) -> Project:
    for name, text in ((".claude/octet.toml", 'project = "shop"\n'), ("src/a.py", "a = 1\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("add", "--all")
    git.out(
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@example.org",
        "-c",
        "commit.gpgSign=false",
        "commit",
        "--quiet",
        "-m",
        "Begin",
    )
    for name in ("dev-1", "dev-2"):
        git.out("worktree", "add", "--quiet", "-b", name, f".claude/worktrees/{name}")
    return load_project(root)


def _cost_ms(project: Project, command: str) -> float:
    event = PreToolUse(
        "s", str(project.root), Client(), "", "", "", "", "", "Bash", {"command": command}, "t"
    )
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        policy.find_needs(event, project)
        best = min(best, time.perf_counter() - began)
    return best * 1000


if __name__ == "__main__":
    print(render(run()))
