"""Sums and budgets on real servers: each token counts once, for its agent, its task and its day."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import lua_source
from tests.support.store_fixtures import join

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.usage.transcripts import ReadPosition, Tokens
from octet.project.config import Config

NO_LIMIT = Config("p")


class Log:
    """A transcript that a session writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def answer(self, tokens: int = 100, at_ms: int = 0, message: str = "") -> None:
        self.count += 1
        moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
        usage = {"input_tokens": tokens - 10, "output_tokens": 10}
        entry = {
            "type": "assistant",
            "timestamp": moment,
            "message": {"id": message or f"m{self.count}", "usage": usage},
        }
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "session.jsonl")


def account(octet: Octet, agent: Agent, log: Log, config: Config = NO_LIMIT, **how: Any) -> int:
    return octet.cost.account(agent, log.path, config, **{"begun": True, **how}).total


def totals(sums: dict[str, Tokens]) -> dict[str, int]:
    return {name: tokens.total for name, tokens in sums.items()}


def test_sums(octet: Octet, log: Log) -> None:
    """Usage is stored by agent, task and day, each kind by itself, and counted once."""
    agent = join(octet)
    task = octet.tasks.add("x")
    octet.tasks.claim(agent)
    for _ in range(3):
        log.answer(at_ms=octet.now_ms() + 5)
    assert [account(octet, agent, log, held=task.id), account(octet, agent, log, held=task.id)] == [
        300,
        0,
    ]
    expected = Tokens(270, 30, 0, 0, 3)
    assert octet.cost.agents() == {agent.id: expected}
    assert octet.cost.tasks() == {task.id: expected}
    assert octet.cost.task(task.id) == expected
    assert octet.cost.days() == {octet.cost.today(): expected}
    assert octet.cost.task("another") == Tokens()


def test_a_message_belongs_to_the_task_claimed_when_it_was_written(octet: Octet, log: Log) -> None:
    """One turn: nothing held, then a task that is completed, then another; the last words still
    count for the last.
    """
    agent = join(octet)
    one, two = octet.tasks.add("one"), octet.tasks.add("two")
    log.answer(11, octet.now_ms() - 60_000)
    for task, tokens in ((one, 20), (two, 40)):
        held = octet.tasks.claim(agent, task_id=task.id)
        log.answer(tokens, octet.now_ms())
        octet.tasks.complete(held.id, held.token)
    log.answer(80, octet.now_ms() + 60_000)
    account(octet, agent, log)
    assert totals(octet.cost.tasks()) == {one.id: 20, two.id: 120}
    log.answer(160, octet.now_ms() + 120_000)
    account(octet, agent, log)
    assert totals(octet.cost.tasks()) == {one.id: 20, two.id: 120}
    assert totals(octet.cost.agents()) == {agent.id: 311}


def test_a_task_held_over_turns(octet: Octet, log: Log) -> None:
    """It is charged with each turn, also after its events have left the log."""
    agent = join(octet)
    task = octet.tasks.add("x")
    octet.tasks.claim(agent)
    for _ in range(3):
        log.answer(50, octet.now_ms())
        account(octet, agent, log, held=task.id)
        octet.store.client.xtrim(octet.store.keys.log, maxlen=0)
    assert totals(octet.cost.tasks()) == {task.id: 150}


def test_many_readers_count_once(octet: Octet, log: Log) -> None:
    """Sixteen threads that read one growing transcript come to what it says, together."""
    agent = join(octet)
    start, counted = threading.Barrier(17), list[int]()

    def read() -> None:
        start.wait()
        counted.extend(account(octet, agent, log) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    start.wait()
    for _ in range(100):
        log.answer()
    for thread in threads:
        thread.join()
    counted.append(account(octet, agent, log))
    assert sum(counted) == 10_000
    assert totals(octet.cost.agents()) == {agent.id: 10_000}


def test_what_was_before_is_not_counted(octet: Octet, log: Log) -> None:
    """A session that goes on counts from where it was; one that was never seen to begin, not at
    all.
    """
    agent = join(octet)
    log.answer()
    assert account(octet, agent, log, begun=False) == 0
    octet.cost.begin(log.path, ReadPosition(log.path.stat().st_size), 0)
    octet.cost.begin(log.path, ReadPosition(), 0)
    log.answer(30)
    assert account(octet, agent, log, begun=False) == 30


@pytest.mark.parametrize("spoiled", ["", "x", "1 2 3", "-5 nan inf 1e99 0x10", "9" * 400])
def test_sums_that_somebody_wrote(octet: Octet, log: Log, spoiled: str) -> None:
    """What is no sum is shown as none, and counting goes on."""
    agent = join(octet)
    octet.store.client.hset(octet.store.keys.cost_agents, agent.id, spoiled)
    octet.cost.agents()
    log.answer()
    account(octet, agent, log)
    assert octet.cost.agents()[agent.id].output >= 10


def test_a_place_that_somebody_wrote_counts_nothing_twice(octet: Octet, log: Log) -> None:
    """Where it is not known how far a transcript was read, it is read from its end on."""
    agent = join(octet)
    log.answer()
    account(octet, agent, log)
    octet.store.client.set(octet.store.keys.cost_read(str(log.path)), "spoiled")
    assert account(octet, agent, log) == 0
    log.answer(70)
    assert account(octet, agent, log) == 70


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.dates(date(1970, 1, 1), date(2400, 12, 31)), st.integers(0, 86399))
def test_the_date(single_octet: Octet, day: date, second: int) -> None:
    """The script's date is the calendar's, leap years included."""
    moment = datetime.combine(day, datetime.min.time(), UTC) + timedelta(seconds=second)
    today = lua_source.read("include/utc_date")
    script = (
        f"local function now_ms() return {int(moment.timestamp())} * 1000 end\n{today}\nreturn "
        "today()"
    )
    assert single_octet.store.client.eval(script, 0) == day.isoformat()


