"""`octet task …`"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Shop, git
from tests.support.store_fixtures import join

HOSTILE = "\x1b[2J\x1b]0;owned\x07 two\nlines\r\u202egnp.exe\x00 \x9b31m" + "x" * 400


def test_from_add_to_done(shop: Shop) -> None:
    """A task is added, claimed, reported on and completed; each step prints one record as JSON."""
    added = shop.json(
        "task",
        "add",
        "Fix the cart",
        "--priority",
        "7.5",
        "--path",
        "src/*",
        "--label",
        "ui",
        "--description",
        "so that…",
    )
    assert (
        added["id"],
        added["state"],
        added["priority"],
        added["paths"],
        added["created_by"],
    ) == (
        "1",
        "pending",
        7.5,
        ["src/*"],
        "person-ann",
    )
    claimed = shop.json("task", "claim")
    assert (claimed["id"], claimed["holder"], claimed["attempts"]) == ("1", "person-ann", 1)
    assert shop.json("task", "progress", "1", "50", "--note", "half") == {
        "task": "1",
        "progress": 50,
    }
    shown = shop.json("task", "show", "1")
    assert (shown["progress"], shown["note"], shown["token"]) == (50, "half", claimed["token"])
    assert [task["id"] for task in shop.json("task", "list", "--state", "claimed")] == ["1"]
    assert shop.json("task", "complete", "1", "--result", "fixed") == {"task": "1", "state": "done"}
    assert shop.json("task", "list", "--state", "pending") == []


def test_for_people(shop: Shop) -> None:
    """The same for people says what happened, and shows the task."""
    assert shop.run("task", "add", "Fix the cart").out == "added task 1 (pending): Fix the cart\n"
    assert "person-ann holds task 1" in shop.run("task", "claim").out
    assert shop.run("task", "progress", "1", "12.5").out == "task 1: 12.5%\n"
    assert "12.5%" in shop.run("task", "list").out
    assert "Fix the cart" in shop.run("task", "show", "1").out
    assert shop.run("task", "release", "1", "--note", "lunch").out == "task 1 is pending again\n"
    assert "ended: lunch" in shop.run("task", "show", "1").out
    shop.run("task", "claim", "1")
    assert (
        shop.run("task", "fail", "1", "--reason", "too hard").out
        == "task 1 failed and is pending\n"
    )
    shop.run("task", "claim", "1")
    assert shop.run("task", "complete", "1").out == "task 1 is done\n"


def test_submit_hands_over_the_branch(shop: Shop) -> None:
    """The branch checked out is submitted at its commit; the merge stage takes it from there, and
    may send it back.
    """
    (shop.root / ".claude" / "octet.toml").write_text(
        'project = "shop"\n[gates]\ndefault = ["merge"]\n'
    )
    git(shop.root, "commit", "-qam", "No gate but the merge")
    shop.run("task", "add", "x")
    shop.run("task", "claim")
    git(shop.root, "switch", "-q", "-c", "octet/1")
    submitted = shop.json("task", "submit", "1", "--note", "ready")
    commit = git(shop.root, "rev-parse", "HEAD")
    assert submitted == {
        "task": "1",
        "state": "submitted",
        "branch": "octet/1",
        "commit": commit,
        "stage": "merge",
    }
    merge = shop.json("task", "claim", "--stage", "merge")
    assert (merge["state"], merge["branch"], merge["author"]) == (
        "merging",
        "octet/1",
        "person-ann",
    )
    assert shop.json("task", "fail", "1", "--reason", "tests fail") == {
        "task": "1",
        "state": "pending",
    }
    assert "tests fail" in shop.run("task", "show", "1").out
    shop.run("task", "claim")
    assert "claimed with a branch" in shop.refuses("task", "complete", "1")


def test_submit_takes_committed_work_only(shop: Shop) -> None:
    """Changes that are not committed, a branch that is none, and one that only a merge moves are
    refused; the claim stays.
    """
    shop.run("task", "add", "x")
    shop.run("task", "claim")
    assert "main is a protected branch" in shop.refuses("task", "submit", "1")
    assert "main is a protected branch" in shop.refuses("task", "submit", "1", "--branch", "main")
    git(shop.root, "switch", "-q", "-c", "octet/1")
    (shop.root / ".claude" / "octet.toml").write_text('project = "shop"\n# changed\n')
    assert "not committed" in shop.refuses("task", "submit", "1")
    assert "no branch nonsense" in shop.refuses("task", "submit", "1", "--branch", "nonsense")
    assert shop.json("task", "submit", "1", "--branch", "octet/1")["branch"] == "octet/1"


def test_submit_from_elsewhere(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -C, the directory named is the one whose branch is submitted."""
    shop.run("task", "add", "x")
    shop.run("task", "claim")
    git(shop.root, "switch", "-q", "-c", "octet/1")
    monkeypatch.chdir(tmp_path)
    assert shop.json("-C", str(shop.root), "task", "submit", "1")["branch"] == "octet/1"


