"""From a sentence to merged main by `octet up` alone; `octet down` leaves nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.sandbox import Sandbox, git
from tests.support.waiting import poll

from octet.base.vocabulary import ROLES

from .crew_model import CrewModel
from .crew_players import COMMANDS, MANUAL, SETTLED, Frozen, Players
from .test_crew import Crew
from .test_whole_flow import (
    CODE,
    TESTS,
    assert_every_step_passes,
    assert_nothing_is_left,
    opt_in_with_tests,
    records_of,
)

FLOW_DEADLINE_S = 200.0
IDLE_S = 5.0
# What is promised; and how much longer it may take where other tests have the processors.
FREED_WITHIN_MS = 2000
PATIENCE = 5
SESSIONS = len(ROLES) + 1
ALL = ("1", "shape", *CODE, "manual")
GATES = {
    "review": "code-sentinel",
    "security": "security-auditor",
    "test": "test-orchestrator",
    "merge": "repository-guardian",
}
# In the order in which the first of them has something to do.
STAGES = ("orchestrator", "architect", "developer", *GATES.values(), "documentation-keeper")
MOST_CALLS = 8
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def crew(sandbox: Sandbox) -> Iterator[Crew]:
    opt_in_with_tests(sandbox)
    with CrewModel() as model:
        made = Crew(sandbox, model)
        try:
            yield made
        finally:
            made.octet("down", "--now")
    assert model.errors == []


def test_a_feature_is_built_by_a_crew(crew: Crew) -> None:
    """Eight roles, nine sessions, and no answer of a person: each is handed its work, or woken for
    it, and rests when there is none.
    """
    begun = git(crew.sandbox.repository, "rev-parse", "main").strip()
    players = start(crew, {})
    await_result(crew)
    assert players.refused == []
    assert sum(SETTLED in words for words in crew.model.told["orchestrator"]) == 1
    assert_idle_costs_nothing(crew)
    assert_only_members_worked(crew)
    assert_as_instructed(crew.model)
    end(crew, begun)


def test_a_feature_is_built_although_sessions_are_killed(crew: Crew) -> None:
    """Two of the roles in the middle of a task: it is free at once, another session comes in the
    place, and all is merged.
    """
    seed = int(os.environ.get("OCTET_TEST_SEED") or time.time_ns() % 1_000_000)
    dice = random.Random(seed)
    victims = sorted(dice.sample(ROLES, 2), key=STAGES.index)
    print(f"OCTET_TEST_SEED={seed}: kills {' and '.join(victims)}")
    frozen = {role: Frozen(dice.randrange(MOST_CALLS)) for role in victims if role not in COMMANDS}
    begun = git(crew.sandbox.repository, "rev-parse", "main").strip()
    start(crew, frozen)
    killed = {kill_at_work(crew, role, frozen.get(role)) for role in victims}
    await_result(crew)
    assert {name for name, one in crew.members().items() if one["restarts"]} == killed
    assert_idle_costs_nothing(crew)
    end(crew, begun, killed)


def start(crew: Crew, frozen: Mapping[str, Frozen]) -> Players:
    """`octet up --feature`, and who plays the roles."""
    scratch = Path(
        crew.dry_run()["settings"]["orchestrator"]["permissions"]["additionalDirectories"][0]
    )
    players = Players(crew.sandbox.repository, scratch, frozen)
    players.enter(crew.model)
    roles = [word for role in ROLES for word in ("--role", role)]
    told = crew.up(
        "--headless",
        *roles,
        "--developers",
        "2",
        "--feature",
        "The bill: prices, tax, and their sum",
    )
    assert len({one["agent"] for one in told["started"]} - {""}) == SESSIONS
    return players


def await_result(crew: Crew) -> None:
    """Until all tasks are done, and everybody rests."""
    poll(
        lambda: all(crew.sandbox.task(task).get("state") == "done" for task in ALL),
        "merged tasks",
        FLOW_DEADLINE_S,
    )
    poll(
        lambda: crew.model.resting >= {agent["id"] for agent in crew.sandbox.agents()},
        "the end of every turn",
    )


# --- the death of a session ---


def kill_at_work(crew: Crew, role: str, frozen: Frozen | None) -> str:
    """SIGKILL to a session of the role while it holds a task; the task is free in time. Returns the
    name of its place in the crew.
    """
    task = poll(
        lambda: held_by(crew, role, frozen), f"a task in the hands of a {role}", FLOW_DEADLINE_S
    )
    agent = task["holder"]
    [pid] = [found["pid"] for found in crew.sandbox.agents() if found["id"] == agent]
    [name] = [
        name for name, one in crew.members().items() if one["process"].split(":")[1:2] == [str(pid)]
    ]
    seconds, micros = crew.sandbox.store.time()
    os.kill(pid, signal.SIGKILL)
    poll(
        lambda: (
            crew.sandbox.task(task["id"])["token"] != task["token"]
            or not crew.sandbox.task(task["id"])["holder"]
        ),
        "its task's end",
    )
    at_ms = seconds * 1000 + micros // 1000
    freed = [
        event
        for event in events(crew)
        if event["type"] == "task_released" and event["agent"] == agent and event["at_ms"] >= at_ms
    ]
    # What a command does of its own accord may have been done in that moment.
    assert [event["task"] for event in freed] == [task["id"]] or frozen is None
    for event in freed:
        print(f"{name} died with task {event['task']}: free after {event['at_ms'] - at_ms} ms")
        assert event["at_ms"] - at_ms < FREED_WITHIN_MS * PATIENCE
    if frozen:
        frozen.thaw()
    return name


def held_by(crew: Crew, role: str, frozen: Frozen | None) -> dict[str, str]:
    """A task that a session of the role holds; where one is frozen, its task. Empty for none."""
    names = [frozen.task] if frozen else ALL
    found = [{"id": name, **crew.sandbox.task(name)} for name in names if name]
    return next((task for task in found if task.get("holder", "").startswith(role)), {})


def events(crew: Crew) -> list[dict[str, Any]]:
    return [{"type": entry["type"], **json.loads(entry["data"])} for entry in crew.sandbox.log()]


# --- what is proven ---


def assert_idle_costs_nothing(crew: Crew) -> None:
    """Nothing is asked of the model while nothing happens."""
    asked = crew.model.count
    time.sleep(IDLE_S)  # nothing announces that nothing happens
    assert crew.model.count == asked


def assert_only_members_worked(crew: Crew) -> None:
    """Every actor on a task was a session of the crew, but for the feature itself."""
    members = {found["id"] for found in crew.sandbox.agents()}
    done = [
        event
        for event in events(crew)
        if event["type"].startswith("task_") and event["type"] != "task_added"
    ]
    assert {event["agent"] for event in done if event.get("agent")} <= members
    [feature] = [
        event for event in events(crew) if event["type"] == "task_added" and event["task"] == "1"
    ]
    added = {event["task"] for event in events(crew) if event["type"] == "task_added"}
    assert added == set(ALL), feature


def assert_as_instructed(model: CrewModel) -> None:
    """Every role did something, and each of Octet's commands for that stands in what its model was
    begun with.
    """
    for role in ROLES:
        ran = [str(call.input.get("command", "")) for call in model.said[role]]
        assert ran, role
        octets = {" ".join(command.split()[:3]) for command in ran if command.startswith("octet ")}
        assert [words for words in octets if words not in model.instructions[role]] == [], role


def assert_gates(sandbox: Sandbox) -> None:
    """Each task passed its gates in order, each by its own role, all about the merged commit."""
    for task in (*CODE, "manual"):
        fresh = [record for record in records_of(sandbox, task) if not record["stale"]]
        gates = [gate for gate in GATES if gate != "security" or task == "tax"]
        assert [record["gate"] for record in fresh] == gates
        assert [record["by"].rpartition("-")[0] for record in fresh] == [
            GATES[gate] for gate in gates
        ]
        assert {record["commit"] for record in fresh} == {sandbox.task(task)["commit"]}
        assert [
            record["evidence"]["command"] for record in fresh if record["gate"] in ("test", "merge")
        ] == [TESTS, TESTS]
    authors = {task: sandbox.task(task)["author"] for task in (*CODE, "manual")}
    assert {author.rpartition("-")[0] for task, author in authors.items() if task in CODE} == {
        "developer"
    }
    assert authors["manual"].startswith("documentation-keeper")


def end(crew: Crew, begun: str, killed: Collection[str] = ()) -> None:
    """`octet down`; then nothing is there but the merged work, and what killed sessions had left,
    which is named and stays on purpose.
    """
    farewell = json.loads(crew.octet("down", "--json").stdout)
    crew.assert_gone()
    assert len(farewell["ended"]) == SESSIONS
    assert farewell["given_back"] == {}
    assert not farewell["kept"] or killed
    for tree in farewell["kept"]:
        assert tree["changed"] or tree["unmerged"]
        crew.octet("worktree", "remove", tree["name"])
    for task in CODE:
        assert git(crew.sandbox.repository, "show", f"main:shop/{task}.py") == CODE[task]
    assert git(crew.sandbox.repository, "show", "main:README") == MANUAL
    assert_gates(crew.sandbox)
    assert_every_step_passes(crew.sandbox, begun)
    for ref in git(
        crew.sandbox.repository,
        "for-each-ref",
        "--format=%(refname)",
        "refs/octet",
        "refs/heads/octet",
    ).split():
        assert killed, f"{ref} is left, and no session was killed"
        git(crew.sandbox.repository, "update-ref", "-d", ref)
    assert_nothing_is_left(crew.sandbox)
