"""The checker: histories written by hand, and generated ones against a search of every order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chaos.checker import check
from tests.chaos.checker.linear import Model, TooComplex, find_contradiction
from tests.chaos.checker.locks import LockModel
from tests.chaos.checker.objects import explain
from tests.chaos.checker.tasks import TaskModel
from tests.chaos.checker.values import CounterModel, FieldModel, check_values
from tests.chaos.history import Operation, Recorder, read

MS = 1_000_000


def op(
    name: str,
    at: float,
    until: float | None,
    answer: dict[str, Any] | str = "ok",
    worker: str = "w",
    **arguments: Any,
) -> Operation:
    """One operation from `at` to `until` (ms; None: unknown); an answer is its outcome, or
    what came with "ok".
    """
    said = {"outcome": answer} if isinstance(answer, str) else {"outcome": "ok", **answer}
    return Operation(
        name,
        worker,
        int(at * MS),
        None if until is None else int(until * MS),
        arguments,
        {} if until is None else said,
    )


def claim(at: float, until: float | None, agent: str, token: int, task: str = "t") -> Operation:
    return op("claim", at, until, {"task": task, "token": str(token)}, agent=agent, stage="build")


def write(
    name: str, at: float, until: float | None, token: int, answer: str = "ok", **arguments: Any
) -> Operation:
    return op(name, at, until, answer, task="t", token=str(token), **arguments)


def acquire(
    at: float, until: float | None, agent: str, name: str, token: int, ttl_ms: int = 60_000
) -> Operation:
    return op(
        "acquire", at, until, {"tokens": [str(token)]}, agent=agent, resources=[name], ttl_ms=ttl_ms
    )


def register(agent: str, token: int, lease_ms: int = 0) -> Operation:
    return op(
        "register", 0, 0.5, {"agent": agent, "incarnation": str(token)}, agent, lease_ms=lease_ms
    )


ADDED = op("add", 0, 1, task="t")
PUSHED = op("push", 0, 1, queue="q", values=["v"])
LIVES = [register("a", 1), register("b", 2)]
KILLED = Operation("kill", "conductor", 20 * MS, 21 * MS, {"worker": "a"}, {"outcome": "ok"})


def reserve(at: float, until: float, token: int, ends: float, deliveries: int = 1) -> Operation:
    return op(
        "reserve",
        at,
        until,
        {"value": "v", "token": str(token), "until": int(ends * MS), "deliveries": deliveries},
        queue="q",
    )


def settle(name: str, at: float, until: float | None, token: int, answer: str = "ok") -> Operation:
    return op(name, at, until, answer, queue="q", value="v", token=str(token))


def sent(text: str, at: float = 0, to: str = "r") -> Operation:
    return op("send", at, at + 1, to=to, text=text)


def taken(
    at: float,
    until: float | None,
    *texts: str,
    inbox: str = "r",
    last: bool = False,
    most: int = 20,
) -> Operation:
    messages = [[inbox, f"{int(text[1:])}-0", text] for text in texts]
    return op(
        "take",
        at,
        until,
        {"messages": messages},
        agent="a",
        inboxes=["a", "r"],
        most=most,
        last=last,
    )


def move(old: str, new: str, token: int, at: float, until: float | None = None) -> Operation:
    return op(
        "move",
        at,
        at + 1 if until is None else until,
        branch="main",
        old=old,
        new=new,
        token=str(token),
    )


RIGHT = {
    "a task's life": [
        ADDED,
        claim(2, 3, "a", 5),
        write("progress", 4, 5, 5),
        write("complete", 6, 7, 5),
    ],
    "complete repeated": [
        ADDED,
        claim(2, 3, "a", 5),
        write("complete", 6, 7, 5),
        write("complete", 8, 9, 5),
    ],
    "a claim given again": [
        ADDED,
        claim(2, 3, "a", 5),
        claim(4, 5, "a", 5),
        write("complete", 6, 7, 5),
    ],
    "a late write is refused": [
        ADDED,
        claim(2, 3, "a", 5),
        write("release", 4, 5, 5),
        claim(6, 7, "b", 6),
        write("complete", 8, 9, 5, "stale"),
    ],
    "through the gates": [
        ADDED,
        claim(2, 3, "a", 5),
        write("submit", 4, 5, 5, gates=["review", "merge"]),
        op("claim", 6, 7, {"task": "t", "token": "6"}, agent="b", stage="review"),
        write("pass", 8, 9, 6),
        op("claim", 10, 11, {"task": "t", "token": "7"}, agent="b", stage="merge"),
        write("complete", 12, 13, 7),
    ],
    "given on after a death": [
        *LIVES,
        ADDED,
        claim(2, 3, "a", 5),
        KILLED,
        claim(24, 25, "b", 6),
        write("complete", 26, 27, 6),
    ],
    "given on, and the dead one's last write came before": [
        *LIVES,
        ADDED,
        claim(2, 3, "a", 5),
        write("release", 19, None, 5),
        KILLED,
        claim(24, 25, "b", 6),
    ],
    "a lost complete": [
        ADDED,
        claim(2, 3, "a", 5),
        write("complete", 4, None, 5),
        op("get", 9, 10, {"state": "done", "holder": "", "token": "5"}, task="t"),
    ],
    "a lost claim that is given again": [
        ADDED,
        claim(2, None, "a", 0),
        op("get", 3, 4, {"state": "claimed", "holder": "a", "token": "5"}, task="t"),
        claim(6, 7, "a", 5),
    ],
    "two at once, in either order": [
        acquire(0, 9, "a", "path:d/f", 5),
        op("unlock", 9.5, 10, resource="path:d/f", token="5"),
        acquire(1, 12, "b", "path:d/f", 6),
    ],
    "a lock that ran out": [
        acquire(0, 1, "a", "path:d/f", 5, ttl_ms=10),
        acquire(11.5, 12, "b", "path:d/f", 6),
        op("unlock", 13, 14, "stale", resource="path:d/f", token="5"),
    ],
    "a lock of a dead one": [
        *LIVES,
        acquire(1, 2, "a", "path:d/", 5),
        KILLED,
        acquire(30, 31, "b", "path:d/f", 6),
    ],
    "a lock renewed": [
        acquire(0, 1, "a", "path:d/f", 5),
        acquire(2, 3, "a", "path:d/f", 5),
        op("acquire", 4, 5, "held", agent="b", resources=["path:d/f"], ttl_ms=9),
    ],
    "an item given again in time": [
        PUSHED,
        reserve(2, 3, 5, 10),
        reserve(11, 12, 6, 20, 2),
        settle("ack", 13, 14, 5, "stale"),
        settle("ack", 15, 16, 6),
    ],
    "an item given in an answer that was lost": [
        PUSHED,
        op("reserve", 1, None, queue="q"),
        reserve(11, 12, 6, 20, 2),
        settle("ack", 15, 16, 6),
        op("drained", 20, 21, queue="q"),
    ],
    "messages in order": [
        sent("m1"),
        sent("m2"),
        taken(3, 4, "m1"),
        taken(5, 6, "m2"),
        taken(7, 8, last=True),
    ],
    "a message in an answer that was lost": [sent("m1"), taken(3, None), taken(7, 8, last=True)],
    "a counter with a lost step": [
        op("count", 0, None, counter="c", by=1),
        op("count", 1, 2, {"value": 2}, counter="c", by=1),
    ],
    "a branch": [move("0", "1", 5, 1), move("1", "2", 7, 3)],
}

WRONG = {
    (1, "two have it at once"): [ADDED, claim(2, 3, "a", 5), claim(4, 5, "b", 6)],
    (1, "a token that does not grow"): [
        ADDED,
        claim(2, 3, "a", 5),
        write("release", 4, 5, 5),
        claim(6, 7, "b", 4),
    ],
    (1, "a late write is taken"): [
        ADDED,
        claim(2, 3, "a", 5),
        write("release", 4, 5, 5),
        claim(6, 7, "b", 6),
        write("complete", 8, 9, 5),
    ],
    (1, "the holder is refused"): [ADDED, claim(2, 3, "a", 5), write("complete", 4, 5, 5, "stale")],
    (1, "given on before the death"): [
        *LIVES,
        ADDED,
        claim(2, 3, "a", 5),
        claim(18, 19, "b", 6),
        KILLED,
    ],
    (1, "one number for two tasks"): [
        ADDED,
        op("add", 0, 1, task="u"),
        claim(2, 3, "a", 5),
        claim(2, 3, "b", 5, "u"),
    ],
    (2, "an added task is not there"): [ADDED, op("get", 5, 6, "missing", task="t", last=True)],
    (2, "a task is done without a worker"): [
        ADDED,
        op("get", 5, 6, {"state": "done", "holder": "", "token": "0"}, task="t"),
    ],
    (2, "a task is stuck"): [
        ADDED,
        claim(2, 3, "a", 5),
        op("get", 5, 6, {"state": "claimed", "holder": "a", "token": "5"}, task="t", last=True),
    ],
    (3, "two hold a lock"): [acquire(0, 1, "a", "path:d/f", 5), acquire(2, 3, "b", "path:d/f", 6)],
    (3, "a file below a locked directory"): [
        acquire(0, 1, "a", "path:d/", 5),
        acquire(2, 3, "b", "path:d/f", 6),
    ],
    (3, "freed with another's token"): [
        acquire(0, 1, "a", "path:d/f", 5),
        op("unlock", 2, 3, resource="path:d/f", token="4"),
    ],
    (3, "gone before its time"): [
        acquire(0, 1, "a", "path:d/f", 5, ttl_ms=10),
        acquire(9, 9.5, "b", "path:d/f", 6),
    ],
    (3, "held by no agent"): [
        op(
            "acquire",
            0,
            1,
            {"outcome": "held", "holder": "b"},
            agent="a",
            resources=["path:d/f"],
            ttl_ms=9,
        )
    ],
    (4, "a living one is declared dead"): [
        *LIVES,
        op("claim", 5, 6, "gone", agent="a", stage="build"),
        KILLED,
    ],
    (4, "a lease that was renewed"): [
        register("a", 1, 20),
        op("beat", 10, 11, agent="a"),
        op("beat", 28, 29, "gone", agent="a"),
    ],
    (4, "a dead one never expires"): [
        *LIVES,
        KILLED,
        op("registered", 90, 91, {"agents": ["a"]}),
    ],
    (1, "an item given to two"): [PUSHED, reserve(2, 3, 5, 50), reserve(4, 5, 6, 60, 2)],
    (1, "an item done twice"): [
        PUSHED,
        reserve(2, 3, 5, 50),
        settle("ack", 4, 5, 5),
        settle("ack", 6, 7, 5),
    ],
    (2, "an item lost"): [PUSHED, op("drained", 8, 9, queue="q")],
    (6, "a message given out twice"): [sent("m1"), taken(3, 4, "m1"), taken(5, 6, "m1")],
    (6, "a message lost"): [sent("m1"), taken(3, 4), taken(7, 8, last=True)],
    (6, "more messages lost than anybody can have been given"): [
        sent("m1"),
        sent("m2"),
        taken(3, None, most=1),
        taken(7, 8, last=True),
    ],
    (6, "messages out of order"): [
        sent("m1", to="a"),
        sent("m2", to="a"),
        taken(3, 4, "m2", inbox="a"),
        taken(5, 6, "m1", inbox="a"),
    ],
    (6, "messages out of order in one answer"): [sent("m1"), sent("m2"), taken(3, 4, "m2", "m1")],
    (2, "an update overwritten"): [
        op("set", 0, 1, {"version": "5"}, field="s f", value="x"),
        op("compare_and_set", 2, 3, {"version": "6"}, field="s f", value="y", version="5"),
        op("compare_and_set", 4, 5, {"version": "7"}, field="s f", value="z", version="5"),
    ],
    (2, "a count lost"): [
        op("count", 0, 1, {"value": 1}, counter="c", by=1),
        op("count", 2, 3, {"value": 1}, counter="c", by=1),
    ],
    (7, "a branch moved twice from one commit"): [move("0", "1", 5, 1), move("0", "2", 7, 3)],
    (7, "a branch moved under an old token"): [move("0", "1", 5, 1), move("1", "2", 4, 3)],
    (7, "a branch moved from nowhere"): [move("0", "1", 5, 1), move("9", "2", 6, 3)],
    (8, "an error that nothing promises"): [
        op("claim", 0, 1, "error ResponseError: oops", agent="a", stage="build")
    ],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_right_histories_pass(history: list[Operation]) -> None:
    """What the invariants allow is no violation."""
    for found in history:
        if found.outcome == "held":
            found.answer = {"outcome": "held", "holder": "a"}
    assert [str(violation) for violation in check(history)] == []


@pytest.mark.parametrize(("key", "history"), WRONG.items(), ids=[name for _, name in WRONG])
def test_wrong_histories_are_reported(key: tuple[int, str], history: list[Operation]) -> None:
    """Each broken invariant is named by its number, with operations that show it."""
    assert key[0] in {violation.invariant for violation in check(history)}


def test_an_excerpt_is_readable() -> None:
    """A violation shows what happened to that object, when and by whom, and nothing else."""
    history = [
        *WRONG[1, "two have it at once"],
        op("add", 0, 1, task="other"),
        *[op("get", n, n + 1, "missing", task=f"x{n}") for n in range(9)],
    ]
    (found,) = check(history)
    assert str(found).splitlines() == [
        "invariant 1: task t: claim by w answered 'ok', which cannot be where it was "
        "Task(phase='held', stage='build', gates=(), holder='a', token=5, submitted=False)",
        "        0.00 ..    1.00  w        add task=t -> ok",
        "        2.00 ..    3.00  w        claim agent=a stage=build -> ok task=t token=5",
        "        4.00 ..    5.00  w        claim agent=b stage=build -> ok task=t token=6",
    ]


def test_a_history_survives_a_kill(tmp_path: Path) -> None:
    """An operation without an answer is open; a torn last line never began."""
    recorder = Recorder(tmp_path / "w1.log")
    with recorder.operation("add", task="t") as answer:
        answer["id"] = "7"
    recorder.invoke("claim", {"agent": "a"})
    recorder.close()
    with (tmp_path / "w1.log").open("a") as file:
        file.write("[3,12")
    added, claimed = read([tmp_path / "w1.log"])
    assert (added.worker, added.answer, added.ok) == ("w1", {"outcome": "ok", "id": "7"}, True)
    assert (claimed.name, claimed.answered, claimed.outcome) == ("claim", None, "?")


def test_too_much_is_not_taken_for_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the search is given up, that is said as a violation of its own."""
    monkeypatch.setattr("tests.chaos.checker.linear.MOST_CONFIGURATIONS", 3)
    history = [acquire(0, None, f"a{n}", f"path:d/f{n}", n) for n in range(4)]
    history.append(
        op(
            "acquire",
            8,
            9,
            {"outcome": "held", "holder": "nobody"},
            agent="b",
            resources=["path:d/f1"],
            ttl_ms=9,
        )
    )
    with pytest.raises(TooComplex):
        find_contradiction(history, LockModel())
    assert [violation.invariant for violation in check(history)] == [0]


