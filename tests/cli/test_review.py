"""`octet review …`, and what `octet task …` shows of gates."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cli.conftest import Shop, git
from tests.support.store_fixtures import join

from octet.core.tasks.verdicts import NewRecord

BOB: dict[str, Any] = {"LOGNAME": "bob"}  # who reviews what person-ann wrote
FINDING = "src/cart.py:2: blocker: it divides by zero"


def settings(shop: Shop, text: str) -> None:
    (shop.root / ".claude" / "octet.toml").write_text(f'project = "shop"\n{text}\n')
    git(shop.root, "commit", "-qam", "Settings")


def commit(shop: Shop, path: str, text: str) -> str:
    (shop.root / path).parent.mkdir(exist_ok=True)
    (shop.root / path).write_text(text)
    git(shop.root, "add", "-A")
    git(shop.root, "commit", "-q", "-m", path)
    return git(shop.root, "rev-parse", "HEAD")


@pytest.fixture
def submitted(shop: Shop) -> str:
    """Task 1, built by person-ann on octet/1 and submitted; its commit."""
    shop.run("task", "add", "Fix the cart", "--accept", "the total is right")
    shop.run("task", "claim")
    git(shop.root, "switch", "-q", "-c", "octet/1")
    made = commit(shop, "src/cart.py", "total = 1\n")
    assert shop.json("task", "submit", "1", "--note", "with tests")["stage"] == "review"
    return made


def test_from_start_to_approval(shop: Shop, submitted: str) -> None:
    """The reviewer sees author, commit, difference and what makes it done; approval passes the
    commit on, with a record.
    """
    assert "submitted (review)" in shop.run("task", "list").out
    base = git(shop.root, "rev-parse", "main")
    shown = shop.run("review", "start", **BOB).out
    for part in (
        "person-bob holds task 1",
        "author    person-ann",
        f"octet/1 {submitted[:12]}",
        f"git diff {base[:12]} {submitted[:12]}",
        "src/cart.py | 1 +",
        "accept    the total is right",
        "note      with tests",
        "octet review approve 1",
    ):
        assert part in shown
    assert "in-review (review)" in shop.run("task", "list").out
    again = shop.json("review", "start", **BOB)
    assert (again["task"]["id"], again["change"]["base"], again["records"]) == ("1", base, [])
    assert again["change"]["command"] == f"git diff {base[:12]} {submitted[:12]}"
    approved = shop.json("review", "approve", "1", "--note", "read all", **BOB)
    assert approved == {"task": "1", "state": "submitted", "stage": "test", "commit": submitted}
    (record,) = shop.json("review", "show", "1")["records"]
    assert {
        name: record[name] for name in ("gate", "verdict", "by", "commit", "note", "stale")
    } == {
        **{"gate": "review", "verdict": "approve", "by": "person-bob"},
        **{"commit": submitted, "note": "read all", "stale": False},
    }
    assert shop.json("task", "show", "1")["records"] == [record]


def test_a_rejection_goes_round_once(shop: Shop, submitted: str) -> None:
    """The author has the findings in its inbox and with its claim; the reviewer sees its own
    earlier ones with the new commit.
    """
    shop.run("review", "start", **BOB)
    rejected = shop.json(
        "review",
        "reject",
        "1",
        "--finding",
        FINDING,
        "--finding",
        "README.md: note: say so",
        "--note",
        "twice",
        **BOB,
    )
    assert rejected == {
        "task": "1",
        "state": "pending",
        "author": "person-ann",
        "commit": submitted,
        "findings": 2,
    }
    (message,) = shop.json("msg", "inbox")
    assert FINDING in message["text"]
    claimed = shop.run("task", "claim").out
    for line in (
        "  to change\n",
        f"    {FINDING}\n",
        "    README.md: note: say so\n",
        "    twice\n",
    ):
        assert line in claimed
    better = commit(shop, "src/cart.py", "total = 2\n")
    shop.run("task", "submit", "1")
    assert shop.json("review", "start", **BOB)["records"][0]["stale"] is True
    shown = shop.run("review", "start", **BOB).out
    assert "1. review: changes by person-bob" in shown
    assert "stale: the task has another commit now" in shown
    assert f"    {FINDING}\n" in shown
    shop.run("review", "approve", "1", **BOB)
    assert [record["stale"] for record in shop.json("review", "show", "1")["records"]] == [
        True,
        False,
    ]
    assert shop.json("task", "show", "1")["commit"] == better


def test_nobody_reviews_their_own(shop: Shop, submitted: str) -> None:
    """Not offered, not by id, and the line says whom to ask."""
    assert submitted
    assert "your own work" in shop.refuses("review", "start")
    assert "another agent must judge it" in shop.refuses("review", "start", "1")
    assert "not yours" in shop.refuses("review", "approve", "1")


def test_who_may_review(shop: Shop, submitted: str) -> None:
    """A developer is told which role serves reviews; the sentinel serves review by itself, the
    auditor security.
    """
    assert submitted
    shop.run("agent", "join", "developer", **BOB)
    assert "octet agent join code-sentinel" in shop.refuses("review", "start", **BOB)
    shop.run("agent", "join", "code-sentinel", **BOB)
    shop.run("agent", "join", "security-auditor", LOGNAME="eve")
    assert "security stage" in shop.refuses("review", "start", LOGNAME="eve")
    assert shop.json("review", "start", **BOB)["task"]["stage"] == "review"
    assert "--wait" in shop.refuses("review", "start", "1", "--wait", "1s", code=2, LOGNAME="cy")


def test_security_where_paths_or_labels_call_for_it(shop: Shop) -> None:
    """A touched path of the project's list, also one that was moved away, and a label, put security
    among the gates.
    """
    settings(shop, '[gates]\ndefault = ["merge"]\nsecurity_paths = ["src/auth/**"]')
    commit(shop, "src/auth.py", "x\n" * 20)
    (shop.root / "src" / "auth").mkdir()
    commit(shop, "src/auth/login.py", "y\n" * 20)
    for name, labels in (("plain", []), ("moved", []), ("labelled", ["--label", "security"])):
        shop.run("task", "add", name, "--id", name, *labels)
        shop.run("task", "claim", name)
        git(shop.root, "switch", "-q", "-c", name, "main")
        if name == "moved":
            git(shop.root, "mv", "src/auth/login.py", "src/login.py")
        commit(shop, f"src/{name}.py", "z\n")
        shop.run("task", "submit", name)
    gates = {
        name: shop.json("task", "show", name)["gates"] for name in ("plain", "moved", "labelled")
    }
    assert gates == {
        "plain": ["merge"],
        "moved": ["security", "merge"],
        "labelled": ["security", "merge"],
    }
    assert shop.json("review", "start", "--stage", "security", **BOB)["task"]["id"] == "moved"


def test_a_new_commit_under_review(shop: Shop, submitted: str) -> None:
    """Work whose branch moved on during its review is neither approved nor rejected: the new commit
    waits for review.
    """
    for step in (["approve", "1"], ["reject", "1", "--note", "no"]):
        shop.run("review", "start", **BOB)
        tip = commit(shop, "src/cart.py", f"{step}\n")
        line = shop.refuses("review", *step, **BOB)
        assert tip[:12] in line
        assert "octet review start 1" in line
        task = shop.json("task", "show", "1")
        assert (task["state"], task["stage"], task["commit"], task["records"]) == (
            "submitted",
            "review",
            tip,
            [],
        )
    assert tip != submitted
    assert "it is submitted" in shop.refuses("review", "approve", "1", **BOB)


def test_an_older_copy_of_the_branch_is_no_news(shop: Shop, submitted: str) -> None:
    """A branch that is behind the submitted commit does not take its place."""
    shop.run("review", "start", **BOB)
    git(shop.root, "switch", "-q", "main")
    git(shop.root, "branch", "-f", "octet/1", f"{submitted}~1")
    assert shop.json("review", "approve", "1", **BOB)["commit"] == submitted


def test_submitted_again_by_its_author(shop: Shop, submitted: str) -> None:
    """`task submit` renews what is submitted or judged: first gate, reviewer out; the same commit
    changes nothing; not once it merges.
    """
    shop.run("review", "start", **BOB)
    assert shop.json("task", "submit", "1") == {
        "task": "1",
        "state": "submitted",
        "branch": "octet/1",
        "commit": submitted,
        "stage": "review",
    }
    assert shop.json("task", "show", "1")["holder"] == "person-bob"
    better = commit(shop, "src/cart.py", "total = 2\n")
    git(shop.root, "switch", "-q", "main")
    assert shop.json("task", "submit", "1")["commit"] == better
    assert "not yours" in shop.refuses("review", "approve", "1", **BOB)
    assert "not yours" in shop.refuses("task", "submit", "1", **BOB)
    merger = join(shop.octet, "repository-guardian")
    shop.octet.store.client.hset(shop.octet.store.keys.task("1"), "gates", "merge")
    git(shop.root, "switch", "-q", "-c", "octet/1-other")
    renewed = commit(shop, "src/other.py", "x\n")
    shop.run("task", "submit", "1", "--branch", "octet/1-other")
    assert shop.json("task", "show", "1")["commit"] == renewed
    shop.octet.tasks.claim(merger, "merge")
    assert f"{merger.id} holds it" in shop.refuses("task", "submit", "1")


def test_what_a_rejection_needs(shop: Shop, submitted: str) -> None:
    """Something that is to change, written so that a place can be found in it."""
    assert submitted
    shop.run("review", "start", **BOB)
    assert "say what is to change" in shop.refuses("review", "reject", "1", code=2, **BOB)
    assert "say what is to change" in shop.refuses(
        "review", "reject", "1", "--note", "  ", code=2, **BOB
    )
    assert "FILE:LINE: SEVERITY: TEXT" in shop.refuses(
        "review", "reject", "1", "--finding", "bad", code=2, **BOB
    )
    assert shop.json("task", "show", "1")["state"] == "in-review"


def test_only_what_is_under_review_is_approved(shop: Shop, submitted: str) -> None:
    """A test or a merge is not passed by a reviewer's word."""
    assert submitted
    shop.run("review", "start", **BOB)
    shop.run("review", "approve", "1", **BOB)
    shop.run("task", "claim", "1", "--stage", "test", **BOB)
    assert "testing: cannot approve" in shop.refuses("review", "approve", "1", **BOB)
    assert "testing: cannot reject" in shop.refuses("review", "reject", "1", "--note", "x", **BOB)


