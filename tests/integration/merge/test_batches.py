"""Several works at once, and the strategies: what the branch's history looks like, and what becomes
of those that do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests.support.repositories import assert_in_step, commit, trees, work

from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge import model
from octet.merge.landing import land, try_out
from octet.merge.model import Conflict, Landed, Outcome, Strategy, Target, Work
from octet.merge.test_command import Evidence, Suite

PASSING = Suite("true", 30)
NOT_BAD = Suite("! ls | grep -q bad", 30)


def start(
    git: Git, *tasks: str, strategy: Strategy = Strategy.MERGE, suite: Suite | None = PASSING
) -> Iterator[Outcome]:
    works = [Work(task, f"do {task}", git.commit(f"octet/{task}")) for task in tasks]
    return land(git, works, Target("main"), strategy=strategy, suite=suite, scratch=trees(git))


def run(
    git: Git, *tasks: str, strategy: Strategy = Strategy.MERGE, suite: Suite | None = PASSING
) -> dict[str, Outcome]:
    outcomes = list(start(git, *tasks, strategy=strategy, suite=suite))
    return {
        "" if isinstance(outcome, model.Waiting) else outcome.work.task: outcome
        for outcome in outcomes
    }


def subjects(git: Git) -> list[str]:
    return git.out("log", "--first-parent", "--format=%s", "main").splitlines()


def trailers(git: Git, revision: str, key: str) -> list[str]:
    return git.out("log", "-1", f"--format=%(trailers:key={key},valueonly)", revision).split()


class TestBatches:
    def test_one_commit_on_the_line_for_all(self, git: Git) -> None:
        """A batch is tested once and comes in by one merge, which names every task; each work's own
        merge is behind it.
        """
        submitted = {
            task: work(git, task, {f"{task}.txt": "x\n"}) for task in ("one", "two", "three")
        }
        before = git.commit("main")
        outcomes = run(git, *submitted)
        tip = git.commit("main")
        assert git.out("rev-list", "--first-parent", "main").split() == [tip, before]
        assert subjects(git)[0] == "Merge 3 tasks: one, two, three"
        assert trailers(git, "main", "Octet-Task") == ["one", "two", "three"]
        assert trailers(git, "main", "Octet-Commit") == list(submitted.values())
        for task, outcome in outcomes.items():
            assert isinstance(outcome, Landed)
            assert outcome.tip == tip
            assert git.commit(f"{outcome.commit}^2") == submitted[task]
            assert trailers(git, outcome.commit, "Octet-Task") == [task]
            assert outcome.evidence is not None
            assert (outcome.evidence.commits, outcome.evidence.onto) == (
                tuple(submitted.values()),
                before,
            )
            assert outcome.evidence.combined == tip
            assert outcome.evidence.tree == git.out("rev-parse", "main^{tree}")
        assert_in_step(git)

    def test_a_single_merge_of_a_batch_can_be_reverted(self, git: Git) -> None:
        """One task's work is taken out again and the others stay."""
        for task in ("one", "two"):
            work(git, task, {f"{task}.txt": "x\n"})
        outcome = run(git, "one", "two")["one"]
        assert isinstance(outcome, Landed)
        git.out("revert", "--no-edit", "-m", "1", outcome.commit)
        assert sorted(path.name for path in git.directory.glob("*.txt")) == ["base.txt", "two.txt"]

    @pytest.mark.parametrize("bad", [0, 2, 4])
    def test_a_batch_that_fails_is_halved(self, git: Git, bad: int) -> None:
        """The one that breaks the tests is found and goes back with its evidence; the others land,
        tested.
        """
        tasks = [f"t{number}" for number in range(5)]
        for number, task in enumerate(tasks):
            work(git, task, {f"bad-{task}" if number == bad else task: "x\n"})
        outcomes = run(git, *tasks, suite=NOT_BAD)
        failed = outcomes.pop(f"t{bad}")
        assert isinstance(failed, model.TestsFailed)
        assert failed.evidence.commits == (git.commit(f"octet/t{bad}"),)
        assert all(isinstance(outcome, Landed) for outcome in outcomes.values())
        assert not list(git.directory.glob("bad*"))
        assert_in_step(git)

    def test_two_that_fail_only_together(self, git: Git) -> None:
        """The first comes in, the second is refused on top of it."""
        for task in ("one", "two"):
            work(git, task, {task: "x\n"})
        outcomes = run(git, "one", "two", suite=Suite("! { [ -e one ] && [ -e two ]; }", 30))
        assert isinstance(outcomes["one"], Landed)
        assert isinstance(outcomes["two"], model.TestsFailed)

    def test_a_conflict_with_the_branch_does_not_hold_up_the_others(self, git: Git) -> None:
        """It is named at once, and the rest of the batch lands together."""
        for task in ("one", "clash", "two"):
            work(git, task, {("base.txt" if task == "clash" else task): f"{task}\n"})
        tip = commit(git, {"base.txt": "moved on\n"})
        outcomes = run(git, "one", "clash", "two")
        conflict = outcomes["clash"]
        assert isinstance(conflict, Conflict)
        assert (conflict.paths, conflict.onto) == (("base.txt",), tip)
        assert subjects(git)[0] == "Merge 2 tasks: one, two"

    def test_a_conflict_within_the_batch_is_settled_by_who_lands(self, git: Git) -> None:
        """Where the earlier work lands, the later conflicts with the branch; where the earlier
        fails its tests, the later lands.
        """
        work(git, "good", {"base.txt": "good\n"})
        work(git, "late", {"base.txt": "late\n"})
        outcomes = run(git, "good", "late", suite=NOT_BAD)
        assert isinstance(outcomes["good"], Landed)
        assert isinstance(outcomes["late"], Conflict)
        work(git, "worse", {"new.txt": "worse\n", "bad": "x\n"})
        work(git, "later", {"new.txt": "later\n"})
        outcomes = run(git, "worse", "later", suite=NOT_BAD)
        assert isinstance(outcomes["worse"], model.TestsFailed)
        assert isinstance(outcomes["later"], Landed)

    def test_one_that_is_in_another(self, git: Git) -> None:
        """Work built on other work of the same batch, in either order, and the same commit twice,
        land once.
        """
        work(git, "low", {"low": "x\n"})
        git.out("branch", "octet/high", "octet/low")
        git.out("checkout", "--quiet", "octet/high")
        commit(git, {"high": "x\n"})
        git.out("checkout", "--quiet", "main")
        git.out("branch", "octet/same", "octet/high")
        outcomes = run(git, "high", "low", "same")
        assert all(isinstance(outcome, Landed) for outcome in outcomes.values())
        assert len(git.out("rev-list", "--merges", "main").split()) == 1

    def test_each_is_given_before_the_next_is_begun(self, git: Git) -> None:
        """A caller that stops after the first outcome of a halved batch finds the branch where that
        outcome says, and nothing left.
        """
        for task in ("one", "bad"):
            work(git, task, {task: "x\n"})
        outcomes = start(git, "one", "bad", suite=NOT_BAD)
        first = next(outcomes)
        assert isinstance(first, Landed)
        assert git.commit("main") == first.tip
        outcomes.close()  # type: ignore[attr-defined]
        assert len(list_worktrees(git)) == 3
        assert isinstance(run(git, "bad", suite=NOT_BAD)["bad"], model.TestsFailed)

    def test_what_one_test_run_leaves_is_not_seen_by_the_next(self, git: Git) -> None:
        """The worktree is used again within a landing, and clean each time: ignored files, branches
        and all.
        """
        for task in ("one", "bad", "two"):
            work(git, task, {task: "x\n"})
        suite = Suite(
            "test -e left && exit 1; git checkout -qb mine; touch left; echo left > "
            ".gitignore; echo x > base.txt; ! test -e bad",
            30,
        )
        outcomes = run(git, "one", "bad", "two", suite=suite)
        assert {task for task, outcome in outcomes.items() if isinstance(outcome, Landed)} == {
            "one",
            "two",
        }
        assert git.commit("mine") not in git.out("rev-list", "--first-parent", "main").split()[:1]

    @pytest.mark.parametrize(
        "ruin",
        [
            "rm .git",
            "rm .git && git init -q && git commit --allow-empty -qm x",
            "cd .. && rm -rf octet-merge",
        ],
    )
    def test_tests_that_ruin_their_worktree_reach_nothing_else(self, git: Git, ruin: str) -> None:
        """With its `.git` gone, git would take the repository around it: the person's checkout
        stays as it is.
        """
        inside = git.directory / "trees"
        for task in ("one", "bad"):
            work(git, task, {task: "x\n"})
        (git.directory / "precious").write_text("untracked")
        works = [Work(task, task, git.commit(f"octet/{task}")) for task in ("one", "bad")]
        suite = Suite(f"test -e bad; bad=$?; {{ {ruin}; }}; test $bad = 1", 30)
        first, second = land(
            git, works, Target("main"), strategy=Strategy.MERGE, suite=suite, scratch=inside
        )
        assert isinstance(first, Landed)
        assert isinstance(second, model.TestsFailed)
        assert (git.directory / "precious").read_text() == "untracked"
        assert git.out("symbolic-ref", "HEAD") == "refs/heads/main"
        assert_in_step(git)


