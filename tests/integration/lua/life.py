"""One project life that runs every script and meets every reply code; a client notes the calls."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.store_fixtures import join, merging, try_in_queue

from octet.base.errors import (
    AgentGone,
    Deadlock,
    IllegalTransition,
    LockAwaited,
    LockHeld,
    NotFound,
    NothingThere,
    NothingToClaim,
    NotLeading,
    NotYourTurn,
    Refused,
    StaleToken,
    Stopped,
    UsageError,
    VersionConflict,
    WorkMoved,
)
from octet.client.api import Octet
from octet.core.agents import work_changes
from octet.core.agents.registry import Agent, Registration
from octet.core.agents.work_state import WorkState
from octet.core.locks.waiting import QueuePlace, give_up
from octet.core.messaging.event_log import LogReader
from octet.core.tasks.plans import NewTask
from octet.core.tasks.tasks import ClaimOrder
from octet.core.tasks.verdicts import NewRecord
from octet.core.usage import transcripts
from octet.git.snapshot import Snapshot
from octet.project.config import Config
from octet.worktree.rescue import record_rescue

Call = tuple[Any, ...]


class Noting:
    """A client that notes every EVALSHA that passes, also through its pipelines."""

    def __init__(self, client: Any, calls: list[Call]) -> None:
        self._client, self._calls = client, calls

    def execute_command(self, *words: Any, **options: Any) -> Any:
        if words[0] == "EVALSHA":
            self._calls.append(words)
        reply = self._client.execute_command(*words, **options)
        return self if reply is self._client else reply

    def pipeline(self, **options: Any) -> Noting:
        return Noting(self._client.pipeline(**options), self._calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@contextmanager
def noted(octet: Octet) -> Iterator[list[Call]]:
    """The EVALSHA calls that the library makes in the block."""
    calls: list[Call] = []
    real, octet.store.client = octet.store.client, Noting(octet.store.client, calls)
    yield calls
    octet.store.client = real


def refuses(kind: type[Exception], call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    with pytest.raises(kind):
        call(*arguments, **named)


def live(octet: Octet) -> Agent:
    """From the first task to the last expiry; returns the developer that is left, with a claim and
    a lock.
    """
    developer, guardian, other = (
        join(octet, session="s1"),
        join(octet, "repository-guardian"),
        join(octet, session="s2"),
    )
    _build(octet, developer, guardian, other)
    _locks(octet, developer, other)
    octet.messages.send(developer.id, "hello", sender=other.id)
    assert [message.text for message in octet.messages.read(developer)][-1] == "hello"
    octet.events.publish("note", {"list": [], "deep": [[[]]]})
    assert len(LogReader(octet.store, "0-0").read()[0]) == len(octet.events.log(1000))
    _queue(octet)
    _values(octet)
    _analysis(octet)
    _pipeline(octet)
    _elects(octet)
    _costs(octet, developer)
    _ends(octet, developer, guardian, other)
    octet.tasks.add("last")
    octet.tasks.claim(developer)
    octet.locks.acquire(developer, ["path:last.py"], scope="turn")
    assert octet.overlaps.touch(developer, ["src/a.py"]) == []
    return developer


def _build(octet: Octet, developer: Agent, guardian: Agent, other: Agent) -> None:
    tasks = octet.tasks
    tasks.add("first", task_id="named", labels=["ui"], paths=["src/*"], description="do it")
    refuses(UsageError, tasks.add, "again", task_id="named")
    octet.store.client.lpush(octet.store.keys.pending, '{"title": "raw", "priority": -5}')
    refuses(NotFound, tasks.claim, developer, task_id="nothing")
    task = tasks.claim(developer)
    assert tasks.claim(developer) == task
    refuses(IllegalTransition, tasks.claim, other, task_id="named")
    tasks.progress(task.id, task.token, 50, "half")
    snapshot = Snapshot("refs/octet/rescue/t/1", "c0ffee", "1 file changed")
    record_rescue(octet, developer.id, task.id, snapshot)
    record_rescue(octet, developer.id, "nothing", snapshot)
    assert tasks.get(task.id).rescue_size == "1 file changed"
    refuses(StaleToken, tasks.progress, task.id, "0", 51)
    refuses(NotFound, tasks.complete, "nothing", "0")
    tasks.submit(task.id, task.token, branch="b", commit="c")
    merge = tasks.claim(guardian, "merge")
    refuses(IllegalTransition, tasks.submit, merge.id, merge.token)
    refuses(WorkMoved, tasks.send_back, merge.id, merge.token, commit="another")
    tasks.send_back(merge.id, merge.token, record=NewRecord("fail", "it breaks"))
    again = tasks.claim(other, task_id="named")
    refuses(IllegalTransition, tasks.complete, again.id, again.token)
    tasks.fail(again.id, again.token, "cannot")
    last = tasks.claim(other)
    tasks.release(last.id, last.token)
    merge = merging(octet, guardian, developer)
    tasks.complete(merge.id, merge.token, "merged", merge_commit="d")
    for _ in range(2):
        task = tasks.claim(developer)
        tasks.complete(task.id, task.token) if not task.branch else tasks.submit(
            task.id, task.token, branch="b"
        )
    refuses(NothingToClaim, tasks.claim, developer)
    _graph(octet, developer, guardian, other)


def _graph(octet: Octet, developer: Agent, guardian: Agent, other: Agent) -> None:
    tasks = octet.tasks
    refuses(NotFound, tasks.add, "of nothing", after=["nothing"])
    base = tasks.add("base", paths=["lib/**"], gates=["review", "merge"])
    tasks.add_many(
        [
            NewTask("on top", id="top", after=(base.id,)),
            NewTask("near", id="near", paths=("lib/a.py",)),
        ]
    )
    tasks.add("special", task_id="special", needs=["sql"])
    refuses(Refused, tasks.claim, developer, task_id="special")
    refuses(IllegalTransition, tasks.claim, developer, task_id="top")
    task = tasks.claim(developer, task_id=base.id)
    refuses(Refused, tasks.claim, other, task_id="near")
    refuses(NothingToClaim, tasks.claim, other)
    tasks.submit(task.id, task.token, branch="b", commit="c")
    _review(octet, developer, guardian, other)
    merge = tasks.claim(guardian, "merge", task_id=base.id)
    refuses(IllegalTransition, tasks.pass_on, merge.id, merge.token)
    refuses(IllegalTransition, tasks.cancel, merge.id)
    refuses(IllegalTransition, tasks.renew, merge.id, agent=developer, branch="b", commit="e")
    tasks.complete(merge.id, merge.token, record=NewRecord("merged"))
    assert [record.verdict for record in tasks.records(base.id)] == ["approve", "merged"]
    refuses(NotYourTurn, _in_turn, octet, developer, other)
    tasks.cancel("top", "not wanted")
    refuses(IllegalTransition, tasks.retry, "near")
    assert tasks.retry("top") == "pending"
    for task_id in ("top", "near", "special"):
        tasks.cancel(task_id)
    refuses(NotFound, tasks.cancel, "nothing")
    refuses(NotFound, tasks.retry, "nothing")
    _fill(octet)


def _review(octet: Octet, developer: Agent, guardian: Agent, other: Agent) -> None:
    """The task that waits for review is renewed under its reviewer, and approved."""
    tasks = octet.tasks
    refuses(NothingToClaim, tasks.claim, developer, "review")
    review = tasks.claim(guardian, "review")
    refuses(IllegalTransition, tasks.complete, review.id, review.token)
    refuses(NotFound, tasks.renew, "nothing", agent=developer, branch="b", commit="d")
    refuses(Refused, tasks.renew, review.id, agent=other, branch="b", commit="d")
    assert tasks.renew(review.id, agent=developer, branch="b", commit="d") == "review"
    refuses(
        StaleToken,
        tasks.renew,
        review.id,
        agent=guardian,
        token=review.token,
        branch="b",
        commit="d",
    )
    refuses(Refused, tasks.claim, developer, "review", task_id=review.id)
    review = tasks.claim(guardian, "review")
    refuses(WorkMoved, tasks.pass_on, review.id, review.token, commit="c")
    octet.store.client.hset(octet.store.keys.task(review.id), "author", guardian.id)
    refuses(Refused, tasks.pass_on, review.id, review.token)
    octet.store.client.hset(octet.store.keys.task(review.id), "author", developer.id)
    assert (
        tasks.pass_on(review.id, review.token, commit="d", record=NewRecord("approve")) == "merge"
    )


def _in_turn(octet: Octet, developer: Agent, other: Agent) -> None:
    """The developer waits first, so that it is not the other's turn."""
    with pytest.raises(NothingToClaim):
        octet.tasks.claim(developer, "docs", turn=ClaimOrder.WAIT)
    octet.tasks.add("docs", task_id="docs", stage="docs")
    try:
        octet.tasks.claim(other, "docs", turn=ClaimOrder.WAIT)
    finally:
        task = octet.tasks.claim(other, "docs", turn=ClaimOrder.NOW)
        octet.tasks.complete(task.id, task.token)