def test_test_evidence_is_summed_up(shop: Shop, submitted: str) -> None:
    """`task show` names command, exit code, duration and the last line; `review show` prints the
    end of the output.
    """
    assert submitted
    tester = join(shop.octet, "test-orchestrator")
    shop.octet.store.client.hset(shop.octet.store.keys.task("1"), "gates", "test merge")
    commit(shop, "src/cart.py", "total = 3\n")
    shop.run("task", "submit", "1")
    task = shop.octet.tasks.claim(tester, "test")
    evidence: dict[str, Any] = {
        "command": "pytest -q",
        "exit_code": 1,
        "duration_ms": 12_345,
        "output": "F\n\x1b[31mboom\n1 failed\n\n",
    }
    shop.octet.tasks.send_back(
        task.id, task.token, record=NewRecord("fail", "red", evidence=evidence)
    )
    assert "test      fail by test-orchestrator-1 at" in (
        shown := shop.run("task", "show", "1").out
    )
    assert "; `pytest -q`, exit code 1, 12.3 s: 1 failed\n" in shown
    full = shop.run("review", "show", "1").out
    assert "   red\n" in full
    assert "   |  [31mboom\n   | 1 failed\n" in full
    odd: dict[str, Any] = {"command": 5, "exit_code": "x", "duration_ms": [], "output": {}}
    shop.run("task", "claim")
    shop.octet.tasks.submit("1", shop.json("task", "show", "1")["token"])
    task = shop.octet.tasks.claim(tester, "test")
    shop.octet.tasks.pass_on(task.id, task.token, record=NewRecord("pass", evidence=odd))
    assert "test      pass by" in shop.run("task", "show", "1").out


