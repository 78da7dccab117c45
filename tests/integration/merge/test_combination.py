"""Merging without a worktree: foretold conflicts, an old git, and what a person's settings may not
change.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.support.repositories import assert_in_step, commit, install_hook, trees, work

from octet.git.program import Git, GitFailed
from octet.merge import combination
from octet.merge.combination import conflicts_between
from octet.merge.landing import land
from octet.merge.model import Conflict, Landed, Outcome, Strategy, Target, Unusable, Work
from octet.merge.test_command import Suite

PASSING = Suite("true", 30)
WITHOUT_WRITE_TREE = """#!/bin/sh
for word; do test "$word" = merge-tree && { echo "usage: git merge-tree <base-tree> <branch1> <branch2>" >&2; exit 129; }; done
exec REAL "$@"
"""


@pytest.fixture(params=["merge-tree", "old git"])
def any_git(
    git: Git, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Git:
    """This git, and one that is older than `merge-tree --write-tree`."""
    if request.param == "old git":
        program = tmp_path / "bin" / "git"
        program.parent.mkdir()
        program.write_text(WITHOUT_WRITE_TREE.replace("REAL", str(shutil.which("git"))))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return git


def land_one(git: Git, source: str, strategy: Strategy = Strategy.MERGE) -> Outcome:
    works = [Work("t", "do it", git.commit(source))]
    (outcome,) = land(
        git, works, Target("main"), strategy=strategy, suite=PASSING, scratch=trees(git)
    )
    return outcome


class TestConflicts:
    def test_none(self, any_git: Git) -> None:
        """Changes in different places, a rename among them, go together."""
        commit(any_git, {"long.txt": "".join(f"{number}\n" for number in range(30))})
        work(
            any_git,
            "one",
            {"one.txt": "1\n", "long.txt": "".join(f"{number}\n" for number in range(31))},
        )
        work(any_git, "two", {"two.txt": "2\n"})
        any_git.at(trees(any_git) / "two").out("mv", "long.txt", "moved.txt")
        commit(any_git.at(trees(any_git) / "two"), {})
        assert conflicts_between(any_git, "octet/one", "octet/two") is None

    def test_paths(self, any_git: Git) -> None:
        """The files are named, whatever their names; no file, index or reference is touched, not
        even in a dirty checkout.
        """
        work(any_git, "one", {"base.txt": "one\n", "naïve name\n.txt": "one\n", "fine": "1\n"})
        work(any_git, "two", {"base.txt": "two\n", "naïve name\n.txt": "two\n"})
        (any_git.directory / "base.txt").write_text("mine\n")
        before = (
            any_git.out("for-each-ref"),
            any_git.out("status", "--porcelain"),
            any_git.out("worktree", "list"),
        )
        assert conflicts_between(any_git, "octet/one", "octet/two") == (
            "base.txt",
            "naïve name\n.txt",
        )
        assert (
            any_git.out("for-each-ref"),
            any_git.out("status", "--porcelain"),
            any_git.out("worktree", "list"),
        ) == before

    def test_what_cannot_be_merged(self, any_git: Git) -> None:
        """A commit that is none, and one with no history in common, are errors."""
        alien = any_git.out("commit-tree", "main^{tree}", "-m", "alien")
        for theirs in ("nothing", alien):
            with pytest.raises(GitFailed):
                conflicts_between(any_git, "main", theirs)
        outcome = land_one(any_git, alien)
        assert isinstance(outcome, Unusable)
        assert "unrelated histories" in outcome.why

    @pytest.mark.parametrize("strategy", list(Strategy))
    def test_landing(self, any_git: Git, strategy: Strategy) -> None:
        """Each strategy lands and finds conflicts with either."""
        work(any_git, "one", {"base.txt": "one\n", "deep/er/one.txt": "1\n"})
        work(any_git, "two", {"base.txt": "two\n"})
        commit(any_git, {"else.txt": "x\n"})
        assert isinstance(land_one(any_git, "octet/one", strategy), Landed)
        outcome = land_one(any_git, "octet/two", strategy)
        assert isinstance(outcome, Conflict)
        assert outcome.paths == ("base.txt",)
        assert any_git.out("ls-tree", "-r", "--name-only", "main").split() == [
            "base.txt",
            "deep/er/one.txt",
            "else.txt",
        ]
        assert_in_step(any_git)

    def test_attributes_of_the_branch(self, any_git: Git) -> None:
        """`merge=union` of the branch's `.gitattributes` holds, and what a checkout has of its own
        does not.
        """
        commit(any_git, {".gitattributes": "*.log merge=union\n", "a.log": "0\n"})
        work(any_git, "one", {"a.log": "0\n1\n"})
        work(any_git, "two", {"a.log": "0\n2\n"})
        any_git.out("checkout", "--quiet", "-b", "elsewhere")
        commit(any_git, {".gitattributes": "* -merge\n"})
        assert isinstance(land_one(any_git, "octet/one"), Landed)
        assert isinstance(land_one(any_git, "octet/two"), Landed)
        assert sorted(any_git.out("show", "main:a.log").split()) == ["0", "1", "2"]


class TestSettings:
    @pytest.mark.parametrize(
        "settings",
        [
            {"commit.gpgSign": "true", "gpg.program": "false", "user.signingKey": "nobody"},
            {"merge.ff": "only"},
            {
                "merge.ff": "false",
                "merge.conflictStyle": "diff3",
                "merge.renames": "false",
                "merge.log": "true",
            },
            {"rerere.enabled": "true", "rerere.autoUpdate": "true"},
            {"core.autocrlf": "true", "core.safecrlf": "true"},
            {"core.hooksPath": "../hooks"},
            {"commit.template": "/nonexistent", "commit.cleanup": "strip", "core.commentChar": "t"},
            {"i18n.commitEncoding": "ISO-8859-1", "i18n.logOutputEncoding": "UTF-16"},
            {
                "diff.external": "false",
                "diff.noprefix": "true",
                "color.ui": "always",
                "core.pager": "false",
            },
            {
                "status.showUntrackedFiles": "all",
                "status.branch": "true",
                "status.short": "true",
                "advice.detachedHead": "true",
            },
            {
                "log.showSignature": "true",
                "format.pretty": "oneline",
                "grep.patternType": "perl",
                "core.abbrev": "4",
            },
            {
                "branch.autoSetupMerge": "always",
                "worktree.guessRemote": "true",
                "checkout.defaultRemote": "x",
            },
        ],
        ids=lambda settings: next(iter(settings)),
    )
    @pytest.mark.parametrize("strategy", list(Strategy))
    def test_no_setting_spoils_a_landing(
        self, git: Git, settings: dict[str, str], strategy: Strategy
    ) -> None:
        """It lands, the checkout follows, and a conflict is one, whatever a person has set."""
        work(git, "one", {"base.txt": "one\n", "ünï.txt": "1\n"}, "t: ünï")
        work(git, "two", {"base.txt": "two\n"})
        hooks = git.directory.parent / "hooks"
        for name in (
            "pre-commit",
            "commit-msg",
            "pre-merge-commit",
            "post-checkout",
            "post-merge",
            "prepare-commit-msg",
            "pre-push",
        ):
            hooks.mkdir(exist_ok=True)
            (hooks / name).write_text("#!/bin/sh\nexit 1\n")
            (hooks / name).chmod(0o755)
        for name, value in settings.items():
            git.out("config", name, value)
        assert isinstance(land_one(git, "octet/one", strategy), Landed)
        assert isinstance(land_one(git, "octet/two", strategy), Conflict)
        assert git.commit("octet/one") in git.out("cat-file", "commit", "main")
        assert_in_step(git)

    @pytest.mark.parametrize("command", ["true", "false", "sleep 300", "cp %B %A"])
    def test_a_merge_driver_of_the_person(self, git: Git, command: str) -> None:
        """What a name in `.gitattributes` does on this machine and on no other has no part: text is
        merged as text.
        """
        commit(git, {".gitattributes": "*.txt merge=mine\n", "long.txt": "1\n2\n3\n4\n5\n"})
        git.out("config", "merge.mine.driver", command)
        git.out("config", "merge.default", "mine")
        work(git, "one", {"long.txt": "one\n2\n3\n4\n5\n", "base.txt": "one\n"})
        work(git, "two", {"long.txt": "1\n2\n3\n4\ntwo\n"})
        work(git, "clash", {"base.txt": "clash\n"})
        assert isinstance(land_one(git, "octet/one"), Landed)
        assert isinstance(land_one(git, "octet/two"), Landed)
        assert git.out("show", "main:long.txt").split() == ["one", "2", "3", "4", "two"]
        outcome = land_one(git, "octet/clash")
        assert isinstance(outcome, Conflict)
        assert outcome.paths == ("base.txt",)
        assert conflicts_between(git, "main", "octet/clash") == ("base.txt",)

    def test_a_settled_conflict_is_not_settled_again(self, git: Git) -> None:
        """What rerere has on record is not used: nobody looked at it for this merge."""
        work(git, "one", {"base.txt": "one\n"})
        work(git, "two", {"base.txt": "two\n"})
        git.out("config", "rerere.enabled", "true")
        git.out("checkout", "--quiet", "-b", "try", "octet/one")
        git.run("merge", "octet/two")
        commit(git, {"base.txt": "both\n"})
        git.out("checkout", "--quiet", "main")
        assert isinstance(land_one(git, "octet/one"), Landed)
        assert isinstance(land_one(git, "octet/two"), Conflict)

    @pytest.mark.parametrize("strategy", list(Strategy))
    @pytest.mark.parametrize("known", ["", "user.name", "user.email"])
    def test_a_machine_where_git_knows_nobody(
        self, git: Git, strategy: Strategy, known: str
    ) -> None:
        """Octet signs for what it makes where git has no name or address, and only for the missing
        one.
        """
        work(git, "t", {"t.txt": "t\n"})
        for name in ("user.name", "user.email"):
            git.out("config", "--unset", name)
        git.out("config", "user.useConfigOnly", "true")
        if known:
            git.out("config", known, "Known")
        assert isinstance(land_one(git, "octet/t", strategy), Landed)
        name = "Known" if known == "user.name" else combination.NAME
        email = "Known" if known == "user.email" else combination.EMAIL
        assert git.out("log", "-1", "--format=%cn <%ce>", "main") == f"{name} <{email}>"
        author = (
            f"{name} <{email}>" if strategy is Strategy.MERGE else "Somebody <somebody@example.org>"
        )
        assert git.out("log", "-1", "--format=%an <%ae>", "main") == author

    def test_variables_of_git(self, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
        """An environment full of git's own variables changes nothing."""
        work(git, "t", {"t.txt": "t\n"})
        variables = {
            "GIT_DIR": "/nonexistent",
            "GIT_WORK_TREE": "/nonexistent",
            "GIT_INDEX_FILE": "/nonexistent/index",
            "GIT_OBJECT_DIRECTORY": "/nonexistent",
            "GIT_NAMESPACE": "x",
            "GIT_EDITOR": "false",
            "GIT_SEQUENCE_EDITOR": "false",
            "GIT_PAGER": "false",
            "GIT_EXTERNAL_DIFF": "false",
            "GIT_MERGE_VERBOSITY": "5",
            "GIT_TRACE": "2",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "merge.default",
            "GIT_CONFIG_VALUE_0": "nothing",
            "GIT_CONFIG_KEY_1": "core.hooksPath",
            "GIT_CONFIG_VALUE_1": "/nonexistent",
        }
        with monkeypatch.context() as redirected:
            for name, value in variables.items():
                redirected.setenv(name, value)
            assert isinstance(land_one(git, "octet/t"), Landed)
        assert_in_step(git)

    def test_an_author_with_a_strange_name(self, git: Git) -> None:
        """A squash keeps whoever made the work, also where the commit has an encoding of its own or
        no address.
        """
        work(git, "t", {"t.txt": "t\n"})
        tree = git.at(trees(git) / "t")
        tree.out("commit", "--quiet", "--allow-empty", "--author=Ünal = 'x' y <>", "-m", "more")
        assert isinstance(land_one(git, "octet/t", Strategy.SQUASH), Landed)
        assert git.out("log", "-1", "--format=%an|%ae", "main") == "Ünal = 'x' y|"

    def test_a_message_in_another_encoding(self, git: Git) -> None:
        """A replayed commit keeps its message, byte for byte, and says how to read it."""
        work(git, "t", {"t.txt": "t\n"})
        tree = git.at(trees(git) / "t")
        (tree.directory / "m").write_bytes("café".encode("latin-1"))
        tree.out("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--quiet", "--amend", "-F", "m")
        assert isinstance(land_one(git, "octet/t", Strategy.REBASE), Landed)
        assert git.out("log", "-1", "--format=%s", "main") == "café"

    def test_a_hook_that_watches_references_is_asked(self, git: Git, tmp_path: Path) -> None:
        """The fence of git itself, a reference-transaction hook, sees the branch move."""
        work(git, "t", {"t.txt": "t\n"})
        install_hook(
            git, "reference-transaction", f'echo "$1" >> {tmp_path}/seen; cat >> {tmp_path}/seen'
        )
        assert isinstance(land_one(git, "octet/t"), Landed)
        assert "refs/heads/main" in (tmp_path / "seen").read_text()