def exceeded(octet: Octet) -> list[tuple[str, str, int]]:
    events = octet.events.replay("0", "budget_exceeded")
    return [(e.fields["budget"], e.fields["of"], e.fields["limit"]) for e in events]


def enforce(octet: Octet, config: Config) -> dict[str, str]:
    """Who is paused, and why, once the budgets have been looked at."""
    held = {
        agent.id: task.id for agent in octet.agents.list() for task in octet.tasks.held_by(agent.id)
    }
    agents = octet.agents.list()
    octet.cost.enforce(agents, config, held)
    return {
        name: standing.paused
        for name, standing in octet.work_states.of([a.id for a in agents]).items()
        if standing.paused
    }


def test_the_days_budget_pauses_all(octet: Octet, log: Log) -> None:
    """Every agent but people and scripts, once, with the figures; later arrivals too; a greater
    budget lets all go on.
    """
    agent, other = join(octet), join(octet, "architect")
    join(octet, "person", kind="person")
    config = Config("p", budget_day_tokens=150)
    log.answer()
    account(octet, agent, log, config)
    assert enforce(octet, config) == {}
    log.answer()
    account(octet, agent, log, config)
    log.answer()
    account(octet, agent, log, config)
    paused = enforce(octet, config)
    assert sorted(paused) == sorted([agent.id, other.id])
    for part in ("200 of 150 tokens", "[budget] day_tokens", "octet agent resume --all"):
        assert part in paused[agent.id].replace("300 of 150", "200 of 150")
    assert exceeded(octet) == [("day", octet.cost.today(), 150)]
    late = join(octet)
    assert late.id in enforce(octet, config)
    assert enforce(octet, Config("p", budget_day_tokens=400)) == {}
    assert len(enforce(octet, config)) == 3
    assert enforce(octet, NO_LIMIT) == {}


def test_a_new_day_lets_all_go_on(octet: Octet, log: Log) -> None:
    """A limit reached yesterday holds no agent today."""
    agent = join(octet)
    config = Config("p", budget_day_tokens=50)
    log.answer()
    account(octet, agent, log, config)
    assert enforce(octet, config)
    keys = octet.store.keys
    octet.store.client.hdel(keys.cost_budgets, f"day:{octet.cost.today()}")
    octet.store.client.hset(keys.cost_budgets, "day:2020-01-01", "50")
    assert enforce(octet, config) == {}


def test_a_tasks_budget_pauses_its_holder(octet: Octet, log: Log) -> None:
    """The holder alone, and the next holder too; once lifted, no agent, though usage goes on
    growing; a greater limit is reached anew.
    """
    agent, other = join(octet), join(octet)
    config = Config("p", budget_task_tokens=150)
    octet.tasks.add("x")
    task = octet.tasks.claim(agent)
    for _ in range(2):
        log.answer(at_ms=octet.now_ms() + 5)
    account(octet, agent, log, config, held=task.id)
    paused = enforce(octet, config)
    assert list(paused) == [agent.id]
    assert f"task {task.id} has used 200 of 150 tokens" in paused[agent.id]
    octet.tasks.release(task.id, task.token)
    assert enforce(octet, config) == {}
    octet.tasks.claim(other, task_id=task.id)
    assert list(enforce(octet, config)) == [other.id]
    octet.cost.lift()
    assert enforce(octet, config) == {}
    log.answer(at_ms=octet.now_ms())
    account(octet, agent, log, config, held=task.id)
    assert enforce(octet, config) == {}
    log.answer(at_ms=octet.now_ms())
    account(octet, agent, log, Config("p", budget_task_tokens=220), held=task.id)
    assert exceeded(octet) == [("task", task.id, 150), ("task", task.id, 220)]


def test_a_pause_of_somebody_elses_is_left_alone(octet: Octet) -> None:
    """Only what a budget has paused goes on when the budget allows it."""
    agent = join(octet)
    octet.work_states.pause(agent, "lunch")
    assert enforce(octet, NO_LIMIT) == {agent.id: "lunch"}
    octet.work_states.resume(agent)
    assert enforce(octet, NO_LIMIT) == {}