def _fill(octet: Octet) -> None:
    """As many queues as there may be, by hand."""
    client, keys = octet.store.client, octet.store.keys
    names = [f"build:{number}" for number in range(256)]
    client.sadd(keys.queues, *names)
    refuses(UsageError, octet.tasks.add, "one more")
    client.srem(keys.queues, *names)


def _locks(octet: Octet, developer: Agent, other: Agent) -> None:
    tokens = octet.locks.acquire(developer, ["path:a", "path:b"], scope="turn")
    assert octet.locks.acquire(developer, ["path:a"], scope="turn") == {"path:a": tokens["path:a"]}
    refuses(LockHeld, octet.locks.acquire, other, ["path:c", "path:b"])
    refuses(LockHeld, octet.locks.acquire, other, ["path:b"], scope="turn")
    assert octet.locks.freed(other) == (1, [])
    offers = [
        octet.store.run("task/offer", what="lock:path:b", agent=agent.id, count=1, offer_ms=60_000)[
            0
        ]
        for agent in (other, developer)
    ]
    assert offers == ["OK", "LATER"]
    refuses(StaleToken, octet.locks.release, "path:a", "0")
    refuses(NotFound, octet.locks.release, "path:z", "0")
    octet.locks.release("path:a", tokens["path:a"])
    assert octet.locks.end_turn(developer) == ["path:b"]
    octet.locks.acquire(other, ["name:x"])
    _wait(octet, developer, other)
    assert octet.locks.break_lock("name:x", "ann") == other.id
    assert octet.locks.list() == []