def test_refusals(shop: Shop) -> None:
    """1 for what the store refuses, with what to do next."""
    other = join(shop.octet)
    assert "no task waits" in shop.refuses("task", "claim")
    shop.run("task", "add", "x")
    shop.octet.tasks.claim(other)
    assert f"{other.id} holds it" in shop.refuses("task", "progress", "1", "5")
    assert "octet msg send" in shop.refuses("task", "complete", "1")
    assert "task 1 is claimed" in shop.refuses("task", "claim", "1")
    assert "this claim has ended" in shop.refuses("task", "complete", "1", "--token", "0")
    shop.run("task", "add", "y")
    shop.run("task", "add", "z")
    shop.run("task", "claim")
    assert "holds task 2 already" in shop.refuses("task", "claim", "3")
    shop.run("task", "complete", "2")
    assert "it is done" in shop.refuses("task", "complete", "2")


@pytest.mark.parametrize(
    "words",
    [
        ["add", ""],
        ["add", "x" * 501],
        ["add", "x", "--priority", "1001"],
        ["add", "x", "--priority", "nan"],
        ["add", "x", "--id", "a b"],
        ["add", "x", "--max-attempts", "0"],
        ["show", "9"],
        ["show", "../../x"],
        ["claim", "9"],
        ["progress", "9", "5", "--token", "1"],
        ["progress", "9", "500", "--token", "1"],
        ["complete", "9"],
    ],
)
def test_what_makes_no_sense(shop: Shop, words: list[str]) -> None:
    """2, and one line that says why."""
    shop.refuses("task", *words, code=2)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["add"],
        ["add", "x", "--priority", "high"],
        ["list", "--state", "x"],
        ["list", "--limit", "0"],
        ["fail", "1"],
    ],
)
def test_usage(shop: Shop, words: list[str]) -> None:
    """A wrong command line is 2, from click."""
    assert "octet task" in shop.run("task", *words, code=2).err


def test_hostile_texts_cannot_move_the_cursor(shop: Shop) -> None:
    """A task of terminal escapes, newlines and right-to-left marks is shown on lines of its own, in
    printable characters.
    """
    shop.octet.tasks.add(
        HOSTILE,
        description=HOSTILE,
        labels=[HOSTILE],
        paths=[HOSTILE],
        task_id="evil",
        created_by=HOSTILE,
    )
    rows = shop.run("task", "list").out
    assert rows.count("\n") == 2
    task = shop.json("task", "claim")
    assert task["title"] == HOSTILE
    shop.octet.tasks.progress("evil", task["token"], 5, HOSTILE)
    shop.octet.tasks.fail("evil", task["token"], HOSTILE)
    outputs = [
        rows,
        shop.run("task", "show", "evil").out,
        shop.run("task", "claim").out,
        shop.run("task", "add", HOSTILE).out,
    ]
    for output in outputs:
        assert all(c.isprintable() or c == "\n" for c in output)


def test_a_lot_of_tasks(shop: Shop) -> None:
    """The list is cut at its limit."""
    for number in range(5):
        shop.octet.tasks.add(str(number))
    assert len(shop.json("task", "list", "--limit", "3")) == 3
