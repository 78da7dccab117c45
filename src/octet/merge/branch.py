"""A protected branch, at its remote or in this repository: its position, and what landed on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from octet.git.program import Git
from octet.git.remote import Remote, is_missing
from octet.merge.commits import COMMIT_TRAILER
from octet.merge.model import CannotMerge, MergeTarget, Tip, Unusable, Work
from octet.merge.strategy import ResolvedWork


@dataclass(frozen=True)
class ProtectedBranch:
    """The branch that `target` names."""

    git: Git
    target: MergeTarget

    @cached_property
    def remote(self) -> Remote | None:
        name = self.target.remote
        return Remote(self.git, name, self.target.branch) if name else None

    @property
    def local_ref(self) -> str:
        return f"refs/heads/{self.target.branch}"

    @property
    def authoritative_ref(self) -> str:
        """The reference that says where the branch is, after `fetch`."""
        return self.remote.tracking if self.remote else self.local_ref

    def fetch(self) -> None:
        """Ask the remote, if there is one.

        Raises:
            CannotMerge: it does not answer.
        """
        if self.remote and (why := self.remote.fetch()):
            raise CannotMerge(why)

    def read_tips(self) -> tuple[Tip, Tip | None]:
        """Where the branch is, and where this repository's own branch of that name is, None if
        there is none.

        Raises:
            CannotMerge: the branch does not exist.
        """
        names = dict.fromkeys((self.local_ref, self.authoritative_ref))
        lines = self.git.out(
            "for-each-ref", "--format=%(refname) %(objectname) %(tree)", *names
        ).splitlines()
        found = {
            name: Tip(commit, tree)
            for name, commit, tree in (line.split(" ") for line in lines)
            if name in names
        }
        if self.authoritative_ref not in found:
            where = f"{self.target.remote} has no branch" if self.remote else "there is no branch"
            raise CannotMerge(f"{where} {self.target.branch}: make its first commit")
        return found[self.authoritative_ref], found.get(self.local_ref)

    def read_tip(self) -> Tip:
        """Where the branch is.

        Raises:
            CannotMerge: it does not exist.
        """
        return self.read_tips()[0]

    def resolve(self, works: Sequence[Work]) -> list[ResolvedWork | Unusable]:
        """The works' commits, fetched from the remote if this repository lacks them.

        Raises:
            CannotMerge: the remote does not answer.
        """
        names = self._resolve_commits(work.commit for work in works)
        for work in works:
            if self.remote and work.branch and not names[work.commit]:
                why = self.remote.fetch_branch(work.branch)
                if why and not is_missing(why):
                    raise CannotMerge(why)
                names |= self._resolve_commits([work.commit])
        return [
            ResolvedWork(work, names[work.commit])
            if names[work.commit]
            else Unusable(work, self._why_missing(work))
            for work in works
        ]

    def find_unmerged(self, commits: Iterable[str], tip: Tip) -> set[str]:
        """Those of `commits` that are not in the branch's history."""
        wanted = set(commits)
        lines = "".join(f"{commit}\n" for commit in wanted)
        return wanted & set(
            self.git.fed(f"{lines}^{tip.commit}\n".encode(), "rev-list", "--stdin").split()
        )

    def find_landing(self, commit: str, tip: Tip, *, merged: bool) -> str:
        """Octet's commit that brought `commit` into the branch, "" if there is none.

        Args:
            merged: `commit` is in the branch's history, so it has a merge of its own. Otherwise the
                trailer is looked for on the first-parent line only, where all commits are Octet's:
                a developer's own commit might carry another's trailer.
        """
        line = ("--merges",) if merged else ("--first-parent", "--max-count=1")
        grep = ("--basic-regexp", f"--grep=^{COMMIT_TRAILER}: {commit}$")
        found = self.git.out("rev-list", *line, *grep, tip.commit, f"^{commit}").split()
        return found[-1] if found else ""

    def _resolve_commits(self, commits: Iterable[str]) -> dict[str, str]:
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

    def _why_missing(self, work: Work) -> str:
        if not self.remote:
            return f"there is no commit {work.commit} in this repository"
        return (
            f"there is no commit {work.commit} here or on branch {work.branch or '?'} of "
            f"{self.target.remote}: push it"
        )
