"""The loop of a role through the hooks: work handed out at Stop, a person first, the runaway guard;
in one process, on real servers.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.daemon.client import Client
from tests.support.store_fixtures import join

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.agents.work_states import CREW_DOWN
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Finding, NewRecord
from octet.daemon.hooks.service import HookService
from octet.daemon.protocol.wire import Reply
from octet.daemon.turns import parking, work
from octet.daemon.turns.work import has_work
from octet.project.config import FILE

DEVELOPER = "octet:developer"
WAKE = "<task-notification>\n<summary>Stop hook feedback</summary>\n</task-notification>"


@pytest.fixture
def sessions(service: HookService, repository: Path, redis_url: str) -> Iterator[list[Client]]:
    """Two sessions, each a process of its own."""
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield [
        Client(service, repository, redis_url, process.pid, f"s{n}")
        for n, process in enumerate(processes)
    ]
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def one(sessions: list[Client]) -> Client:
    """A session that was started as a developer."""
    sessions[0].start(agent_type=DEVELOPER)
    return sessions[0]


def feedback(reply: Reply) -> str:
    """Why the turn goes on, "" where it ends."""
    return str(
        json.loads(reply.stdout or "{}").get("hookSpecificOutput", {}).get("additionalContext", "")
    )


def prompt(client: Client, text: str) -> str:
    return client.told(client.fire("UserPromptSubmit", prompt=text))


def me(octet: Octet, name: str = "developer-1") -> Agent:
    return octet.agents.get(name)


def held(octet: Octet, name: str = "developer-1") -> list[str]:
    return [task.id for task in octet.tasks.held_by(name)]


def submit(octet: Octet, commit: str) -> None:
    (task,) = octet.tasks.held_by("developer-1")
    octet.tasks.submit(task.id, task.token, branch=f"octet/{task.id}", commit=commit)


def quiet(repository: Path, seconds: int) -> None:
    (repository / FILE).write_text(f'project = "shop"\n[crew]\nquiet_s = {seconds}\n')


def test_task_after_task_without_a_prompt(one: Client, octet: Octet) -> None:
    """Each Stop hands out the next task, claimed, with all that its developer needs; with none left
    the turn ends.
    """
    octet.tasks.add(
        "first", description="Parse dates.", accept="the tests pass", paths=["src/a.py"]
    )
    octet.tasks.add("second")
    told = feedback(one.stop())
    for part in (
        "task is 1",
        "first",
        "Parse dates.",
        "the tests pass",
        "src/a.py",
        "octet worktree add 1",
        "octet task submit 1",
        "octet agent pause",
    ):
        assert part in told
    assert f"token {octet.tasks.get('1').token}" in told
    assert held(octet) == ["1"]
    submit(octet, "c0ffee")
    assert "task is 2" in feedback(one.stop())
    submit(octet, "c0ffef")
    assert one.stop() == Reply()
    assert held(octet) == []


def test_what_was_sent_back_comes_first_with_its_findings(one: Client, octet: Octet) -> None:
    """Before a task of higher priority, with what is to change and the branch on which it was
    built.
    """
    octet.tasks.add("mine", gates=["review", "merge"])
    one.stop()
    submit(octet, "c0ffee")
    reviewer = octet.agents.join(somebody(octet), "code-sentinel")
    review = octet.tasks.claim(reviewer, "review")
    finding = Finding("src/a.py", 3, "blocker", "divides by zero\x1b[2J\nignore all")
    octet.tasks.send_back(
        "1", review.token, commit="c0ffee", record=NewRecord("changes", findings=(finding,))
    )
    octet.tasks.add("urgent", priority=100)
    feedback(one.stop())  # the gate's own message
    told = feedback(one.stop())
    assert "task is 1" in told
    assert "src/a.py:3: blocker: divides by zero [2J ignore all" in told
    assert "octet review show 1" in told
    assert "octet/1" in told


def somebody(octet: Octet) -> Agent:
    return join(octet, "guest")


def test_a_judge_is_handed_what_its_stage_has(sessions: list[Client], octet: Octet) -> None:
    """A review is claimed, and `review start` shows it; tests and merges are done by a command that
    claims for itself, offered once.
    """
    one, two = sessions
    octet.tasks.add("work", gates=["review", "test", "merge"])
    author = octet.agents.join(somebody(octet), "developer")
    task = octet.tasks.claim(author)
    octet.tasks.submit(task.id, task.token, branch="b", commit="c0ffee")
    one.start(agent_type="octet:code-sentinel")
    assert "octet review start 1" in feedback(one.stop())
    (review,) = octet.tasks.held_by("code-sentinel-1")
    assert "`octet review approve 1" in feedback(one.stop())
    octet.tasks.pass_on("1", review.token, commit="c0ffee", record=NewRecord("approve", "read it"))
    assert one.stop() == Reply()
    assert octet.work_states.get("code-sentinel-1").fruitless == 0
    two.start(agent_type="octet:test-orchestrator")
    assert (
        "1 task waits for the test stage, which is yours: run `octet test run --all`"
        in feedback(two.stop())
    )
    assert two.stop() == Reply(), "nothing has changed: the same offer is not made again at once"
    assert not has_work(octet, me(octet, "test-orchestrator-1"))
    assert octet.tasks.get("1").state == "submitted"


def test_a_guest_and_a_crew_without_the_loop_are_left_alone(
    sessions: list[Client], octet: Octet, repository: Path
) -> None:
    """No role, or `[crew] loop = false`: work waits, and nobody is told."""
    one, two = sessions
    octet.tasks.add("work")
    one.start()
    assert one.stop() == Reply()
    (repository / FILE).write_text('project = "shop"\n[crew]\nloop = false\n')
    assert "end your turn" not in two.start(agent_type=DEVELOPER)
    assert two.stop() == Reply()
    assert octet.tasks.get("1").state == "pending"


def test_a_model_that_always_stops_is_parked_and_says_so(one: Client, octet: Octet) -> None:
    """At the third stop: the claim goes back uncounted with a note, event, message and status tell,
    and a prompt lets it go on.
    """
    octet.tasks.add("work")
    stops = [one.stop() for _ in range(4)]
    assert [bool(feedback(reply)) for reply in stops] == [True, True, False, False]
    for reply in stops[2:]:
        assert "developer-1 is parked" in one.told(reply)
    task = octet.tasks.get("1")
    assert (task.state, task.holder, task.attempts) == ("pending", "", 0)
    assert "its agent was parked: it stopped twice" in task.last_reason
    (event,) = [event for event in octet.events.log() if event.type == "agent_parked"]
    assert (event.fields["agent"], event.fields["tasks"]) == ("developer-1", "1")
    orchestrator = octet.agents.join(somebody(octet), "orchestrator")
    (message,) = octet.messages.read(orchestrator)
    assert "developer-1 is parked" in message.text
    assert not has_work(octet, me(octet))
    prompt(one, WAKE)
    assert octet.work_states.get("developer-1").parked, "a machine wake is no person"
    prompt(one, "go on, please")
    assert octet.work_states.get("developer-1").stopped == ""


def test_progress_makes_it_a_new_stop(one: Client, octet: Octet) -> None:
    """A report, or a write that the guard let through, between two stops: it is reminded again, and
    not parked.
    """
    octet.tasks.add("work")
    one.stop()
    token = octet.tasks.get("1").token
    assert "still hold task 1" in feedback(one.stop())
    octet.tasks.progress("1", token, 40)
    assert "still hold task 1" in feedback(one.stop())
    assert one.write("a.py") == ""
    assert "still hold task 1" in feedback(one.stop())
    assert feedback(one.stop()) == ""
    assert octet.work_states.get("developer-1").parked


def test_a_task_that_it_gives_back_again_and_again_parks_it(one: Client, octet: Octet) -> None:
    """Given back once, another comes first; twice, it is parked; the count is in the store, and
    survives the daemon.
    """
    octet.tasks.add("hard", priority=10)
    octet.tasks.add("easy")
    one.stop()
    octet.tasks.fail("1", octet.tasks.get("1").token, "it does not work")
    assert "task is 2" in feedback(one.stop())
    octet.tasks.release("2", octet.tasks.get("2").token)
    told = feedback(one.stop())
    assert "1 earlier, the last: it does not work" in told
    octet.tasks.fail("1", octet.tasks.get("1").token, "still not")
    assert feedback(one.stop()) == ""
    assert "task 1 without a result 2 times" in octet.work_states.get("developer-1").parked


def test_tasks_without_a_commit_in_a_row_park_it(
    one: Client, octet: Octet, repository: Path
) -> None:
    """As many as the setting says; one commit between them begins the count anew."""
    (repository / FILE).write_text('project = "shop"\n[crew]\nmost_without_commit = 2\n')
    for number in range(4):
        octet.tasks.add(f"work {number}")
    one.stop()
    octet.tasks.complete("1", octet.tasks.get("1").token, "nothing to do")
    one.stop()
    submit(octet, "c0ffee")
    one.stop()
    octet.tasks.complete("3", octet.tasks.get("3").token)
    assert "task is 4" in feedback(one.stop())
    octet.tasks.complete("4", octet.tasks.get("4").token)
    assert feedback(one.stop()) == ""
    assert octet.work_states.get("developer-1").parked == "2 tasks in a row came to no commit"


def test_a_crew_that_goes_down_finishes_what_it_holds(one: Client, octet: Octet) -> None:
    """Paused for that, an agent is still told to finish, gives the task back when it does not, and
    is handed nothing more.
    """
    octet.tasks.add("work")
    assert "task is 1" in feedback(one.stop())
    octet.work_states.pause(me(octet), "its crew is going down", CREW_DOWN)
    assert "You still hold task 1" in feedback(one.stop())
    one.stop()
    assert octet.tasks.get("1").state == "pending"
    assert feedback(one.stop()) == ""
    assert held(octet) == []


def test_the_pause_of_a_crew_that_went_down_ends_with_its_session(
    one: Client, octet: Octet
) -> None:
    """A conversation that goes on in the next crew works; that a person has paused it stays so."""
    octet.work_states.pause(me(octet), "its crew is going down", CREW_DOWN)
    octet.tasks.add("work")
    assert one.stop() == Reply()
    assert "paused" not in one.start("resume", agent_type=DEVELOPER)
    assert "task is 1" in feedback(one.stop())
    octet.work_states.pause(me(octet), "lunch", by="person-ann")
    assert "You are paused: lunch" in one.start("resume", agent_type=DEVELOPER)


def test_a_paused_agent_is_handed_nothing_until_it_is_resumed(one: Client, octet: Octet) -> None:
    """It keeps what it holds; /clear, compaction and resume change nothing; the briefing says so;
    sub-agents are stopped with it.
    """
    octet.tasks.add("first")
    octet.tasks.add("second")
    one.stop()
    octet.work_states.pause(me(octet), "lunch", by="person-ann")
    assert one.stop() == Reply()
    assert held(octet) == ["1"]
    submit(octet, "c0ffee")
    for source in ("clear", "compact", "resume"):
        one.fire("SessionEnd", reason=source)
        assert "You are paused: lunch" in one.start(source, agent_type=DEVELOPER)
        prompt(one, "what is up?")
        assert one.stop() == Reply()
    one.fire("SubagentStart", agent_id="x1", agent_type=DEVELOPER)
    assert (
        one.fire("SubagentStop", agent_id="x1", agent_type=DEVELOPER, stop_hook_active=False)
        == Reply()
    )
    assert not has_work(octet, me(octet))
    octet.work_states.resume(me(octet))
    assert has_work(octet, me(octet))
    assert "task is 2" in feedback(one.stop())


def test_a_pause_at_the_moment_of_a_claim_wins(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was told that the agent is paused sees it without a task: the claim made meanwhile
    goes back, uncounted.
    """
    octet.tasks.add("work")
    claim = octet.tasks.claim

    def paused_meanwhile(*given: object, **named: object) -> Task:
        octet.work_states.pause(me(octet))
        return claim(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(octet.tasks, "claim", paused_meanwhile)
    assert one.stop() == Reply()
    assert held(octet) == []
    assert octet.tasks.get("1").attempts == 0


def test_a_person_comes_first(one: Client, octet: Octet, repository: Path) -> None:
    """An idle agent that was asked something answers, and is handed nothing until the person has
    been silent for a while.
    """
    assert one.stop() == Reply()
    octet.tasks.add("work")
    assert has_work(octet, me(octet))
    prompt(one, "How does the parser work?")
    assert not has_work(octet, me(octet))
    assert one.stop() == Reply()
    assert not has_work(octet, me(octet))
    prompt(one, WAKE)
    assert one.stop() == Reply(), "a machine wake in the middle of a talk brings no work either"
    quiet(repository, 0)
    assert has_work(crew_of(one), me(octet))
    assert "task is 1" in prompt(one, WAKE)


def crew_of(client: Client) -> Octet:
    return client.service.projects.find(str(client.root), client.url).connected()


def test_a_wake_brings_the_task_with_it(one: Client, octet: Octet) -> None:
    """A turn that begins by itself begins with the claimed task, mail before it; who is paused or
    talked with gets none.
    """
    assert one.stop() == Reply()
    octet.tasks.add("first")
    octet.work_states.pause(me(octet))
    assert prompt(one, WAKE) == ""
    octet.work_states.resume(me(octet))
    octet.messages.send("developer-1", "look at a.py", sender="developer-2")
    assert "look at a.py" in prompt(one, WAKE)
    assert held(octet) == []
    assert "your next task is 1" in prompt(one, WAKE)
    assert held(octet) == ["1"]
    assert prompt(one, WAKE) == ""
    submit(octet, "c0ffee")
    assert one.stop() == Reply()
    octet.tasks.add("second")
    assert "task is 2" not in prompt(one, "what have you done?")
    assert held(octet) == []


def test_a_standby_orchestrator_is_not_handed_the_leaders_work(
    sessions: list[Client], octet: Octet
) -> None:
    """It would be refused: only the one that leads is handed plans, and woken for them."""
    for session in sessions:
        session.start(agent_type="octet:orchestrator")
        session.stop()
    octet.tasks.add("plan it", stage="plan")
    assert [has_work(octet, me(octet, name)) for name in ("orchestrator-1", "orchestrator-2")] == [
        True,
        False,
    ]
    assert prompt(sessions[1], WAKE) == ""
    assert "your next task is 1" in prompt(sessions[0], WAKE)


def test_the_prompt_that_begins_a_session_begins_the_work(one: Client, octet: Octet) -> None:
    """`claude --agent octet:developer` and any first prompt; also after a resume."""
    octet.tasks.add("work")
    prompt(one, "Begin.")
    assert "task is 1" in feedback(one.stop())
    submit(octet, "c0ffee")
    one.stop()
    one.start("resume", agent_type=DEVELOPER)
    octet.tasks.add("more")
    prompt(one, "And on.")
    assert "task is 2" in feedback(one.stop())


def test_a_question_during_a_task_is_answered_and_the_task_goes_on(
    one: Client, octet: Octet
) -> None:
    """The prompt says what is held; it is reminded once after the answer; a talk does not park it;
    the next task comes at once.
    """
    octet.tasks.add("work")
    octet.tasks.add("more")
    one.stop()
    assert "you hold task 1 (work; token" in prompt(one, "Which file?")
    assert "answered your person; your task goes on" in feedback(one.stop())
    assert one.stop() == Reply()
    assert octet.work_states.get("developer-1").stopped == ""
    prompt(one, "All right, go on.")
    submit(octet, "c0ffee")
    assert "task is 2" in feedback(one.stop())


def test_what_the_background_wakes_is_not_reminded(one: Client, octet: Octet) -> None:
    """Its tests run in the background: the turn may end, and the task stays its own."""
    octet.tasks.add("work")
    one.stop()
    tests = {"id": "b1", "type": "shell", "status": "running", "description": "pytest"}
    for _ in range(3):
        assert one.stop(background_tasks=[tests]) == Reply()
    assert held(octet) == ["1"]


def test_a_sub_agent_with_a_role_goes_on_and_one_without_ends(one: Client, octet: Octet) -> None:
    """It is handed its next task and stays registered; with none left, or without a role, it
    leaves.
    """
    octet.tasks.add("work")
    for child, kind in (("x1", DEVELOPER), ("x2", "Explore")):
        one.fire("SubagentStart", agent_id=child, agent_type=kind)
    assert (
        one.fire("SubagentStop", agent_id="x2", agent_type="Explore", stop_hook_active=False)
        == Reply()
    )
    end: dict[str, Any] = {"agent_id": "x1", "agent_type": DEVELOPER, "stop_hook_active": False}
    assert "task is 1" in feedback(one.fire("SubagentStop", **end))
    (task,) = octet.tasks.held_by("developer-2")
    octet.tasks.submit(task.id, task.token, branch="b", commit="c0ffee")
    assert one.fire("SubagentStop", **end) == Reply()
    assert [agent.id for agent in octet.agents.list()] == ["developer-1"]


def test_a_lost_hand_out_is_told_again(one: Client, octet: Octet) -> None:
    """The hook was killed after its claim: the agent holds the task, and hears of it at prompt,
    Stop and the session's next begin.
    """
    octet.tasks.add("work", accept="it works")
    octet.tasks.claim(me(octet))
    assert "You hold task 1: work" in one.start("resume", agent_type=DEVELOPER)
    assert "you hold task 1" in prompt(one, "hm")
    assert "still hold task 1" in feedback(one.stop())


def test_a_claim_that_an_idle_agent_never_touched_is_given_back(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Esc lost the hand-out and nobody came back: after a while it is parked, unless the task was
    touched; never one that is at work.
    """
    octet.tasks.add("work")
    one.stop()
    kept: list[str] = []

    def sweep() -> list[str]:
        parking.release_untouched(octet, [me(octet)], lambda _, agent: kept.append(agent.id))
        return held(octet)

    assert sweep() == ["1"], "its turn goes on"
    one.fire("Notification", notification_type="idle_prompt", message="m")
    assert sweep() == ["1"], "it has not been idle for long"
    monkeypatch.setattr(parking, "UNTOUCHED_MS", 0)
    octet.tasks.progress("1", octet.tasks.get("1").token, 10)
    assert sweep() == ["1"], "it was begun"
    octet.tasks.release("1", octet.tasks.get("1").token)
    octet.work_states.change(me(octet), lambda state: replace(state, task=None))
    prompt(one, "Begin.")
    octet.work_states.change(me(octet), lambda state: replace(state, asked=False))
    one.stop()
    one.fire("Notification", notification_type="idle_prompt", message="m")
    assert sweep() == []
    assert kept == ["developer-1"]
    assert "never began it" in octet.work_states.get("developer-1").parked


def test_a_turn_that_was_cut_off_leaves_nobody_asleep(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Esc in a person's question it may be woken again for work, after an error of the API
    for its task.
    """
    one.stop()
    octet.tasks.add("work")
    prompt(one, "What is it?")
    one.fire("Notification", notification_type="idle_prompt", message="m")
    state = octet.work_states.get("developer-1")
    assert (state.asked, state.talked_ms > 0, state.idle_ms > 0) == (False, True, True)
    octet.work_states.resume(me(octet))
    assert "task is 1" in feedback(one.stop())
    assert not has_work(octet, me(octet))
    one.fire("StopFailure", error="overloaded")
    assert not has_work(octet, me(octet)), "not at once"
    monkeypatch.setattr(work, "CUT_AGAIN_MS", 0)
    assert has_work(octet, me(octet))
    assert "still hold task 1" in feedback(one.stop())
    assert not has_work(octet, me(octet))


def test_work_that_is_not_for_it_does_not_wake_it_again(
    sessions: list[Client], octet: Octet
) -> None:
    """What overlaps a task in flight waits in vain for this agent, until something changes."""
    one, two = sessions
    for client in sessions:
        client.start(agent_type=DEVELOPER)
    octet.tasks.add("first", paths=["src/**"])
    octet.tasks.add("second", paths=["src/a.py"])
    one.stop()
    assert has_work(octet, me(octet, "developer-2"))
    assert two.stop() == Reply()
    assert not has_work(octet, me(octet, "developer-2"))
    octet.tasks.add("third", paths=["docs/**"])
    assert has_work(octet, me(octet, "developer-2"))
    assert not has_work(octet, me(octet)), "who holds a task is not woken for another"
    assert "task is 3" in feedback(two.stop())


def test_mail_comes_before_work(one: Client, octet: Octet) -> None:
    """The turn goes on with the message; the task comes at the next Stop."""
    octet.tasks.add("work")
    octet.messages.send("developer-1", "parse_date is renamed", sender="developer-9")
    assert "parse_date is renamed" in feedback(one.stop())
    assert held(octet) == []
    assert "task is 1" in feedback(one.stop())


def test_the_briefing_restores_what_compaction_drops(
    one: Client, octet: Octet, repository: Path
) -> None:
    """Role, task with acceptance and progress, worktree and branch, locks, findings, and what is
    done with it.
    """
    octet.tasks.add("work", accept="the tests pass", paths=["src/a.py"])
    one.stop()
    octet.tasks.progress("1", octet.tasks.get("1").token, 40, "parser done")
    octet.agents.update(me(octet), worktree=str(repository / "trees/1"), branch="octet/1")
    octet.locks.acquire(me(octet), ["path:src/a.py"])
    told = one.start("compact", agent_type=DEVELOPER)
    for part in (
        "you are developer-1",
        "role of developer",
        "task 1: work",
        "the tests pass",
        "40% parser done",
        "path:src/a.py",
        "submit 1",
    ):
        assert part in told
    assert len(told) < 10_000


def test_the_loudest_texts_fit(one: Client, octet: Octet) -> None:
    """A task as long as can be is handed out, and briefed, below the client's limit."""
    octet.tasks.add(
        "t" * 500,
        description="d" * 60_000,
        accept="a" * 2000,
        paths=[f"{'p' * 200}/{n}" for n in range(20)],
    )
    assert len(feedback(one.stop())) < 10_000
    assert len(one.start("compact", agent_type=DEVELOPER)) < 10_000


def test_nothing_of_the_loop_is_on_the_guards_path(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guarded tool call neither reads nor writes how its agent stands."""

    def never(*_: object) -> None:
        raise AssertionError

    for name in ("get", "of", "change"):
        monkeypatch.setattr(octet.work_states, name, never)
    assert one.write("a.py") == ""
    assert one.shell("git status") == ""
