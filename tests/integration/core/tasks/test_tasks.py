"""Tasks on real servers: the order of claims, fencing, attempts, and the way to done or dead."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.store_fixtures import contradictions, join, merging, snapshot

from octet.base.errors import (
    AgentGone,
    IllegalTransition,
    NotFound,
    NothingToClaim,
    Refused,
    StaleToken,
    UsageError,
)
from octet.cli._common.tasks import describe
from octet.client.api import Octet
from octet.core.tasks.plans import MAX_TASKS, MAX_TEXT, MAX_TITLE, NewTask
from octet.core.tasks.record import Task, TaskState


def add_many(octet: Octet, priorities: list[float]) -> list[str]:
    """Tasks of these priorities, in this order; their ids."""
    plan = [
        NewTask(f"task {number}", priority=priority) for number, priority in enumerate(priorities)
    ]
    batches = [
        octet.tasks.add_many(plan[start : start + MAX_TASKS])
        for start in range(0, len(plan), MAX_TASKS)
    ]
    return [task.id for batch in batches for task in batch]


def test_claims_come_by_priority_then_age(octet: Octet) -> None:
    """Ten thousand tasks of random priorities, whole and in thousandths, stand in the exact order;
    claims follow it.
    """
    chance = random.Random(8)
    pool = [*range(-1000, 1001, 250), 0.001, -0.001, 0.5, 999.999, -999.999, 7, 7.001]
    priorities = [
        chance.choice(pool) if chance.random() < 0.7 else round(chance.uniform(-1000, 1000), 3)
        for _ in range(10_000)
    ]
    ids = add_many(octet, priorities)
    expected = [
        task_id
        for _, task_id in sorted(
            zip(priorities, ids, strict=True), key=lambda pair: (-pair[0], int(pair[1]))
        )
    ]
    assert octet.store.client.zrevrange(octet.store.keys.priority, 0, -1) == expected
    agent = join(octet)
    assert [octet.tasks.claim(agent, max_claims=10_000).id for _ in range(100)] == expected[:100]


def test_order_is_kept_far_into_a_projects_life(octet: Octet) -> None:
    """After four thousand million tasks, a thousandth of priority still goes before age, and age
    decides between equals.
    """
    octet.store.client.set(octet.store.keys.task_seq, 4_000_000_000)
    for priority in (1000, 999.999, -1000, -999.999):
        for _ in range(2):
            octet.tasks.add(str(priority), priority=priority)
    assert [task.title for task in octet.tasks.list()] == [
        "1000",
        "1000",
        "999.999",
        "999.999",
        "-999.999",
        "-999.999",
        "-1000",
        "-1000",
    ]
    ids = [int(task.id) for task in octet.tasks.list()]
    assert all(first < second for first, second in zip(ids[::2], ids[1::2], strict=True))


@pytest.mark.parametrize("priority", [-1000, -0.5, 0, 0.1, 1 / 3, 1000, True])
def test_priority_comes_back_as_given(octet: Octet, priority: float) -> None:
    """A priority is kept to the thousandth, also through a claim given back."""
    task = octet.tasks.add("x", priority=priority)
    assert task.priority == round(float(priority), 3)
    claimed = octet.tasks.claim(join(octet))
    octet.tasks.release(claimed.id, claimed.token)
    assert octet.tasks.get(task.id).priority == task.priority


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"title": " \n"},
        {"title": "x" * (MAX_TITLE + 1)},
        {"priority": 1000.001},
        {"priority": float("nan")},
        {"priority": float("-inf")},
        {"description": "x" * (MAX_TEXT + 1)},
        {"task_id": ""},
        {"task_id": "a b"},
        {"task_id": "../x"},
        {"task_id": "a\n"},
        {"task_id": "a}"},
        {"max_attempts": 0},
        {"title": "lone \ud800 surrogate"},
        {"labels": ["\ud800"]},
    ],
)
def test_what_cannot_be_a_task(octet: Octet, wrong: dict[str, Any]) -> None:
    """A field out of its bounds is refused, and nothing is stored."""
    with pytest.raises(UsageError):
        octet.tasks.add(**{"title": "fine", **wrong})
    assert snapshot(octet.store.client) == {}


def test_ids(octet: Octet) -> None:
    """Numbers go on past names that look like them; a taken id is refused."""
    named = [octet.tasks.add("x", task_id=name).id for name in ("1", "3", "login-form")]
    assert named == ["1", "3", "login-form"]
    assert [octet.tasks.add("x").id for _ in range(3)] == ["4", "5", "6"]
    with pytest.raises(UsageError, match="taken"):
        octet.tasks.add("x", task_id="login-form")


def test_a_repeated_claim_gives_the_same_task(octet: Octet) -> None:
    """An agent whose answer was lost asks again and gets what it holds, with the same token."""
    octet.tasks.add("first")
    octet.tasks.add("second")
    agent = join(octet)
    task = octet.tasks.claim(agent)
    before = snapshot(octet.store.client)
    assert octet.tasks.claim(agent) == octet.tasks.claim(agent, task_id=task.id) == task
    assert snapshot(octet.store.client) == before


def test_who_holds_a_task_gets_no_other(octet: Octet) -> None:
    """Asked for another task, or another stage, than the one held, the answer is no, and says which
    is held.
    """
    agent, guardian = join(octet), join(octet, "repository-guardian")
    merging(octet, guardian, agent)
    octet.tasks.add("one", task_id="one", priority=5)
    octet.tasks.add("two", task_id="two")
    octet.tasks.claim(agent)
    with pytest.raises(Refused, match="holds task one already"):
        octet.tasks.claim(agent, task_id="two")
    with pytest.raises(Refused, match="holds task one already"):
        octet.tasks.claim(agent, "merge")
    with pytest.raises(Refused, match="holds task 1 already"):
        octet.tasks.claim(guardian)


def test_several_claims_at_once(octet: Octet) -> None:
    """With `most`, an agent gets that many, then one of its own again."""
    for number in range(4):
        octet.tasks.add(str(number))
    agent = join(octet)
    ids = [octet.tasks.claim(agent, max_claims=3).id for _ in range(3)]
    assert ids == ["1", "2", "3"]
    assert octet.tasks.claim(agent, max_claims=3).id in ids
    assert octet.tasks.claim(agent, task_id="2", max_claims=4).id == "2"
    assert sorted(task.id for task in octet.tasks.held_by(agent.id)) == ids


def test_tokens_only_grow(octet: Octet) -> None:
    """Claims, locks and registrations share one counter."""
    tokens = []
    for number in range(20):
        agent = join(octet)
        tokens.append(agent.incarnation)
        octet.tasks.add(str(number))
        task = octet.tasks.claim(agent)
        tokens.append(task.token)
        tokens += octet.locks.acquire(agent, [f"name:{number}", f"path:{number}"]).values()
        octet.tasks.release(task.id, task.token)
    numbers = [int(token) for token in tokens]
    assert numbers == sorted(set(numbers))


STALE: dict[str, Callable[[Octet, str, str], Any]] = {
    "progress": lambda octet, task, token: octet.tasks.progress(task, token, 10),
    "submit": lambda octet, task, token: octet.tasks.submit(task, token, branch="b"),
    "complete": lambda octet, task, token: octet.tasks.complete(task, token),
    "fail": lambda octet, task, token: octet.tasks.fail(task, token, "why"),
    "release": lambda octet, task, token: octet.tasks.release(task, token),
    "send back": lambda octet, task, token: octet.tasks.send_back(task, token, "why"),
}


@pytest.mark.parametrize("step", STALE)
@pytest.mark.parametrize(
    "now",
    ["claimed by another", "claimed again", "pending", "submitted", "merging", "done", "dead"],
)
def test_a_stale_token_changes_nothing(octet: Octet, step: str, now: str) -> None:
    """Whatever has become of the task, the token of a claim that ended is refused and leaves every
    key as it was.
    """
    first, other, guardian = join(octet), join(octet), join(octet, "repository-guardian")
    added = octet.tasks.add("contested", max_attempts=2)
    task = octet.tasks.claim(first)
    octet.tasks.fail(task.id, task.token, "no") if now == "dead" else octet.agents.expire(first)
    if now != "pending":
        again = octet.tasks.claim(other if now != "claimed again" else join(octet, session="s"))
        if now == "done":
            octet.tasks.complete(again.id, again.token)
        elif now == "dead":
            octet.tasks.fail(again.id, again.token, "no")
        elif now in {"submitted", "merging"}:
            octet.tasks.submit(again.id, again.token, branch="b")
        if now == "merging":
            octet.tasks.claim(guardian, "merge")
    before = snapshot(octet.store.client)
    with pytest.raises(StaleToken, match=f"task {added.id}: this claim has ended"):
        STALE[step](octet, added.id, task.token)
    assert snapshot(octet.store.client) == before


def test_a_token_of_another_kind_is_stale_too(octet: Octet) -> None:
    """The current claim is the current token's: not a lock's, not an agent's incarnation, not an
    empty one.
    """
    agent = join(octet)
    octet.tasks.add("x")
    task = octet.tasks.claim(agent)
    lock = octet.locks.acquire(agent, ["name:x"])["name:x"]
    for token in (lock, agent.incarnation, "", "*", task.token + " "):
        with pytest.raises(StaleToken):
            octet.tasks.complete(task.id, token)


def test_complete_twice(octet: Octet) -> None:
    """The same token may complete again, because an answer may be lost; nothing changes by it."""
    octet.tasks.add("x")
    task = octet.tasks.claim(join(octet))
    octet.tasks.complete(task.id, task.token, "made it")
    before = snapshot(octet.store.client)
    octet.tasks.complete(task.id, task.token, "made it better")
    assert snapshot(octet.store.client) == before
    assert (octet.tasks.get(task.id).result, octet.tasks.get(task.id).progress) == ("made it", 100)


def test_work_with_a_branch_is_done_by_the_merge_only(octet: Octet) -> None:
    """A task that was submitted and sent back cannot be completed past the merge."""
    developer, guardian = join(octet), join(octet, "repository-guardian")
    merge = merging(octet, guardian, developer)
    octet.tasks.send_back(merge.id, merge.token, "tests fail")
    task = octet.tasks.claim(developer)
    assert (task.id, task.findings, task.author) == (merge.id, "tests fail", developer.id)
    with pytest.raises(IllegalTransition, match="claimed with a branch"):
        octet.tasks.complete(task.id, task.token)
    octet.tasks.submit(task.id, task.token, branch="octet/1", commit="beef")
    merge = octet.tasks.claim(guardian, "merge")
    octet.tasks.complete(merge.id, merge.token, merge_commit="f00d")
    done = octet.tasks.get(merge.id)
    assert (done.state, done.holder, done.merge_commit, done.branch) == (
        TaskState.DONE,
        "",
        "f00d",
        "octet/1",
    )


def test_attempts(octet: Octet) -> None:
    """A failure and a death count, a release and a leave do not; the last attempt that counts makes
    the task dead.
    """
    octet.tasks.add("hard", max_attempts=3)
    task = octet.tasks.claim(join(octet))
    assert octet.tasks.fail(task.id, task.token, "first") == TaskState.PENDING
    agent = join(octet)
    task = octet.tasks.claim(agent)
    assert octet.tasks.release(task.id, task.token) == TaskState.PENDING
    task = octet.tasks.claim(agent)
    octet.agents.leave(agent)
    assert octet.tasks.get(task.id).attempts == 1
    agent = join(octet)
    octet.tasks.claim(agent)
    octet.agents.expire(agent)
    assert (octet.tasks.get(task.id).attempts, octet.tasks.get(task.id).last_reason) == (2, "died")
    task = octet.tasks.claim(join(octet))
    assert octet.tasks.fail(task.id, task.token, "last") == TaskState.DEAD
    dead = octet.tasks.get(task.id)
    assert dead.last_reason == "last"
    why = [(1, "first"), (2, "died"), (3, "last")]
    assert [(ended.attempt, ended.reason) for ended in dead.ended] == why
    assert all(f"attempt {number} at the build stage" in describe(dead) for number, _ in why)
    with pytest.raises(NothingToClaim):
        octet.tasks.claim(join(octet))
    with pytest.raises(IllegalTransition, match="dead"):
        octet.tasks.claim(join(octet), task_id=task.id)
    assert octet.tasks.retry(task.id) == TaskState.PENDING
    assert octet.tasks.get(task.id).ended == dead.ended, "who takes it up again should know"
    assert contradictions(octet) == []


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "{}", '{"a": 1}', "[nan]", "[[[]]]", "7", '[{"attempt": "x"}]', "[" * 2000],
)
def test_what_is_written_by_hand_where_attempts_are_noted(octet: Octet, text: str) -> None:
    """It reads as none, and stops no expiry; what comes after it is noted."""
    task = octet.tasks.add("hard", max_attempts=50)
    for _ in range(25):
        agent = join(octet)
        octet.tasks.claim(agent)
        octet.store.client.hset(octet.store.keys.task(task.id), "ended", text) if octet.tasks.get(
            task.id
        ).attempts == 1 else None
        assert octet.agents.expire(agent) is not None
    found = octet.tasks.get(task.id)
    assert (found.state, found.attempts) == (TaskState.PENDING, 25)
    assert [ended.attempt for ended in found.ended][-3:] == [23, 24, 25]


def test_a_dead_agents_last_attempt(octet: Octet) -> None:
    """An agent that dies at a task's last attempt leaves it dead, not lost."""
    octet.tasks.add("deadly", max_attempts=1)
    agent = join(octet)
    task = octet.tasks.claim(agent)
    released = octet.agents.expire(agent)
    assert released is not None
    assert released.tasks == (task.id,)
    assert octet.tasks.get(task.id).state == TaskState.DEAD


