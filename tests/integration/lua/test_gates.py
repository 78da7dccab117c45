"""What happens at a task's gates: who may judge, about which commit, what is kept of it, and when a
gate gives up.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.store_fixtures import contradictions, join, snapshot

from octet.base.errors import (
    IllegalTransition,
    NothingToClaim,
    OctetError,
    Refused,
    StaleToken,
    StoreSpoiled,
    UsageError,
    WorkMoved,
)
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Finding, NewRecord

PATH = ("review", "security", "test", "merge")
FINDING = Finding("src/a.py", 3, "blocker", "it divides by zero")


def submitted(octet: Octet, author: Agent, gates: tuple[str, ...] = PATH, **fields: Any) -> Task:
    """A task that `author` built and submitted at commit c1."""
    added = octet.tasks.add("work", **fields)
    built = octet.tasks.claim(author, task_id=added.id)
    octet.tasks.submit(
        built.id, built.token, branch="octet/1", commit="c1", note="look", gates=gates
    )
    return octet.tasks.get(added.id)


def test_gates_are_decided_when_work_is_submitted(any_octet: Octet) -> None:
    """A task has no gates until then, unless it was added with some; without any word it is the
    merge alone; a raw task too.
    """
    author, tasks = join(any_octet), any_octet.tasks
    assert tasks.add("undecided").gates == ()
    any_octet.store.client.lpush(any_octet.store.keys.pending, "raw")
    for given, expected in (((), ("merge",)), (("review", "merge"), ("review", "merge"))):
        task = tasks.claim(author)
        assert tasks.submit(task.id, task.token, gates=given) == expected[0]
        assert (tasks.get(task.id).gates, tasks.get(task.id).stage) == (expected, expected[0])
    own = tasks.claim(author, task_id=tasks.add("own", gates=("test", "merge")).id)
    assert tasks.submit(own.id, own.token) == "test"
    assert contradictions(any_octet) == []


@pytest.mark.parametrize(
    "gates", [("review",), ("merge", "review"), ("merge", "merge"), ("nonsense", "merge"), ("",)]
)
def test_gates_that_cannot_be(octet: Octet, gates: tuple[str, ...]) -> None:
    """Gates out of order, unknown, twice or without the merge are refused; the claim stays."""
    task = octet.tasks.claim(join(octet), task_id=octet.tasks.add("x").id)
    with pytest.raises(UsageError, match="in this order"):
        octet.tasks.submit(task.id, task.token, gates=gates)
    assert octet.tasks.get(task.id) == task


@pytest.mark.parametrize("gate", ["review", "security"])
def test_nobody_judges_their_own(any_octet: Octet, gate: str) -> None:
    """The author is not offered its own work, nor gets it by its id, not even under the name of
    another role; others are.
    """
    author, other = join(any_octet), join(any_octet)
    task = submitted(any_octet, author, (gate, "merge"))
    with pytest.raises(NothingToClaim, match="your own work"):
        any_octet.tasks.claim(author, gate)
    again = any_octet.agents.join(author, "code-sentinel")
    with pytest.raises(NothingToClaim, match="your own work"):
        any_octet.tasks.claim(again, gate)
    with pytest.raises(Refused, match="another agent must judge it"):
        any_octet.tasks.claim(again, gate, task_id=task.id)
    judged = any_octet.tasks.claim(other, gate)
    any_octet.store.client.hset(any_octet.store.keys.task(task.id), "author", other.id)
    before = snapshot(any_octet.store.client)
    with pytest.raises(Refused, match="another agent must judge it"):
        any_octet.tasks.pass_on(task.id, judged.token, record=NewRecord("approve"))
    assert snapshot(any_octet.store.client) == before


def test_own_work_holds_up_no_other(octet: Octet) -> None:
    """Behind its own work of higher priority an agent finds what others wrote; tests and merges are
    anybody's.
    """
    author, other = join(octet), join(octet)
    submitted(octet, author, ("review", "merge"), priority=5)
    theirs = submitted(octet, other, ("review", "merge"))
    assert octet.tasks.claim(author, "review").id == theirs.id
    tested = submitted(octet, other, ("test", "merge"))
    assert octet.tasks.claim(other, "test").id == tested.id


def test_a_verdict_about_another_commit_is_refused(any_octet: Octet) -> None:
    """Approved or rejected, what is not about the task's commit changes nothing; about that commit
    it counts.
    """
    task = submitted(any_octet, join(any_octet))
    review = any_octet.tasks.claim(join(any_octet), "review")
    before = snapshot(any_octet.store.client)
    with pytest.raises(WorkMoved) as moved:
        any_octet.tasks.pass_on(task.id, review.token, commit="c0", record=NewRecord("approve"))
    assert moved.value.commit == "c1"
    with pytest.raises(WorkMoved):
        any_octet.tasks.send_back(
            task.id, review.token, commit="c0", record=NewRecord("changes", "no")
        )
    assert snapshot(any_octet.store.client) == before
    assert any_octet.tasks.pass_on(task.id, review.token, commit="c1") == "security"
    assert any_octet.tasks.get(task.id).note == "look"


def test_records_tell_who_judged_what(any_octet: Octet) -> None:
    """Each verdict is kept with gate, judge, commit, findings and evidence, in the same step, and
    goes stale with a new commit.
    """
    author, judge = join(any_octet), join(any_octet)
    task = submitted(any_octet, author, ("review", "test", "merge"))
    review = any_octet.tasks.claim(judge, "review")
    any_octet.tasks.pass_on(task.id, review.token, record=NewRecord("approve", "fine", (FINDING,)))
    test = any_octet.tasks.claim(judge, "test")
    evidence = {
        "command": "pytest",
        "exit_code": 0,
        "duration_ms": 1200,
        "output": "ü ok\n",
        "empty": [],
        "none": None,
    }
    any_octet.tasks.pass_on(task.id, test.token, record=NewRecord("pass", evidence=evidence))
    approved, passed = any_octet.tasks.records(task.id)
    assert (approved.n, approved.gate, approved.verdict, approved.by, approved.commit) == (
        1,
        "review",
        "approve",
        judge.id,
        "c1",
    )
    assert (approved.note, approved.findings, approved.evidence) == ("fine", (FINDING,), None)
    assert abs(approved.at_ms - any_octet.now_ms()) < 60_000
    assert (passed.n, passed.gate, passed.evidence, passed.findings) == (2, "test", evidence, ())
    any_octet.tasks.renew(task.id, agent=author, branch="octet/1", commit="c2")
    assert [
        record.is_stale(any_octet.tasks.get(task.id).commit)
        for record in any_octet.tasks.records(task.id)
    ] == [True, True]


def test_a_hundred_records_stay(octet: Octet) -> None:
    """Of more, the last hundred."""
    author, judge = join(octet), join(octet)
    task = submitted(octet, author, ("review", "merge"))
    for number in range(103):
        review = octet.tasks.claim(judge, "review")
        octet.tasks.send_back(task.id, review.token, record=NewRecord("changes", str(number)))
        built = octet.tasks.claim(author)
        octet.tasks.submit(task.id, built.token, branch="octet/1", commit="c1")
    assert [(record.n, record.note) for record in octet.tasks.records(task.id)] == [
        (n, str(n - 1)) for n in range(4, 104)
    ]


def test_a_new_commit_begins_again(any_octet: Octet) -> None:
    """The author renews under its reviewer: the task waits for its first gate, the reviewer's token
    is stale, its lock free.
    """
    author, judge = join(any_octet), join(any_octet)
    task = submitted(any_octet, author)
    octet = any_octet
    octet.tasks.pass_on(task.id, octet.tasks.claim(judge, "review").token, commit="c1")
    security = octet.tasks.claim(judge, "security")
    octet.locks.acquire(judge, ["name:x"], scope="turn")
    assert (
        octet.tasks.renew(
            task.id, agent=author, branch="octet/1", commit="c2", note="now with tests", gates=PATH
        )
        == "review"
    )
    event = octet.events.log(3)
    assert "task_renewed" in [found.type for found in event]
    renewed = octet.tasks.get(task.id)
    assert (renewed.state, renewed.stage, renewed.commit, renewed.holder, renewed.note) == (
        "submitted",
        "review",
        "c2",
        "",
        "now with tests",
    )
    with pytest.raises(StaleToken):
        octet.tasks.pass_on(task.id, security.token)
    assert octet.locks.list() == []
    assert octet.tasks.claim(judge, "review").id == task.id
    assert contradictions(octet) == []


def test_the_same_commit_again_changes_nothing(any_octet: Octet) -> None:
    """A submission repeated after a lost answer takes nothing from the judge."""
    author = join(any_octet)
    task = submitted(any_octet, author)
    any_octet.tasks.claim(join(any_octet), "review")
    before = snapshot(any_octet.store.client)
    assert any_octet.tasks.renew(task.id, agent=author, branch="octet/1", commit="c1") == "review"
    assert snapshot(any_octet.store.client) == before


def test_who_may_renew(any_octet: Octet) -> None:
    """The author until it is being merged, the holder of a gate with its token; no other agent, and
    nothing that is not submitted.
    """
    author, guardian = join(any_octet), join(any_octet)
    tasks, task = any_octet.tasks, submitted(any_octet, author, ("merge",))
    with pytest.raises(Refused, match=f"task {task.id} is {author.id}'s work"):
        tasks.renew(task.id, agent=guardian, branch="b", commit="c2")
    merge = tasks.claim(guardian, "merge")
    with pytest.raises(IllegalTransition):
        tasks.renew(task.id, agent=author, branch="b", commit="c2")
    assert (
        tasks.renew(task.id, agent=guardian, token=merge.token, branch="b", commit="c2") == "merge"
    )
    with pytest.raises(StaleToken):
        tasks.renew(task.id, agent=guardian, token=merge.token, branch="b", commit="c3")
    built = tasks.claim(author, task_id=tasks.add("not yet").id)
    with pytest.raises(IllegalTransition):
        tasks.renew(built.id, agent=author, branch="b", commit="c1")


def test_the_author_is_told_what_to_change(any_octet: Octet) -> None:
    """A message in its inbox names task, gate and findings and how to go on; it fits what a context
    shows, however long they are.
    """
    author, judge = join(any_octet), join(any_octet, "code-sentinel")
    task = submitted(any_octet, author)
    review = any_octet.tasks.claim(judge, "review")
    long = Finding("src/b.py", 0, "minor", "ü" * 1900)
    any_octet.tasks.send_back(
        task.id, review.token, record=NewRecord("changes", "see above", (FINDING, long, long))
    )
    (message,) = any_octet.messages.read(author)
    assert (message.sender, message.to) == (judge.id, author.id)
    for part in (
        f"task {task.id} (work)",
        "review gate",
        f"`octet task claim {task.id}`",
        "src/a.py:3: blocker: it divides by zero",
    ):
        assert part in message.text
    assert len(message.text) < 2000
    assert any_octet.tasks.get(task.id).findings.endswith("see above")
    assert any_octet.tasks.claim(author).id == task.id


def test_an_inbox_that_takes_nothing_stops_no_step(octet: Octet) -> None:
    """A stream whose ids have run out by hand keeps no message; the task goes back all the same,
    with its record.
    """
    author, judge = join(octet), join(octet)
    task = submitted(octet, author)
    octet.store.client.xadd(
        octet.store.keys.inbox(author.id), {"text": "last"}, id=f"{2**64 - 1}-{2**64 - 1}"
    )
    octet.tasks.send_back(
        task.id, octet.tasks.claim(judge, "review").token, record=NewRecord("changes", "no")
    )
    assert (octet.tasks.get(task.id).state, len(octet.tasks.records(task.id))) == ("pending", 1)
    assert contradictions(octet) == []


def test_who_sends_its_own_back_is_not_told(octet: Octet) -> None:
    """The merge of one's own work that fails is no news to oneself."""
    author = join(octet)
    submitted(octet, author, ("merge",))
    merge = octet.tasks.claim(author, "merge")
    octet.tasks.send_back(merge.id, merge.token, "conflict")
    assert list(octet.messages.read(author)) == []