# Generated histories.


def linearizable_by_search(operations: Sequence[Operation], model: Model[Any]) -> bool:
    """Every set of the operations without an answer, in every order that time allows."""
    answered = [op for op in operations if op.answered is not None]
    unanswered = [op for op in operations if op.answered is None]
    return any(
        _explains(order, model)
        for size in range(len(unanswered) + 1)
        for chosen in itertools.combinations(unanswered, size)
        for order in itertools.permutations([*answered, *chosen])
    )


def _explains(order: Sequence[Operation], model: Model[Any]) -> bool:
    state = model.start
    for index, current in enumerate(order):
        if any(
            later.answered is not None and later.answered < current.invoked
            for later in order[index + 1 :]
        ):
            return False
        state = model.step(state, current)
        if state is None:
            return False
    return True


def timed(draw: st.DrawFn, operations: list[Operation], unknown: float = 0.2) -> list[Operation]:
    """Some of them overlap, and some have no answer."""
    for found in operations:
        start, length = draw(st.integers(0, 8)), draw(st.integers(0, 6))
        found.invoked, found.answered = start * MS, (start + length) * MS
        if draw(st.floats(0, 1)) < unknown:
            found.answered, found.answer = None, {}
    return operations


@st.composite
def counter_histories(draw: st.DrawFn) -> list[Operation]:
    steps = draw(st.lists(st.tuples(st.sampled_from([1, 1, 2]), st.integers(1, 5)), max_size=5))
    return timed(
        draw, [op("count", 0, 1, {"value": value}, counter="c", by=by) for by, value in steps]
    )


