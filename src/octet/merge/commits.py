"""The commits that Octet makes: their messages, their author and committer.

Titles and messages come from elsewhere. A title is put on one line, and no text but Octet's own can
begin a line with `Octet-Task:` or `Octet-Commit:`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from octet.base.text import plain
from octet.git.program import Git, GitFailed
from octet.merge.model import Work

NAME = "Octet"
EMAIL = "octet@octet.invalid"
TASK_TRAILER = "Octet-Task"
COMMIT_TRAILER = "Octet-Commit"
_SUBJECT_LIMIT = 200
_FORGED = re.compile(
    rf"^(?=[^\S\n]*(?:{TASK_TRAILER}|{COMMIT_TRAILER})\b)", re.IGNORECASE | re.MULTILINE
)
_TRAILER = re.compile(r"[A-Za-z0-9-]+:\s.*|\s.*")


def merge_message(work: Work, commit: str) -> str:
    """The message of the merge of one work."""
    return f"Merge {_name(work)}\n\n{_trailers([(work, commit)])}"


def rollup_message(landed: Sequence[tuple[Work, str]]) -> str:
    """The message of the one commit that brings a batch into the branch; it names every task."""
    tasks = ", ".join(plain(work.task) for work, _ in landed)
    subject = plain(f"Merge {len(landed)} tasks: {tasks}", _SUBJECT_LIMIT)
    lines = "\n".join(f"* {_name(work)}" for work, _ in landed)
    return f"{subject}\n\n{lines}\n\n{_trailers(landed)}"


def squash_message(work: Work, commit: str) -> str:
    """The message of the one commit that a work becomes."""
    return f"{_name(work)}\n\n{_trailers([(work, commit)])}"


def replayed_message(original: str, work: Work, commit: str) -> str:
    """The author's own message with Octet's trailers; lines that imitate these are quoted."""
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


def write_commit(git: Git, tree: str, parents: Sequence[str], message: str) -> str:
    """Write a commit and return its name; made as Octet if git has no name for this person.

    Raises:
        GitFailed: git could not write it.
    """
    text = message.encode("utf-8", "surrogateescape").replace(b"\0", b" ")
    parent_options = [word for parent in parents for word in ("-p", parent)]
    args = ("commit-tree", *parent_options, "-F", "-", tree)
    try:
        return git.fed(text, *args)
    except GitFailed:
        return _with_identity(git).fed(text, *args)


def _with_identity(git: Git) -> Git:
    name = git.run("config", "user.name").out or NAME
    email = git.run("config", "user.email").out or EMAIL
    return git.at(git.directory, "-c", f"user.name={name}", "-c", f"user.email={email}")


@dataclass(frozen=True)
class OriginalCommit:
    """What a rewritten commit keeps of the original. `date` as git stores it: seconds and zone."""

    parents: tuple[str, ...]
    name: str
    email: str
    date: str
    encoding: str
    message: str

    @classmethod
    def read(cls, git: Git, commit: str) -> OriginalCommit:
        head, _, message = git.out("cat-file", "commit", commit).partition("\n\n")
        fields = [line.partition(" ") for line in head.split("\n")]
        first = {key: value for key, _, value in reversed(fields)}
        name, _, rest = first["author"].partition("<")
        email, _, date = rest.rpartition(">")
        parents = tuple(value for key, _, value in fields if key == "parent")
        encoding = first.get("encoding", "UTF-8")
        return cls(parents, name.strip(), email, date.strip(), encoding, message)

    def as_author(self, git: Git) -> Git:
        """Git with this commit's author and encoding."""
        encoded = git.at(git.directory, "-c", f"i18n.commitEncoding={self.encoding}")
        return encoded.having(
            GIT_AUTHOR_NAME=self.name or NAME,
            GIT_AUTHOR_EMAIL=self.email,
            GIT_AUTHOR_DATE=f"@{self.date}",
        )
