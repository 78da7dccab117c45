"""`[worktree] setup`: the repository's command for a new worktree (dependencies), run once if this
machine's person has approved it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octet.base.commands import wait_for_end
from octet.git.program import neutral_environment
from octet.project import trust
from octet.project.repository import Project

LIMIT_S = 900.0
LOG = "octet-setup.log"


@dataclass(frozen=True)
class SetupResult:
    """`ran`: whether it was started. `failure`: one line, "" if it succeeded or there is none."""

    ran: bool = False
    failure: str = ""
    log: str = ""


def run_setup(
    project: Project, tree: Path, git_dir: Path, ports: Mapping[str, int], limit_s: float = LIMIT_S
) -> SetupResult:
    """Run the set-up command in a worktree, with its ports in the environment. The output goes to
    a file in git's directory of the worktree.
    """
    command = project.config.worktree_setup
    if not command:
        return SetupResult()
    if refusal := trust.check(project).command_refusal("worktree.setup"):
        return SetupResult(failure=f"the set-up command did not run: {refusal}")
    log = git_dir / LOG
    environment = {**neutral_environment(), **{name: str(port) for name, port in ports.items()}}
    with log.open("wb") as output:
        # Not `run_command`: a server that the set-up starts for the worktree goes on.
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
        status = wait_for_end(process, limit_s)
    if status == 0:
        return SetupResult(True, "", str(log))
    how = f"was ended after {limit_s:g} s" if status is None else f"ended with status {status}"
    return SetupResult(
        True, f"the set-up command {how}; the worktree stays, its output is in {log}", str(log)
    )