@st.composite
def field_histories(draw: st.DrawFn) -> list[Operation]:
    made = []
    for n in range(draw(st.integers(0, 5))):
        version, before = str(draw(st.integers(1, 3))), str(draw(st.integers(0, 3)))
        kind = draw(st.sampled_from(["set", "read", "compare_and_set", "conflict", "delete"]))
        if kind == "read":
            value = draw(st.sampled_from(["", "v0", "v1", "v2"]))
            made.append(
                op("read", 0, 1, {"value": value, "version": version if value else "0"}, field="f")
            )
        elif kind == "delete":
            made.append(op("delete", 0, 1, {"deleted": draw(st.booleans())}, field="f"))
        elif kind == "set":
            made.append(op("set", 0, 1, {"version": version}, field="f", value=f"v{n}"))
        else:
            answer = {
                "version": version,
                "outcome": "ok" if kind == "compare_and_set" else "conflict",
            }
            made.append(
                op("compare_and_set", 0, 1, answer, field="f", value=f"v{n}", version=before)
            )
    return [
        found for found in timed(draw, made) if found.name != "read" or found.answered is not None
    ]


@st.composite
def task_histories(draw: st.DrawFn) -> list[Operation]:
    made = [op("add", 0, 1, task="t")] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 5))):
        token, agent = draw(st.integers(1, 2)), draw(st.sampled_from("ab"))
        if draw(st.booleans()):
            made.append(claim(0, 1, agent, token))
        else:
            answer = draw(st.sampled_from(["ok", "ok", "stale"]))
            made.append(
                write(
                    draw(st.sampled_from(["progress", "release", "complete"])), 0, 1, token, answer
                )
            )
    # A claim that was not answered names no task: the checker never asks the model about one.
    return [
        found for found in timed(draw, made) if found.name != "claim" or found.answered is not None
    ]