@pytest.mark.parametrize("end", ["fail", "release", "expire", "leave"])
def test_a_merge_given_back_waits_for_the_merge_again(octet: Octet, end: str) -> None:
    """A merge that ends without a result goes back to the merge queue, to its old place, and costs
    no attempt.
    """
    guardian, developer = join(octet, "repository-guardian"), join(octet)
    merge = merging(octet, guardian, developer)
    attempts = merge.attempts
    if end in {"fail", "release"}:
        octet.tasks.fail(merge.id, merge.token, "x") if end == "fail" else octet.tasks.release(
            merge.id, merge.token
        )
    else:
        octet.agents.expire(guardian) if end == "expire" else octet.agents.leave(guardian)
    assert octet.tasks.get(merge.id).state == TaskState.SUBMITTED
    again = octet.tasks.claim(join(octet, "repository-guardian"), "merge")
    assert (again.id, again.attempts, again.branch) == (merge.id, attempts, merge.branch)
    assert int(again.token) > int(merge.token)


def test_a_released_task_goes_back_to_its_place(octet: Octet) -> None:
    """Given back, a task is the oldest of its priority again."""
    for title in ("old", "new"):
        octet.tasks.add(title)
    task = octet.tasks.claim(join(octet))
    octet.tasks.release(task.id, task.token, "not mine")
    assert octet.tasks.get(task.id).last_reason == "not mine"
    assert octet.tasks.claim(join(octet)).title == "old"


