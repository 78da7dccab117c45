"""Landings whatever a person, a machine or an environment has set: nothing of it has a say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repositories import assert_in_step, commit, install_hook, trees, work

from octet.git.program import Git
from octet.merge import commits
from octet.merge.landing import land
from octet.merge.model import Conflict, Landed, MergeTarget, Outcome, Strategy, Work
from octet.merge.test_command import TestCommand
from octet.merge.tree_merge import conflicts_between

PASSING = TestCommand("true", 30)


def land_one(git: Git, source: str, strategy: Strategy = Strategy.MERGE) -> Outcome:
    works = [Work("t", "do it", git.commit(source))]
    (outcome,) = land(
        git,
        works,
        MergeTarget("main"),
        strategy=strategy,
        test_command=PASSING,
        directory=trees(git),
    )
    return outcome


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
    git: Git, settings: dict[str, str], strategy: Strategy
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
def test_a_merge_driver_of_the_person(git: Git, command: str) -> None:
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


def test_a_settled_conflict_is_not_settled_again(git: Git) -> None:
    """What rerere has on record is not used: it was not reviewed for this merge."""
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
def test_a_machine_where_git_knows_nobody(git: Git, strategy: Strategy, known: str) -> None:
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
    name = "Known" if known == "user.name" else commits.NAME
    email = "Known" if known == "user.email" else commits.EMAIL
    assert git.out("log", "-1", "--format=%cn <%ce>", "main") == f"{name} <{email}>"
    author = (
        f"{name} <{email}>" if strategy is Strategy.MERGE else "Somebody <somebody@example.org>"
    )
    assert git.out("log", "-1", "--format=%an <%ae>", "main") == author


def test_variables_of_git(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_author_with_a_strange_name(git: Git) -> None:
    """A squash keeps the author, also with an encoding of its own or no address."""
    work(git, "t", {"t.txt": "t\n"})
    tree = git.at(trees(git) / "t")
    tree.out("commit", "--quiet", "--allow-empty", "--author=Ünal = 'x' y <>", "-m", "more")
    assert isinstance(land_one(git, "octet/t", Strategy.SQUASH), Landed)
    assert git.out("log", "-1", "--format=%an|%ae", "main") == "Ünal = 'x' y|"


def test_a_message_in_another_encoding(git: Git) -> None:
    """A replayed commit keeps its message, byte for byte, and says how to read it."""
    work(git, "t", {"t.txt": "t\n"})
    tree = git.at(trees(git) / "t")
    (tree.directory / "m").write_bytes("café".encode("latin-1"))
    tree.out("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--quiet", "--amend", "-F", "m")
    assert isinstance(land_one(git, "octet/t", Strategy.REBASE), Landed)
    assert git.out("log", "-1", "--format=%s", "main") == "café"


def test_a_hook_that_watches_references_is_asked(git: Git, tmp_path: Path) -> None:
    """The fence of git itself, a reference-transaction hook, sees the branch move."""
    work(git, "t", {"t.txt": "t\n"})
    install_hook(
        git, "reference-transaction", f'echo "$1" >> {tmp_path}/seen; cat >> {tmp_path}/seen'
    )
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert "refs/heads/main" in (tmp_path / "seen").read_text()