def _queue(octet: Octet) -> None:
    queue = octet.queue("q")
    refuses(NothingThere, queue.reserve)
    assert queue.push("one", {"list": []}, 3) == 3
    item = queue.reserve(max_deliveries=2)
    assert queue.extend(item, 60) > octet.now_ms()
    assert queue.nack(item, reason="again")
    again = queue.reserve(max_deliveries=2)
    assert (again.value, again.deliveries) == ("one", 2)
    for call in (queue.ack, queue.nack, queue.extend):
        refuses(StaleToken, call, item)
    assert not queue.nack(again, reason="no more")
    assert queue.revive() == 1
    assert queue.ack(queue.reserve()) == 2
    assert [queue.pop(), queue.pop()] == [3, "one"]
    assert (queue.stats().left, queue.stats().done, queue.stats().died) == (0, 3, 1)


def _values(octet: Octet) -> None:
    state, counter = octet.state("s"), octet.counter("c")
    version = state.set("status", {"list": []})
    assert state.read("status").version == version
    refuses(VersionConflict, state.compare_and_set, "status", 1, "0")
    refuses(UsageError, state.incr, "status")
    assert state.incr("n", 2) == 2
    refuses(VersionConflict, state.delete, "status", version="0")
    assert state.delete("status", version=version) == 1
    counter.set(2**63 - 1)
    refuses(UsageError, counter.incr)
    assert counter.decr() == 2**63 - 2
    assert octet.kv.put("k", [], new=True)
    assert not octet.kv.put("k", 1, new=True)
    run = octet.run("r")
    run.queue("q").push(1)
    assert run.clear() == 2
    assert octet.names("kv") == ["k"]


def _analysis(octet: Octet) -> None:
    analysis = octet.map("m")
    assert (analysis.start(["a", {"b": []}, "c"]), analysis.start(["a", "c", "d"])) == (3, 1)
    first = analysis.take()
    assert analysis.done(first, {"list": []}) == 3
    second = analysis.take()
    assert analysis.fail(second, "cannot") == 2
    for token in (first, second, "0"):
        refuses(StaleToken, analysis.done, token, 1)
        refuses(StaleToken, analysis.fail, token, "why")
    assert octet.errors("m").add("more", item="d", fail_fast=2).stopped
    refuses(Stopped, analysis.take)
    assert [report.item for report in octet.errors("m").list()] == [{"b": []}, "d"]
    progress = octet.progress("x")
    progress.set(1, total=4, note="first")
    assert progress.add(2).percent == 75
    octet.store.client.hset(octet.store.keys.progress("x"), "current", "many")
    refuses(UsageError, progress.add)