class TestStrategies:
    def test_squash(self, git: Git) -> None:
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
        outcome = run(git, "t", strategy=Strategy.SQUASH)["t"]
        assert isinstance(outcome, Landed)
        assert git.out("rev-list", "--parents", "-1", "main").split() == [outcome.commit, before]
        assert (
            git.out("log", "-1", "--format=%an <%ae>, %cn: %s", "main")
            == "Ann Other <ann@example.org>, Somebody: t: do t"
        )
        assert trailers(git, "main", "Octet-Commit") == [submitted]
        assert_in_step(git)

    def test_rebase(self, git: Git) -> None:
        """The work's own commits, replayed: their messages, authors and dates stay, trailers are
        added.
        """
        tree = git.at(trees(git) / "t")
        work(git, "t", {"a.txt": "a\n"}, "first\n\nwhy\n\nSigned-off-by: A <a@example.org>")
        commit(tree, {"b.txt": "b\n", "base.txt": "base\nmore\n"}, "second")
        date = git.out("log", "-1", "--format=%ad", "octet/t")
        before = commit(git, {"c.txt": "c\n"})
        outcome = run(git, "t", strategy=Strategy.REBASE)["t"]
        assert isinstance(outcome, Landed)
        assert subjects(git)[:3] == ["second", "first", "change"]
        assert git.commit("main~2") == before
        assert git.out("log", "-1", "--format=%ad", "main") == date
        assert trailers(git, "main", "Octet-Task") == trailers(git, "main~1", "Octet-Task") == ["t"]
        assert trailers(git, "main~1", "Signed-off-by") == ["A", "<a@example.org>"]
        assert_in_step(git)

    def test_rebase_stops_at_a_conflict(self, git: Git) -> None:
        """The paths come back and nothing moves."""
        work(git, "t", {"base.txt": "t\n"})
        tip = commit(git, {"base.txt": "main\n"})
        outcome = run(git, "t", strategy=Strategy.REBASE)["t"]
        assert isinstance(outcome, Conflict)
        assert (outcome.paths, git.commit("main")) == (("base.txt",), tip)

    def test_rebase_loses_nothing_that_was_settled_in_a_merge(self, git: Git) -> None:
        """Work whose merges hold changes of their own is refused rather than replayed without them."""
        work(git, "t", {"a.txt": "a\n"})
        tree = git.at(trees(git) / "t")
        commit(git, {"c.txt": "c\n"})
        tree.out("merge", "--quiet", "--no-commit", "--no-ff", "main")
        commit(tree, {"evil.txt": "only in the merge\n"})
        outcome = run(git, "t", strategy=Strategy.REBASE)["t"]
        assert isinstance(outcome, model.Unusable)
        assert "merge" in outcome.why

    @pytest.mark.parametrize("strategy", list(Strategy))
    def test_work_that_adds_nothing_moves_nothing(self, git: Git, strategy: Strategy) -> None:
        """The branch got the same change in another way: it has the work."""
        work(git, "t", {"a.txt": "a\n"})
        tip = commit(git, {"a.txt": "a\n"})
        outcome = run(git, "t", strategy=strategy, suite=Suite("false", 30))["t"]
        assert outcome == Landed(Work("t", "do t", git.commit("octet/t")), tip, tip, None)
        assert git.commit("main") == tip

    @pytest.mark.parametrize("strategy", [Strategy.SQUASH, Strategy.REBASE])
    def test_work_that_landed_before_a_crash_is_known_by_its_trailer(
        self, git: Git, strategy: Strategy
    ) -> None:
        """Even where the branch has changed the same lines since, it does not conflict with itself
        and does not land twice.
        """
        work(git, "t", {"base.txt": "t\n"})
        first = run(git, "t", strategy=strategy)["t"]
        tip = commit(git, {"base.txt": "something else\n"})
        again = run(git, "t", strategy=strategy)["t"]
        assert isinstance(first, Landed)
        assert again == Landed(first.work, first.commit, tip, None)
        assert git.commit("main") == tip

    def test_work_is_not_known_by_a_trailer_that_another_wrote(self, git: Git) -> None:
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
                    git, forgers, Target("main"), strategy=strategy, suite=None, scratch=trees(git)
                )
            )
        assert trailers(git, "main", "Octet-Commit") != [victim]
        assert isinstance(run(git, "victim", strategy=Strategy.SQUASH)["victim"], Landed)
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
    def test_a_hostile_title(self, git: Git, strategy: Strategy, title: str) -> None:
        """It is one line of bounded length, and the trailers are Octet's."""
        submitted = work(git, "t", {"a.txt": "a\n"})
        (outcome,) = land(
            git,
            [Work("t", title, submitted)],
            Target("main"),
            strategy=strategy,
            suite=None,
            scratch=trees(git),
        )
        assert isinstance(outcome, Landed)
        subject, body = git.out("log", "-1", "--format=%s%x00%b", "main").split("\0")
        assert subject.startswith(("t", "Merge t"))
        assert len(subject) < 250
        assert subject.isprintable()
        assert body.splitlines() == ["Octet-Task: t", f"Octet-Commit: {submitted}"]