def test_a_gate_that_always_ends_badly_gives_up(any_octet: Octet) -> None:
    """After `max_attempts` bad ends at one gate the task is dead and its scope free; a release
    counts nothing, the next gate its own.
    """
    author, tasks = join(any_octet), any_octet.tasks
    task = submitted(
        any_octet, author, ("review", "test", "merge"), paths=["src/**"], max_attempts=2
    )
    died = join(any_octet)
    tasks.claim(died, "review")
    any_octet.agents.expire(died)
    tasks.pass_on(task.id, tasks.claim(join(any_octet), "review").token)
    tester = join(any_octet)
    for _ in range(3):
        assert tasks.release(task.id, tasks.claim(tester, "test").token) == "submitted"
    tasks.claim(died := join(any_octet), "test")
    any_octet.agents.expire(died)
    assert (tasks.get(task.id).state, tasks.get(task.id).gate_attempts) == ("submitted", 1)
    assert (
        tasks.fail(task.id, tasks.claim(tester, "test").token, "the test machine is on fire")
        == "dead"
    )
    dead = tasks.get(task.id)
    assert (dead.state, dead.stage, dead.last_reason) == (
        "dead",
        "test",
        "the test machine is on fire",
    )
    assert any_octet.store.client.hgetall(any_octet.store.keys.scopes) == {}
    assert contradictions(any_octet) == []
    assert tasks.retry(task.id) == "pending"
    assert tasks.get(task.id).gate_attempts == 0


