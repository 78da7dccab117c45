"""What goes into a landing and what comes out: works, their target, and an outcome for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Strategy(StrEnum):
    """How work comes into the branch.

    merge: a merge commit for each. squash: one commit for each. rebase: the work's own commits,
    replayed on the branch; only the last of them is tested.
    """

    MERGE = "merge"
    SQUASH = "squash"
    REBASE = "rebase"


@dataclass(frozen=True)
class Work:
    """One submitted work. `commit` is what was reviewed; `branch` is its name at the remote."""

    task: str
    title: str
    commit: str
    branch: str = ""


@dataclass(frozen=True)
class MergeTarget:
    """The branch that moves, and the remote with its authoritative position; "": this one."""

    branch: str
    remote: str = ""


@dataclass(frozen=True)
class Tip:
    """Where a branch is."""

    commit: str
    tree: str


@dataclass(frozen=True)
class Evidence:
    """One run of the test command, to be kept with its task."""

    command: str
    commits: tuple[str, ...]  # the submitted commits that were combined
    onto: str  # the branch's commit
    combined: str  # the commit that was tested
    tree: str  # its tree
    status: int | None  # exit status; negative for a signal, None if the time ran out
    started_ms: int
    duration_ms: int
    tail: str  # the end of the output, at most TAIL_BYTES

    @property
    def passed(self) -> bool:
        return self.status == 0


@dataclass(frozen=True)
class Landed:
    """The work is in the branch.

    `commit` brought it there; `tip` is the branch's commit after that, another one only for a
    batch. `evidence` is None if nothing was run: the branch had the work already, the work adds
    nothing to it, or no tests were asked for.
    """

    work: Work
    commit: str
    tip: str
    evidence: Evidence | None


@dataclass(frozen=True)
class Conflict:
    """The work and the branch (at `onto`) changed the same lines of these files; nothing moved."""

    work: Work
    paths: tuple[str, ...]
    onto: str


@dataclass(frozen=True)
class TestsFailed:
    """The combined tree did not pass; nothing moved."""

    __test__: ClassVar[bool] = False  # pytest takes it for a class of tests by its name

    work: Work
    evidence: Evidence


@dataclass(frozen=True)
class Unusable:
    """The work can never land: its commit does not exist, or shares no history with the branch."""

    work: Work
    why: str


@dataclass(frozen=True)
class MergeBlocked:
    """Nothing can move as things are; `why` says what a person is to do. Works without an outcome
    stay in the queue.
    """

    why: str


Outcome = Landed | Conflict | TestsFailed | Unusable | MergeBlocked


class CannotMerge(Exception):
    """Nothing can move as things are; the message says what a person is to do."""