class TestTryOut:
    def try_out(self, git: Git, task: str, suite: Suite) -> object:
        submitted = Work(task, task, git.commit(f"octet/{task}"))
        return try_out(
            git, submitted, Target("main"), strategy=Strategy.MERGE, suite=suite, scratch=trees(git)
        )

    def test_evidence_and_nothing_moved(self, git: Git) -> None:
        """The combined tree is tested, the branch stays, and nothing is left."""
        submitted = work(git, "t", {"a.txt": "a\n"})
        tip = commit(git, {"b.txt": "b\n"})
        (git.directory / "b.txt").write_text("a dirty checkout is no matter here")
        evidence = self.try_out(git, "t", Suite("ls *.txt", 30))
        assert isinstance(evidence, Evidence)
        assert (evidence.tail, evidence.commits, evidence.onto) == (
            "a.txt\nb.txt\nbase.txt\n",
            (submitted,),
            tip,
        )
        assert git.commit("main") == tip
        assert len(list_worktrees(git)) == 2

    def test_a_conflict(self, git: Git) -> None:
        """It is answered without a test run."""
        work(git, "t", {"base.txt": "t\n"})
        commit(git, {"base.txt": "main\n"})
        outcome = self.try_out(git, "t", Suite("false", 30))
        assert isinstance(outcome, Conflict)
        assert outcome.paths == ("base.txt",)

    def test_while_a_landing_runs(self, git: Git) -> None:
        """A test run does not wait for the merge queue, nor the queue for it."""
        for task in ("one", "two"):
            work(git, task, {task: "x\n"})
        outcomes: Sequence[object] = []
        landing_now = start(git, "one")
        outcomes = [next(landing_now), self.try_out(git, "two", PASSING), *landing_now]
        assert isinstance(outcomes[0], Landed)
        assert isinstance(outcomes[1], Evidence)