def test_events_name_gate_and_commit(octet: Octet) -> None:
    """Each event of a gate names the stage of the task and the commit that it is about."""
    author, judge = join(octet), join(octet)
    task = submitted(octet, author, ("review", "merge"))
    octet.tasks.renew(task.id, agent=author, branch="octet/1", commit="c2")
    octet.tasks.pass_on(task.id, octet.tasks.claim(judge, "review").token)
    octet.tasks.send_back(task.id, octet.tasks.claim(judge, "merge").token, "no")
    kinds = {"task_submitted", "task_renewed", "task_passed", "task_returned"}
    found = [
        (event.type, event.fields.get("gate"), event.fields["stage"], event.fields["commit"])
        for event in octet.events.log(50)
        if event.type in kinds
    ]
    assert found == [
        ("task_submitted", None, "review", "c1"),
        ("task_renewed", None, "review", "c2"),
        ("task_passed", "review", "merge", "c2"),
        ("task_returned", "merge", "build", "c2"),
    ]


@pytest.mark.parametrize("step", ["pass_on", "send_back", "complete"])
def test_where_a_record_cannot_be_kept_nothing_happens(any_octet: Octet, step: str) -> None:
    """A reviews key of another type stops the step before its first write; so does a spoiled inbox
    of the author's.
    """
    author, keys = join(any_octet), any_octet.store.keys
    gates = ("merge",) if step == "complete" else ("review", "merge")
    task = submitted(any_octet, author, gates)
    claim = any_octet.tasks.claim(join(any_octet), gates[0])
    spoiled = [keys.reviews(task.id), *([keys.inbox(author.id)] if step == "send_back" else [])]
    for key in spoiled:
        any_octet.store.client.set(key, "spoiled")
        before = snapshot(any_octet.store.client)
        with pytest.raises(StoreSpoiled, match=key.replace("{", r"\{")):
            getattr(any_octet.tasks, step)(task.id, claim.token, record=NewRecord("changes", "x"))
        assert snapshot(any_octet.store.client) == before
        any_octet.store.client.delete(key)