def test_a_task_that_does_not_wait_cannot_be_claimed(octet: Octet) -> None:
    """The answer says in which state it is."""
    octet.tasks.add("x", task_id="x")
    octet.tasks.claim(join(octet))
    with pytest.raises(IllegalTransition, match="task x is claimed: cannot claim it"):
        octet.tasks.claim(join(octet), task_id="x")
    with pytest.raises(NotFound):
        octet.tasks.claim(join(octet), task_id="y")
    with pytest.raises(UsageError, match="choose one of plan, design, build"):
        octet.tasks.claim(join(octet), "deploy")


def test_a_buried_agent_gets_nothing(octet: Octet) -> None:
    """A claim by an agent that was declared dead, or in an older incarnation, is refused and takes
    nothing.
    """
    octet.tasks.add("x")
    agent = join(octet)
    octet.agents.expire(agent)
    with pytest.raises(AgentGone):
        octet.tasks.claim(agent)
    assert octet.tasks.counts()["pending"] == 1


def test_the_tasks_locks_end_with_it(octet: Octet) -> None:
    """Submit, complete, fail, release and send back free the locks taken for the task, and none
    that the agent took for its own.
    """
    agent, other, guardian = (
        join(octet),
        join(octet),
        join(octet, "repository-guardian"),
    )  # what is sent back is the author's again
    ends: list[Callable[[Task], Any]] = [
        lambda task: octet.tasks.release(task.id, task.token),
        lambda task: octet.tasks.fail(task.id, task.token, "x"),
        lambda task: octet.tasks.submit(task.id, task.token, branch="b"),
        lambda task: octet.tasks.send_back(task.id, task.token, "no"),
        lambda task: octet.tasks.complete(task.id, task.token),
    ]
    octet.tasks.add("x")
    for number, end in enumerate(ends):
        if number == 4:
            octet.tasks.add("without a branch", priority=1)
        worker, stage = (
            (guardian, "merge") if number == 3 else (other if number == 4 else agent, "build")
        )
        task = octet.tasks.claim(worker, stage)
        octet.locks.acquire(worker, ["path:a", "repository:main"], scope="turn")
        octet.locks.acquire(worker, [f"name:{number}"])
        assert len(octet.locks.list()) == number + 3
        end(task)
        assert [lock.resource for lock in octet.locks.list()] == [
            f"name:{n}" for n in range(number + 1)
        ]


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan"), float("inf")])
def test_progress_out_of_bounds(octet: Octet, percent: float) -> None:
    """Progress is 0 to 100."""
    with pytest.raises(UsageError):
        octet.tasks.progress("1", "1", percent)


