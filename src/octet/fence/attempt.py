"""The question of git's own hooks: may this process move these refs? Judged like a tool call.

attempt = parse(raw)                       # Attempt(moves=(RefMove("refs/heads/main", …),), …)
needs = fence_needs(attempt, project)      # Needs(resources=("repository:main",), …)
render(judge(needs, answer, project))      # Reply(2, b"", b"Octet: the branch main is held …")
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase

from octet.base.errors import UsageError
from octet.base.files import read_file
from octet.base.text import plain
from octet.guard.git.rules import SHARED
from octet.guard.paths import repository_resource, worktree_resource
from octet.guard.policy import Needs, Verdict
from octet.guard.reply import Reply
from octet.project.repository import Project, UnusablePath, find_worktree

EVENT = "Fence"
TOKEN_VARIABLE = "OCTET_FENCE_TOKEN"
_HEADS = "refs/heads/"


@dataclass(frozen=True)
class RefMove:
    """One line of git's to its hook; object names are hexadecimal, zeros for none. `ref` may be
    HEAD: the worktree's own moves. Before a commit there are no objects, and the names are words.
    """

    ref: str
    old: str
    new: str

    @property
    def branch(self) -> str:
        """The branch's name, "" for what is none."""
        return self.ref.removeprefix(_HEADS) if self.ref.startswith(_HEADS) else ""

    @property
    def deletes(self) -> bool:
        """Whether the ref is gone afterwards."""
        return not self.new.strip("0")


@dataclass(frozen=True)
class Attempt:
    """What git is about to do, and what its environment says about the asker."""

    moves: tuple[RefMove, ...]
    # The patterns that a person approved by `octet init`.
    protected: tuple[str, ...]
    cwd: str
    # Git's own process.
    pid: int
    # CLAUDE_PID, 0 for unset.
    claude_pid: int = 0
    # OCTET_AGENT, OCTET_ROLE and OCTET_FENCE_TOKEN, "" for unset.
    agent: str = ""
    role: str = ""
    token: str = ""
    # Whether the hook has seen signs of an agent.
    near: bool = False


def parse(raw: bytes) -> Attempt:
    """The attempt that `octet.fence.client` sends: NUL-separated, git's lines `OLD NEW REF` last.

    Raises:
        UsageError: it is not an attempt.
    """
    try:
        fields = raw.decode("utf-8", "surrogateescape").split("\0")
        protected, pid, near, cwd, claude, agent, role, token, lines = fields
        moves = tuple(
            RefMove(ref, old, new)
            for old, new, ref in (line.split(" ", 2) for line in lines.split("\n") if line)
        )
        patterns = tuple(map(str, json.loads(protected)))
        return Attempt(
            moves, patterns, cwd, _pid(pid), _pid(claude), agent, role, token, bool(near)
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError("this is no question of Octet's git hooks") from error


def _pid(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0


def fence_needs(attempt: Attempt, project: Project) -> Needs:
    """The locks of the protected branches that move. Deleting one is refused, as at a tool call."""
    names: dict[str, str] = {}
    refusals: list[str] = []
    patterns = (*project.config.protected, *attempt.protected)
    for move in attempt.moves:
        if (
            not move.branch
            or not any(fnmatchcase(move.branch, pattern) for pattern in patterns)
            or _is_packing(move, project)
        ):
            continue
        names[repository_resource(move.branch)] = f"the branch {plain(move.branch, 200)}"
        if move.deletes:
            refusals.append(
                f"Octet: the branch {plain(move.branch, 200)} is not deleted: {SHARED}."
            )
    return Needs(resources=tuple(names), names=names, refusals=tuple(refusals))


def _is_packing(move: RefMove, project: Project) -> bool:
    """Whether git only stores a ref in another way: `gc` copies a loose ref to packed-refs, then
    deletes the loose one, and git 2.39 reports both to its hooks as moves. A real deletion of a
    packed ref holds packed-refs.lock while the hook runs.
    """
    if project.common_dir is None:
        return False
    try:
        loose = (read_file(project.common_dir / move.ref) or b"").strip().decode("ascii", "replace")
        packed = read_file(project.common_dir / "packed-refs") or b"" if move.deletes else b""
    except UsageError:
        return False
    if not move.deletes:
        return not move.old.strip("0") and loose == move.new
    stays = f"{move.old} {move.ref}".encode("utf-8", "surrogateescape") in packed.splitlines()
    return loose == move.old and stays and not (project.common_dir / "packed-refs.lock").exists()


def worktree_needs(attempt: Attempt, project: Project) -> Needs:
    """The lock of the linked worktree whose HEAD moves; nothing in the main checkout, which all
    agents share.
    """
    if not any(move.ref == "HEAD" for move in attempt.moves) or project.config.lock_paths == "off":
        return Needs()
    try:
        worktree = find_worktree(attempt.cwd)
    except UnusablePath:
        return Needs()
    if worktree is None or worktree.is_main or worktree.common_dir != project.common_dir:
        return Needs()
    resource = worktree_resource(worktree)
    return Needs(
        resources=(resource,), names={resource: f"the worktree {plain(worktree.name, 200)}"}
    )


def render(verdict: Verdict) -> Reply:
    """For a terminal: a refusal or a question ends with 2 and its reason in one line."""
    refused = verdict.decision in ("deny", "ask")
    said = verdict.reason if refused else verdict.notice or verdict.context
    if verdict.decision == "ask":
        said = f"{said} Git cannot ask, so this is refused; a person may do it in a terminal."
    line = f"{plain(said, 2000).strip()}\n" if said else ""
    return Reply(2 if refused else 0, b"", line.encode("utf-8", "replace"))