def _pipeline(octet: Octet) -> None:
    pipeline = octet.pipeline("p")
    refuses(NothingThere, pipeline.begin)
    assert (pipeline.start("one", "two"), pipeline.start("one", "two")) == (True, False)
    refuses(Refused, pipeline.start, "one")
    refuses(NothingThere, pipeline.begin, "two")
    turn = pipeline.begin()
    pipeline.renew(turn, 60)
    refuses(NothingThere, pipeline.begin)
    assert pipeline.done(turn, [1]) == 1
    refuses(StaleToken, pipeline.done, turn)
    turn = pipeline.begin("two")
    assert turn.given == [1]
    pipeline.fail(turn, "cannot")
    refuses(Stopped, pipeline.begin, "two")
    turn = pipeline.begin("two", again=True)
    assert (turn.tries, pipeline.done(turn)) == (2, 0)
    refuses(NothingThere, pipeline.begin)


def _wait(octet: Octet, developer: Agent, other: Agent) -> None:
    """The developer waits for a directory and a name; the other may neither pass, nor wait for what
    the developer holds.
    """
    octet.locks.acquire(developer, ["path:c.py"])
    place = QueuePlace()
    refuses(LockHeld, try_in_queue, octet, developer, ["path:d/", "name:x"], place)
    third = join(octet)
    refuses(LockAwaited, octet.locks.acquire, third, ["path:d/f"])
    refuses(Deadlock, try_in_queue, octet, other, ["path:*.py"], QueuePlace())
    give_up(octet.store, place)
    tokens = octet.locks.acquire(third, ["path:d/"])
    octet.locks.release("path:d/", tokens["path:d/"])
    octet.locks.break_lock("path:c.py", "ann")
    octet.agents.leave(third)


def _elects(octet: Octet) -> None:
    """The second orchestrator waits, is refused the first's writes, and leads after its death."""
    first, second = join(octet, "orchestrator"), join(octet, "orchestrator")
    task = octet.tasks.add("planned", stage="plan", by=first)
    octet.messages.send("orchestrator", "plan it", sender="ann")
    assert octet.messages.read(second) == []
    refuses(NotLeading, octet.tasks.add, "more", by=second)
    refuses(NotLeading, octet.tasks.claim, second, "plan")
    refuses(NotLeading, octet.tasks.cancel, task.id, by=second)
    refuses(NotLeading, octet.tasks.retry, task.id, by=second)
    octet.agents.expire(first)
    assert "plan it" in [message.text for message in octet.messages.read(second)]
    octet.tasks.cancel(octet.tasks.claim(second, "plan").id, by=second)
    octet.agents.leave(second)


def _costs(octet: Octet, developer: Agent) -> None:
    """An answer that uses a budget up, in a transcript that two read at once."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as transcript:
        path, config = (
            Path(transcript.name),
            Config("p", budget_day_tokens=10, budget_task_tokens=10),
        )
        octet.cost.begin(path, transcripts.ReadPosition(), 0)
        usage = {"input_tokens": 7, "output_tokens": 5}
        transcript.write(
            json.dumps({"type": "assistant", "message": {"id": "m", "usage": usage}}) + "\n"
        )
        transcript.flush()
        known = octet.store.client.get(octet.store.keys.cost_read(str(path)))
        assert octet.cost.account(developer, path, config).total == 12
        assert not octet.cost._add(
            path, known, "{}", developer, config, {"": transcripts.Tokens(1)}
        )
    assert [budget.kind for budget in octet.cost.reached(config)] == ["day", "task"]
    octet.cost.lift()


def _ends(octet: Octet, developer: Agent, guardian: Agent, other: Agent) -> None:
    octet.agents.update(developer, branch="topic")
    octet.work_states.pause(developer, "lunch", by="person-ann")
    octet.work_states.resume(developer)
    octet.work_states.park(developer, "it stopped", ["1"])
    octet.work_states.change(developer, work_changes.hear_person, known=WorkState(version=1))
    assert list(octet.agents.heartbeat([developer, guardian])) == [True, True]
    epoch = octet.agents.acquire_sweeper("h:1:1", 1000)
    assert octet.agents.expire_silent(other, epoch) is None
    assert octet.agents.expire(other) is not None
    refuses(AgentGone, octet.tasks.claim, other)
    refuses(AgentGone, octet.tasks.renew, "1", agent=other, branch="b", commit="c")
    refuses(AgentGone, octet.locks.acquire, other, ["path:a"])
    refuses(AgentGone, octet.agents.update, other)
    refuses(AgentGone, octet.work_states.pause, other)
    refuses(AgentGone, octet.agents.join, other, "architect")
    assert list(octet.agents.heartbeat([other])) == [False]
    assert octet.locks.end_turn(other) == []
    refuses(Refused, octet.agents.register, Registration(role="developer", name=developer.id))
    architect = octet.agents.join(guardian, "architect")
    assert octet.agents.leave(architect) is not None
