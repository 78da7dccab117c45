"""A branch at a remote: fetched, and moved there by compare-and-swap.

Git never asks for a password here, and never waits for ever.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from octet.base.errors import UsageError
from octet.git.program import BUSY, NO_HOOKS, Git, Ran

LIMIT_S = 600.0
_SSH = "-o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_PLAIN = (
    *NO_HOOKS,
    *("-c", "push.followTags=false"),
    *("-c", "push.gpgSign=false"),
    *("-c", "push.recurseSubmodules=no"),
    *("-c", "submodule.recurse=false"),
)
# Another push was at work at the same time; the remote's branch may not show it yet.
_CONTENDED = (
    "cannot lock ref",
    "failed to update ref",
    "failed to lock",
    "unable to create",
    "stale info",
    "incorrect old value",
)
_HALF_MADE = "bad object worktrees/"  # a worktree that another process is adding
_PAUSE_S = 0.2
_TRIES = 5
_MISSING = "couldn't find remote ref"
_NO_BRANCH = re.compile(r"[\s:*?\[\\^~\x00-\x1f\x7f]|^[+-]")


def is_missing(why: str) -> bool:
    """Whether a fetch failed because the remote has no such branch."""
    return _MISSING in why


def is_contended(why: str) -> bool:
    """Whether a push was refused because another was at work at the same time."""
    return any(sign in why.lower() for sign in _CONTENDED)


@dataclass(frozen=True)
class Remote:
    """One branch of a remote; `git` runs in a repository that knows the remote by this name."""

    git: Git
    name: str
    branch: str

    @property
    def tracking(self) -> str:
        """The reference that `fetch` updates."""
        return f"refs/remotes/{self.name}/{self.branch}"

    def fetch(self) -> str:
        """Update `tracking` from the remote; the error, or ""."""
        return self._fetch(f"+refs/heads/{self.branch}:{self.tracking}")

    def fetch_branch(self, branch: str) -> str:
        """Fetch another branch's commits, without a reference to them; the error, or ""."""
        if _NO_BRANCH.search(branch):
            return f"{_MISSING} {branch!r}: that is no name of a branch"
        return self._fetch(f"refs/heads/{branch}")

    def push(self, new: str, old: str) -> str:
        """Move the branch at the remote from `old` to `new`; the error, or "".

        It may have moved in spite of an error (the answer was lost): `fetch` tells.
        """
        lease = f"--force-with-lease=refs/heads/{self.branch}:{old}"
        ran = self._run(
            "push",
            "--porcelain",
            "--no-verify",
            lease,
            self.name,
            f"{new}:refs/heads/{self.branch}",
        )
        if ran.status == 0:
            return ""
        why = _refusal(ran)
        if is_contended(why):
            time.sleep(_PAUSE_S)
        return why

    def publish(self, branch: str, commit: str) -> str:
        """Set a task's branch there, whether it exists or not; the error, or ""."""
        return self._change(branch, f"+{commit}:refs/heads/{branch}")

    def withdraw(self, branch: str, commit: str) -> str:
        """Delete a task's branch there if it is still at `commit`; the error, or ""."""
        return self._change(
            branch, f":refs/heads/{branch}", f"--force-with-lease=refs/heads/{branch}:{commit}"
        )

    def _change(self, branch: str, refspec: str, *options: str) -> str:
        if _NO_BRANCH.search(branch):
            return f"{branch!r} is no name of a branch"
        ran = self._run("push", "--porcelain", "--no-verify", *options, self.name, refspec)
        return _refusal(ran) if ran.status else ""

    def _fetch(self, refspec: str) -> str:
        for _ in range(_TRIES):
            ran = self._run(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
                self.name,
                refspec,
            )
            if ran.status == 0:
                return ""
            if not any(sign in ran.err.lower() for sign in (*BUSY, _HALF_MADE)):
                break
            time.sleep(_PAUSE_S)
        return f"{self.name}: {ran.complaint}"

    def _run(self, *args: str) -> Ran:
        if self.name.startswith("-"):
            raise UsageError(f"{self.name!r} is no name of a remote")
        return self._silent().within(LIMIT_S, *args)

    def _silent(self) -> Git:
        silent = self.git.at(self.git.directory, *_PLAIN).having(
            GIT_ASKPASS="",
            SSH_ASKPASS_REQUIRE="never",
            GCM_INTERACTIVE="never",
            GIT_HTTP_LOW_SPEED_LIMIT="1000",
            GIT_HTTP_LOW_SPEED_TIME="30",
        )
        ssh = self._ssh_command()
        return silent.having(GIT_SSH_COMMAND=f"{ssh} {_SSH}") if ssh else silent

    def _ssh_command(self) -> str:
        """The person's ssh with its options; "" for another program, which has other options."""
        if "GIT_SSH" in os.environ and "GIT_SSH_COMMAND" not in os.environ:
            return ""
        command = (
            os.environ.get("GIT_SSH_COMMAND")
            or self.git.run("config", "core.sshCommand").out
            or "ssh"
        )
        try:
            program = shlex.split(command)[0]
        except (ValueError, IndexError):
            return ""
        return command if Path(program).name == "ssh" else ""


def _refusal(ran: Ran) -> str:
    """The reason that git gives for a refused push."""
    refused = [line.split("\t")[-1] for line in ran.out.splitlines() if line.startswith("!")]
    said = [
        line.removeprefix("remote: ")
        for line in ran.err.splitlines()
        if line.startswith("remote: ") and line[8:].strip()
    ]
    return "; ".join([*refused[:1], *said[:1]]) or ran.complaint