def test_records_spoiled_by_hand(octet: Octet) -> None:
    """What is no record is left out, what is none in part has its defaults, and the next gets a
    number all the same.
    """
    author, judge = join(octet), join(octet)
    task, keys, client = submitted(octet, author), octet.store.keys, octet.store.client
    values = [
        "",
        "x",
        "[]",
        "[" * 5000,
        b"\xff",
        '{"n": "x", "at_ms": 1e999, "findings": [1, {"line": "x"}], "evidence": [], "by": 7}',
    ]
    client.hset(
        keys.reviews(task.id),
        mapping={str(number): value for number, value in enumerate(values)}
        | {"x": "{}", "²": "{}"},
    )
    (found,) = octet.tasks.records(task.id)
    assert (found.n, found.by, found.at_ms, found.findings, found.evidence) == (
        5,
        "",
        0,
        (Finding("", 0, "", ""),),
        None,
    )
    for spoiled in ("x", "-5", "1e300", "nan"):
        client.hset(keys.task(task.id), "records", spoiled)
        review = octet.tasks.claim(judge, "review")
        octet.tasks.send_back(
            task.id, review.token, record=NewRecord("changes", f"spoiled {spoiled}")
        )
        assert f"spoiled {spoiled}" in [record.note for record in octet.tasks.records(task.id)]
        octet.tasks.submit(task.id, octet.tasks.claim(author).token, branch="b", commit="c1")


def test_a_record_keeps_every_byte(octet: Octet) -> None:
    """File names that are no UTF-8, quotes and control characters come back as they were; and the
    record is plain JSON for others.
    """
    author, judge = join(octet), join(octet)
    task = submitted(octet, author)
    finding = Finding('src/\udcff "a".py', 1, "note", "a\x00\x1b\u2028\\ </script>")
    review = octet.tasks.claim(judge, "review")
    octet.tasks.pass_on(task.id, review.token, record=NewRecord("approve", findings=(finding,)))
    assert octet.tasks.records(task.id)[0].findings == (finding,)
    kept = json.loads(octet.store.client.hget(octet.store.keys.reviews(task.id), "1"))
    assert list(kept) == ["n", "at_ms", "gate", "by", "commit", "verdict", "note", "findings"]


@pytest.mark.parametrize(
    "record",
    [
        NewRecord("maybe"),
        NewRecord("fail", evidence={"x": float("nan")}),
        NewRecord("fail", evidence={"x": {1}}),
    ],
)
def test_a_record_that_cannot_be(octet: Octet, record: NewRecord) -> None:
    """A verdict that there is not and evidence that is no JSON are refused; the claim stays."""
    task = submitted(octet, join(octet))
    review = octet.tasks.claim(join(octet), "review")
    with pytest.raises(OctetError):
        octet.tasks.pass_on(task.id, review.token, record=record)
    assert octet.tasks.get(task.id) == review
