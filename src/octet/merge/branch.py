"""A protected branch as its remote has it, or else this repository: where it is, and what has
landed on it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from octet.git.program import Git
from octet.git.remote import Remote, is_missing
from octet.merge.combination import Submitted, Tip
from octet.merge.model import COMMIT_TRAILER, Target, Unusable, Work


class Hold(Exception):
    """Nothing can move as things are; the message says what a person is to do."""


@dataclass(frozen=True)
class Branch:
    """The branch that `target` names."""

    git: Git
    target: Target

    @cached_property
    def remote(self) -> Remote | None:
        return (
            Remote(self.git, self.target.remote, self.target.branch) if self.target.remote else None
        )

    @property
    def local(self) -> str:
        return f"refs/heads/{self.target.branch}"

    @property
    def truth(self) -> str:
        """The reference that says where the branch is, once `fetch` has been called."""
        return self.remote.tracking if self.remote else self.local

    def fetch(self) -> None:
        """Ask the remote, where there is one.

        Raises:
            Hold: it does not answer.
        """
        if self.remote and (why := self.remote.fetch()):
            raise Hold(why)

    def refs(self, *names: str) -> dict[str, Tip]:
        """Where the named references are; one that does not exist is left out."""
        lines = self.git.out(
            "for-each-ref", "--format=%(refname) %(objectname) %(tree)", *names
        ).splitlines()
        found = {
            name: Tip(commit, tree) for name, commit, tree in (line.split(" ") for line in lines)
        }
        return {name: found[name] for name in names if name in found}

    def tip(self, refs: dict[str, Tip]) -> Tip:
        """Where the branch is.

        Raises:
            Hold: nowhere.
        """
        if self.truth in refs:
            return refs[self.truth]
        where = f"{self.target.remote} has no branch" if self.remote else "there is no branch"
        raise Hold(f"{where} {self.target.branch}: make its first commit")

    def find(self, works: Sequence[Work]) -> list[Submitted | Unusable]:
        """The works' commits, fetched from the remote where this repository lacks them.

        Raises:
            Hold: the remote does not answer.
        """
        names = self._resolve(work.commit for work in works)
        for work in works:
            if self.remote and work.branch and not names[work.commit]:
                why = self.remote.fetch_branch(work.branch)
                if why and not is_missing(why):
                    raise Hold(why)
                names |= self._resolve([work.commit])
        return [
            Submitted(work, names[work.commit])
            if names[work.commit]
            else Unusable(work, self._missing(work))
            for work in works
        ]

    def unmerged(self, commits: Iterable[str], tip: Tip) -> set[str]:
        """Those of `commits` that are not in the branch's history."""
        wanted = set(commits)
        lines = "".join(f"{commit}\n" for commit in wanted)
        return wanted & set(
            self.git.fed(f"{lines}^{tip.commit}\n".encode(), "rev-list", "--stdin").split()
        )

    def trace(self, commit: str, tip: Tip, *, merged: bool) -> str:
        """The commit of Octet's that brought `commit` in since it was branched off, "" when there
        is none.

        What is `merged` has a merge of its own. Else the trailer is sought where nobody but Octet
        writes, on the first-parent line: a developer's own commit might show another's.
        """
        line = ("--merges",) if merged else ("--first-parent", "--max-count=1")
        grep = ("--basic-regexp", f"--grep=^{COMMIT_TRAILER}: {commit}$")
        found = self.git.out("rev-list", *line, *grep, tip.commit, f"^{commit}").split()
        return found[-1] if found else ""

    def _resolve(self, commits: Iterable[str]) -> dict[str, str]:
        wanted = list(dict.fromkeys(commits))
        askable = [
            commit
            for commit in wanted
            if commit and not any(c.isspace() or c == "\0" for c in commit)
        ]
        lines = "".join(f"{commit}^{{commit}}\n" for commit in askable).encode("utf-8", "replace")
        answers = self.git.fed(
            lines, "cat-file", "--batch-check=%(objectname) %(objecttype)"
        ).splitlines()
        found = {
            name: answer.split(" ")[0]
            for name, answer in zip(askable, answers, strict=True)
            if answer.endswith(" commit")
        }
        return {commit: found.get(commit, "") for commit in wanted}

    def _missing(self, work: Work) -> str:
        if not self.remote:
            return f"there is no commit {work.commit} in this repository"
        return (
            f"there is no commit {work.commit} here or on branch {work.branch or '?'} of "
            f"{self.target.remote}: push it"
        )
