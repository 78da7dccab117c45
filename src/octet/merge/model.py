"""What goes into a landing and what comes out of it: works, where they are to go, and what became
of each.

Messages of the commits that Octet makes are composed here. Titles come from elsewhere: they are put
on one line, and no text but Octet's own can begin a line with `Octet-Task:` or `Octet-Commit:`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from octet.base.text import plain
from octet.merge.test_command import Evidence

TASK_TRAILER = "Octet-Task"
COMMIT_TRAILER = "Octet-Commit"
_SUBJECT_LIMIT = 200
_FORGED = re.compile(
    rf"^(?=[^\S\n]*(?:{TASK_TRAILER}|{COMMIT_TRAILER})\b)", re.IGNORECASE | re.MULTILINE
)
_TRAILER = re.compile(r"[A-Za-z0-9-]+:\s.*|\s.*")


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
    """One submitted piece of work. `commit` is what was reviewed; `branch` is where a remote has
    it.
    """

    task: str
    title: str
    commit: str
    branch: str = ""


@dataclass(frozen=True)
class Target:
    """The branch that moves, and the remote that decides where it is; "" where the repository
    itself does.
    """

    branch: str
    remote: str = ""


@dataclass(frozen=True)
class Landed:
    """The work is in the branch.

    `commit` brought it there, `tip` is where the branch was then; the same but for a batch.
    `evidence` is None where nothing was run: the branch had the work already, the work adds nothing
    to it, or no tests were asked for.
    """

    work: Work
    commit: str
    tip: str
    evidence: Evidence | None


@dataclass(frozen=True)
class Conflict:
    """The work and the branch, which is at `onto`, changed the same lines of these files; nothing
    moved.
    """

    work: Work
    paths: tuple[str, ...]
    onto: str


@dataclass(frozen=True)
class TestsFailed:
    """The combined tree did not pass; nothing moved."""

    work: Work
    evidence: Evidence


@dataclass(frozen=True)
class Unusable:
    """The work cannot land whatever happens to the branch: its commit is nowhere, or has no history
    in common.
    """

    work: Work
    why: str


@dataclass(frozen=True)
class Waiting:
    """Nothing can move as things are. The caller keeps the works that are not final; `why` says
    what a person is to do.
    """

    why: str


Outcome = Landed | Conflict | TestsFailed | Unusable | Waiting


def merge_message(work: Work, commit: str) -> str:
    """Of the merge of one work."""
    return f"Merge {_name(work)}\n\n{_trailers([(work, commit)])}"


def rollup_message(landed: Sequence[tuple[Work, str]]) -> str:
    """Of the one commit with which a batch comes into the branch; names every task."""
    tasks = ", ".join(plain(work.task) for work, _ in landed)
    lines = "\n".join(f"* {_name(work)}" for work, _ in landed)
    return f"{plain(f'Merge {len(landed)} tasks: {tasks}', _SUBJECT_LIMIT)}\n\n{lines}\n\n{_trailers(landed)}"


def squash_message(work: Work, commit: str) -> str:
    """Of the one commit that a work becomes."""
    return f"{_name(work)}\n\n{_trailers([(work, commit)])}"


def replayed_message(original: str, work: Work, commit: str) -> str:
    """The author's own message with Octet's trailers; lines that only look like these are quoted."""
    text = _FORGED.sub("> ", original.strip("\n"))
    *others, last = text.split("\n\n")
    in_block = bool(others) and all(_TRAILER.fullmatch(line) for line in last.split("\n"))
    gap = "\n" if in_block else "\n\n"
    return f"{text}{gap}{_trailers([(work, commit)])}"


def _name(work: Work) -> str:
    # The task's id comes first, so that no title begins a line.
    task = plain(work.task)
    return plain(f"{task}: {work.title}".strip(": "), _SUBJECT_LIMIT)


def _trailers(landed: Sequence[tuple[Work, str]]) -> str:
    return "".join(
        f"{TASK_TRAILER}: {plain(work.task)}\n{COMMIT_TRAILER}: {commit}\n"
        for work, commit in landed
    )