def test_failing_at_a_gate_is_kept(shop: Shop, submitted: str) -> None:
    """`task fail` from a gate leaves a record like any other verdict."""
    assert submitted
    shop.run("review", "start", **BOB)
    shop.run("task", "fail", "1", "--reason", "cannot be judged", **BOB)
    assert [(r["verdict"], r["note"]) for r in shop.json("review", "show", "1")["records"]] == [
        ("changes", "cannot be judged")
    ]


def test_a_commit_that_is_not_here(shop: Shop) -> None:
    """A commit that was submitted elsewhere and not fetched is named with what to do; work without
    a commit can be judged, too.
    """
    author = join(shop.octet)
    for title, sha in (("far away", "c0ffee" * 6 + "c0ff"), ("talk", "")):
        task = shop.octet.tasks.claim(author, task_id=shop.octet.tasks.add(title).id)
        shop.octet.tasks.submit(
            task.id,
            task.token,
            branch="octet/9" if sha else "",
            commit=sha,
            gates=("review", "merge"),
        )
    assert "git fetch" in shop.run("review", "start", "1", **BOB).out
    shop.run("review", "approve", "1", **BOB)
    assert "it has no commit" in shop.run("review", "start", "2", **BOB).out
    shop.run("review", "approve", "2", **BOB)
    assert (
        "no gate has judged" in shop.run("review", "show", shop.json("task", "add", "x")["id"]).out
    )
    assert "no task 99" in shop.refuses("review", "show", "99", code=2)


def test_hostile_findings(shop: Shop, submitted: str) -> None:
    """What a reviewer wrote cannot move the cursor or grow without end, wherever it is shown."""
    assert submitted
    shop.run("review", "start", **BOB)
    note = "\x1b[2J\u202e" + "\n".join(str(number) for number in range(2000))
    shop.run(
        "review", "reject", "1", "--note", note, "--finding", "a\x1b[2J.py:1: note: \x07x", **BOB
    )
    for words in (["task", "claim"], ["task", "show", "1"], ["review", "show", "1"]):
        out = shop.run(*words).out
        assert all(c.isprintable() or c == "\n" for c in out)
        assert len(out) < 10_000


def test_without_a_protected_branch(shop: Shop) -> None:
    """Where there is none everything counts as touched, so that nothing slips past security."""
    settings(
        shop,
        'protected = ["trunk"]\n[gates]\ndefault = ["merge"]\nsecurity_paths = ["src/auth/**"]',
    )
    (shop.root / "src" / "auth").mkdir(parents=True)
    commit(shop, "src/auth/a.py", "x\n")
    shop.run("task", "add", "x")
    shop.run("task", "claim")
    assert shop.json("task", "submit", "1", "--branch", "main")["stage"] == "security"
    assert "git show" in shop.run("review", "start", "--stage", "security", **BOB).out
