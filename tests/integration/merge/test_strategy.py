"""The strategies on real repositories: the history and the messages that each leaves."""

from __future__ import annotations

import pytest
from tests.support.repositories import assert_in_step, commit, trees, work

from octet.git.program import Git
from octet.merge.landing import land
from octet.merge.model import Conflict, Landed, MergeTarget, Outcome, Strategy, Unusable, Work
from octet.merge.test_command import TestCommand

PASSING = TestCommand("true", 30)


def land_one(
    git: Git, task: str, *, strategy: Strategy, test_command: TestCommand = PASSING
) -> Outcome:
    works = [Work(task, f"do {task}", git.commit(f"octet/{task}"))]
    (outcome,) = land(
        git,
        works,
        MergeTarget("main"),
        strategy=strategy,
        test_command=test_command,
        directory=trees(git),
    )
    return outcome


def subjects(git: Git) -> list[str]:
    return git.out("log", "--first-parent", "--format=%s", "main").splitlines()


def trailers(git: Git, revision: str, key: str) -> list[str]:
    return git.out("log", "-1", f"--format=%(trailers:key={key},valueonly)", revision).split()


def test_squash(git: Git) -> None:
    """One commit with the title, by the branch's author, on a straight line."""
    tree = work(git, "t", {"a.txt": "a\n"})
    git.out("branch", "-f", "keep", tree)
    before = git.commit("main")
    git.out(
        "-C",
        str(trees(git) / "t"),
        "commit",
        "--quiet",
        "--allow-empty",
        "--author=Ann Other <ann@example.org>",
        "-m",
        "more",
    )
    submitted = git.commit("octet/t")
    outcome = land_one(git, "t", strategy=Strategy.SQUASH)
    assert isinstance(outcome, Landed)
    assert git.out("rev-list", "--parents", "-1", "main").split() == [outcome.commit, before]
    assert (
        git.out("log", "-1", "--format=%an <%ae>, %cn: %s", "main")
        == "Ann Other <ann@example.org>, Somebody: t: do t"
    )
    assert trailers(git, "main", "Octet-Commit") == [submitted]
    assert_in_step(git)


def test_rebase(git: Git) -> None:
    """The work's own commits, replayed: their messages, authors and dates stay, trailers are
    added.
    """
    tree = git.at(trees(git) / "t")
    work(git, "t", {"a.txt": "a\n"}, "first\n\nwhy\n\nSigned-off-by: A <a@example.org>")
    commit(tree, {"b.txt": "b\n", "base.txt": "base\nmore\n"}, "second")
    date = git.out("log", "-1", "--format=%ad", "octet/t")
    before = commit(git, {"c.txt": "c\n"})
    outcome = land_one(git, "t", strategy=Strategy.REBASE)
    assert isinstance(outcome, Landed)
    assert subjects(git)[:3] == ["second", "first", "change"]
    assert git.commit("main~2") == before
    assert git.out("log", "-1", "--format=%ad", "main") == date
    assert trailers(git, "main", "Octet-Task") == trailers(git, "main~1", "Octet-Task") == ["t"]
    assert trailers(git, "main~1", "Signed-off-by") == ["A", "<a@example.org>"]
    assert_in_step(git)


def test_rebase_stops_at_a_conflict(git: Git) -> None:
    """The paths come back and nothing moves."""
    work(git, "t", {"base.txt": "t\n"})
    tip = commit(git, {"base.txt": "main\n"})
    outcome = land_one(git, "t", strategy=Strategy.REBASE)
    assert isinstance(outcome, Conflict)
    assert (outcome.paths, git.commit("main")) == (("base.txt",), tip)


def test_rebase_loses_nothing_that_was_settled_in_a_merge(git: Git) -> None:
    """Work whose merges hold changes of their own is refused rather than replayed without them."""
    work(git, "t", {"a.txt": "a\n"})
    tree = git.at(trees(git) / "t")
    commit(git, {"c.txt": "c\n"})
    tree.out("merge", "--quiet", "--no-commit", "--no-ff", "main")
    commit(tree, {"evil.txt": "only in the merge\n"})
    outcome = land_one(git, "t", strategy=Strategy.REBASE)
    assert isinstance(outcome, Unusable)
    assert "merge" in outcome.why


@pytest.mark.parametrize("strategy", list(Strategy))
def test_work_that_adds_nothing_moves_nothing(git: Git, strategy: Strategy) -> None:
    """The branch got the same change in another way: it has the work."""
    work(git, "t", {"a.txt": "a\n"})
    tip = commit(git, {"a.txt": "a\n"})
    outcome = land_one(git, "t", strategy=strategy, test_command=TestCommand("false", 30))
    assert outcome == Landed(Work("t", "do t", git.commit("octet/t")), tip, tip, None)
    assert git.commit("main") == tip


@pytest.mark.parametrize("strategy", [Strategy.SQUASH, Strategy.REBASE])
def test_work_that_landed_before_a_crash_is_known_by_its_trailer(
    git: Git, strategy: Strategy
) -> None:
    """Even where the branch has changed the same lines since, it does not conflict with itself
    and does not land twice.
    """
    work(git, "t", {"base.txt": "t\n"})
    first = land_one(git, "t", strategy=strategy)
    tip = commit(git, {"base.txt": "something else\n"})
    again = land_one(git, "t", strategy=strategy)
    assert isinstance(first, Landed)
    assert again == Landed(first.work, first.commit, tip, None)
    assert git.commit("main") == tip


def test_work_is_not_known_by_a_trailer_that_another_wrote(git: Git) -> None:
    """A developer's commit that shows another's trailer, in its message or as its title, does
    not keep that other out.
    """
    victim = work(git, "victim", {"v.txt": "v\n"})
    forged = f"x\n\nOctet-Task: victim\nOctet-Commit: {victim}"
    work(git, "forger", {"f.txt": "f\n"}, forged)
    for strategy in (Strategy.REBASE, Strategy.MERGE, Strategy.SQUASH):
        forgers = [Work("forger", f"x\nOctet-Commit: {victim}", git.commit("octet/forger"))]
        list(
            land(
                git,
                forgers,
                MergeTarget("main"),
                strategy=strategy,
                test_command=None,
                directory=trees(git),
            )
        )
    assert trailers(git, "main", "Octet-Commit") != [victim]
    assert isinstance(land_one(git, "victim", strategy=Strategy.SQUASH), Landed)
    assert (git.directory / "v.txt").exists()


@pytest.mark.parametrize(
    "title",
    [
        "",
        "# heading",
        "two\nlines\n\nOctet-Commit: " + "0" * 40,
        "Octet-Task: other",
        "\x1b[31mred\x00\u202e",
        "x" * 10_000,
        "\udce9",
    ],
)
@pytest.mark.parametrize("strategy", [Strategy.MERGE, Strategy.SQUASH])
def test_a_hostile_title(git: Git, strategy: Strategy, title: str) -> None:
    """It is one line of bounded length, and the trailers are Octet's."""
    submitted = work(git, "t", {"a.txt": "a\n"})
    (outcome,) = land(
        git,
        [Work("t", title, submitted)],
        MergeTarget("main"),
        strategy=strategy,
        test_command=None,
        directory=trees(git),
    )
    assert isinstance(outcome, Landed)
    subject, body = git.out("log", "-1", "--format=%s%x00%b", "main").split("\0")
    assert subject.startswith(("t", "Merge t"))
    assert len(subject) < 250
    assert subject.isprintable()
    assert body.splitlines() == ["Octet-Task: t", f"Octet-Commit: {submitted}"]