@st.composite
def lock_histories(draw: st.DrawFn) -> list[Operation]:
    made = []
    for _ in range(draw(st.integers(0, 5))):
        token, agent = draw(st.integers(1, 3)), draw(st.sampled_from("ab"))
        name = draw(st.sampled_from(["path:d/", "path:d/f", "path:d/g"]))
        kind = draw(st.sampled_from(["acquire", "acquire", "unlock", "held"]))
        if kind == "acquire":
            made.append(acquire(0, 1, agent, name, token))
        elif kind == "held":
            made.append(
                op(
                    "acquire",
                    0,
                    1,
                    {"outcome": "held", "holder": "a"},
                    agent="b",
                    resources=[name],
                    ttl_ms=60_000,
                )
            )
        else:
            made.append(
                op(
                    "unlock",
                    0,
                    1,
                    draw(st.sampled_from(["ok", "stale", "missing"])),
                    resource=name,
                    token=str(token),
                )
            )
    return timed(draw, made)


HISTORIES: dict[str, tuple[st.SearchStrategy[list[Operation]], Model[Any]]] = {
    "counter": (counter_histories(), CounterModel()),
    "field": (field_histories(), FieldModel()),
    "task": (task_histories(), TaskModel()),
    "lock": (lock_histories(), LockModel()),
}