def test_texts_come_back_as_given(octet: Octet) -> None:
    """Quotes, newlines, terminal escapes, right-to-left marks and emoji are data, in every field
    and in the events.
    """
    text = 'a "quoted" \\ text\n\x1b[2J\u202e\u0000 é 漢字 🎉 {\'] }'
    octet.tasks.add(text, description=text, labels=[text, ""], paths=[text], created_by=text)
    task = octet.tasks.claim(join(octet))
    assert (task.title, task.description, task.labels, task.paths, task.created_by) == (
        text,
        text,
        (text, ""),
        (text,),
        text,
    )
    octet.tasks.progress(task.id, task.token, 12.5, text)
    octet.tasks.complete(task.id, task.token, text)
    found = octet.tasks.get(task.id)
    assert (found.note, found.result) == (text, text)
    assert [event.fields["title"] for event in octet.events.log() if "title" in event.fields] == [
        text
    ] * 3


def test_events_carry_long_texts_in_brief(octet: Octet) -> None:
    """A result of 64 KiB stays with the task; the log has its beginning, cut at a character."""
    octet.tasks.add("x")
    task = octet.tasks.claim(join(octet))
    octet.tasks.complete(task.id, task.token, "aü" * MAX_TEXT)
    assert len(octet.tasks.get(task.id).result) == MAX_TEXT
    told = octet.events.log(1)[0].fields["result"]
    assert told.startswith("aüaü")
    assert 400 < len(told.encode()) <= 500
    told.encode()  # no half character


def test_events_tell_the_story(octet: Octet) -> None:
    """Each step is in the log, in order, with who did it and what for."""
    developer, guardian = join(octet), join(octet, "repository-guardian")
    merge = merging(octet, guardian, developer)
    octet.tasks.complete(merge.id, merge.token, merge_commit="d0ne")
    story = [event for event in octet.events.log() if event.type.startswith("task_")]
    assert [event.type for event in story] == [
        "task_added",
        "task_claimed",
        "task_submitted",
        "task_claimed",
        "task_completed",
    ]
    assert [event.fields.get("agent", "") for event in story] == [
        "",
        developer.id,
        developer.id,
        guardian.id,
        guardian.id,
    ]
    assert story[1].fields["token"] < story[3].fields["token"] == merge.token
    assert story[-1].fields["commit"] == "d0ne"
    assert json.dumps([dict(event.fields) for event in story])