@pytest.mark.parametrize("kind", HISTORIES)
@settings(max_examples=150)
@given(data=st.data())
def test_checker_says_what_a_search_through_every_order_says(
    kind: str, data: st.DataObject
) -> None:
    """Right or wrong, with operations without an answer: the checker finds a contradiction exactly
    where no order explains the history.
    """
    histories, model = HISTORIES[kind]
    history = data.draw(histories)
    expected = linearizable_by_search(history, model)
    assert (find_contradiction(history, model) is None) == expected
    assert (explain(history, model, few=0) is None) == expected


@settings(max_examples=150)
@given(field_histories())
def test_fields_are_checked_as_a_search_would(history: list[Operation]) -> None:
    """The check of a whole history of a field says the same as the search through every order."""
    for found in history:
        found.arguments["field"] = "s f"
    assert (list(check_values(history)) == []) == linearizable_by_search(history, FieldModel())


def simulate(chance: random.Random, steps: int) -> list[Operation]:
    """A long history that is right by its making: operations take effect one after the other, and
    are answered before or after others.
    """
    made: list[Operation] = [op("add", 0, 1, task="t")]
    state, token, free = TaskModel.start._replace(phase="waiting"), 0, [0.0] * 4
    for step in range(1, steps):
        moment = step * 10.0
        worker = min(range(4), key=lambda n: (free[n] > moment, chance.random()))
        if free[worker] > moment:
            continue
        agent = f"a{worker}"
        shown = (
            token if state.holder == agent and chance.random() < 0.8 else chance.randint(0, token)
        )
        found = (
            claim(0, 0, agent, token + 1)
            if state.phase == "waiting"
            else write(chance.choice(["progress", "release"]), 0, 0, shown)
        )
        if found.name != "claim" and not (state.phase == "held" and shown == state.token):
            found.answer = {"outcome": "stale"}
        after = TaskModel().step(state, found)
        assert after is not None
        token, state = max(token, after.token), after
        found.invoked = int(max(free[worker], moment - chance.uniform(0, 40)) * MS)
        free[worker] = moment + chance.uniform(0, 40)
        found.answered = int(free[worker] * MS)
        if found.name != "claim" and found.ok and chance.random() < 0.1:
            found.answered, found.answer = None, {}
        found.worker = agent
        made.append(found)
    return made


@settings(max_examples=30)
@given(st.integers(0, 10**9))
def test_long_histories_that_are_right_pass(seed: int) -> None:
    """Two hundred operations of four workers, one after the other in truth, overlapping for those
    who watch.
    """
    assert find_contradiction(simulate(random.Random(seed), 200), TaskModel()) is None


@settings(max_examples=30)
@given(st.integers(0, 10**9))
def test_a_token_given_before_is_found_in_a_long_history(seed: int) -> None:
    """One claim among them that is answered with the number of an earlier one."""
    chance = random.Random(seed)
    history = simulate(chance, 120)
    claims = [found for found in history if found.name == "claim"]
    if len(claims) > 2:
        chance.choice(claims[2:]).answer["token"] = claims[0].answer["token"]
        assert find_contradiction(history, TaskModel()) is not None
