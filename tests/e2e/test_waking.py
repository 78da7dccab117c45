"""Idle sessions of the real client are woken: in the terminal and fed by stream-json, with whatever
was killed meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from tests.support.claude import ClaudeHeadless, ClaudeInteractive
from tests.support.sandbox import BOTH, DROP_IN, PLUGIN, Sandbox
from tests.support.scripted_model import Block, Gate, Model, Text, Turn, marker
from tests.support.waiting import poll

from .test_loop import ADD, BUILD, WithTask, handed

Client = ClaudeHeadless | ClaudeInteractive
NOTICE = "While this session was idle: Octet:"


def waiters(sandbox: Sandbox) -> dict[int, str]:
    return {
        pid: command for pid, command in sandbox.processes().items() if "import wake" in command
    }


def begin(
    sandbox: Sandbox, model: Model, session: str = "A", *, role: str = ""
) -> ClaudeInteractive:
    """A session in a terminal, idle after its first turn."""
    client = sandbox.open_terminal(*(["--agent", sandbox.name(role)] if role else []))
    client.type_line(marker(session) + " hello")
    model.wait_for_requests(session, 1)
    sandbox.agent_of(client)
    await_idle(sandbox, client)
    return client


def await_idle(sandbox: Sandbox, client: Client) -> None:
    """Until the client has written down that its turn is over, and one waiter is there."""
    poll(
        lambda: is_idle(sandbox, client) and len(waiters(sandbox)) == 1,
        "an idle session with one waiter",
    )


def is_idle(sandbox: Sandbox, client: Client) -> bool:
    status = sandbox.home / ".claude" / "sessions" / f"{client.pid}.json"
    return status.exists() and json.loads(status.read_text() or "{}").get("status") == "idle"


def send(sandbox: Sandbox, client: Client, text: str) -> None:
    sandbox.octet("msg", "send", sandbox.agent_of(client)["id"], text)


@pytest.mark.parametrize("sandbox", [PLUGIN, DROP_IN, BOTH], indirect=True)
def test_an_idle_session_gets_a_message_into_its_next_request(team: Sandbox, model: Model) -> None:
    """Once, without a key being pressed, framed as a notification; then it is idle, with one
    waiter, and asks nothing of the model.
    """
    client = begin(team, model)
    for number, text in enumerate(["parse_date is renamed", "parse_time too"], start=2):
        send(team, client, text)
        request = model.wait_for_requests("A", number)
        assert request.says(text)
        assert sum(NOTICE in told for told in request.texts()) == number - 1
        await_idle(team, client)
    time.sleep(3)  # nothing announces that nothing happens
    assert len(model.requests_of("A")) == 3
    client.leave()
    poll(lambda: not waiters(team), "the end of the waiter")


def test_a_session_fed_by_another_program_is_woken_and_ends_with_its_input(
    team: Sandbox, model: Model
) -> None:
    """`claude -p --input-format stream-json`: the waiter holds nothing up when the input ends."""
    client = team.start(None)
    client.send(marker("A") + " hello")
    client.wait_for_results(1)
    poll(lambda: len(waiters(team)) == 1, "one waiter")
    send(team, client, "parse_date is renamed")
    assert model.wait_for_requests("A", 2).says("parse_date is renamed")
    client.wait_for_results(2)
    client.finish(10)
    poll(lambda: not waiters(team), "the end of the waiter")


def kill_services(sandbox: Sandbox) -> None:
    sandbox.kill_services()


def restart_store(sandbox: Sandbox) -> None:
    sandbox.octet("redis", "stop", "--force")


def stop_daemon(sandbox: Sandbox) -> None:
    sandbox.octet("daemon", "stop")


@pytest.mark.parametrize("harm", [kill_services, restart_store, stop_daemon])
def test_it_is_woken_whatever_was_killed(
    team: Sandbox, model: Model, harm: Callable[[Sandbox], None]
) -> None:
    """Daemon and server by SIGKILL, the server in good order, the daemon alone: the next message
    wakes the session all the same.
    """
    agent = team.agent_of(begin(team, model))["id"]
    harm(team)
    team.octet("msg", "send", agent, "parse_date is renamed")
    assert model.wait_for_requests("A", 2).says("parse_date is renamed")


def test_a_killed_client_leaves_no_waiter(team: Sandbox, model: Model) -> None:
    """SIGKILL sends no notice; the waiter sees the process end."""
    client = begin(team, model)
    client.kill()
    poll(lambda: not waiters(team), "the end of the waiter")


def test_a_session_is_woken_after_esc_and_after_clear(team: Sandbox, model: Model) -> None:
    """Esc fires no Stop, `/clear` makes a new session of the process: both are idle afterwards."""
    client = begin(team, model)
    gate = Gate()
    model.script("A", Turn(Text("late"), gate=gate))
    client.type_line("go on")
    model.wait_for_requests("A", 2)
    send(team, client, "parse_date is renamed")
    client.press(b"\x1b")
    poll(
        lambda: any(request.says("parse_date is renamed") for request in model.requests_of("A")),
        "the message in a request",
    )
    gate.open()
    await_idle(team, client)
    client.press(b"\x15" * 3)  # the prompt that Esc gave back
    client.type_line("/clear")
    poll(
        lambda: len(team.store.keys(team.key("agents:session:*"))) == 2,
        "another session of the same process",
    )
    send(team, client, f"{marker('B')} parse_time is renamed")
    assert model.wait_for_requests("B", 1).says("parse_time is renamed")


def test_one_of_two_idle_developers_is_woken_for_a_task(team: Sandbox, model: Model) -> None:
    """The task is there for one, which has it as its turn begins: the other asks nothing of the
    model while the first is at it.
    """
    gate = Gate()
    clients = {
        session: begin_as_developer(team, model, session, Turn(Text("It is a parser."), gate=gate))
        for session in ("A", "B")
    }
    task = team.add_task("build it")
    gate.await_arrival()
    time.sleep(6)  # longer than what is offered to one is kept for it
    handed_to = [session for session in clients if len(model.requests_of(session)) > 1]
    assert [team.agent_of(clients[session])["id"] for session in handed_to] == [
        team.task(task)["holder"]
    ]
    assert [handed(model, session) for session in handed_to] == [[task]]
    gate.open()


def test_an_idle_developer_works_what_comes_and_idles_again(team: Sandbox, model: Model) -> None:
    """Two tasks, one after the other, from a shell: handed, built and submitted without a key being
    pressed, four requests each.
    """
    work: list[Turn | Block] = [
        WithTask(model, "A", ADD),
        WithTask(model, "A", BUILD),
        Text("Submitted."),
    ]
    client = begin_as_developer(team, model, "A", *work, *work)
    for number, title in enumerate(("Parse", "Render"), start=1):
        task = team.add_task(title)
        wait_until_submitted(team, task)
        model.wait_for_requests("A", 1 + 3 * number)
        await_idle(team, client)
        assert handed(model, "A")[-1] == task
    assert len(model.requests_of("A")) == 7
    assert len(handed(model, "A")) == 2


def test_esc_stops_a_developer_that_was_woken(team: Sandbox, model: Model) -> None:
    """It keeps its claim and is not woken for it again; at its person's word it is told what it
    holds, and goes on.
    """
    gate = Gate()
    work: list[Turn | Block] = [
        WithTask(model, "A", ADD),
        WithTask(model, "A", BUILD),
        Text("Submitted."),
    ]
    client = begin_as_developer(team, model, "A", Turn(Text("late"), gate=gate), *work)
    task = team.add_task("Parse")
    gate.await_arrival()
    client.press(b"\x1b")
    await_idle(team, client)
    gate.open()
    time.sleep(3)  # longer than it takes to see that Esc has ended the turn
    assert len(model.requests_of("A")) == 2
    assert team.task(task)["holder"] == team.agent_of(client)["id"]
    client.press(b"\x15" * 3)  # whatever prompt Esc gave back
    client.type_line("Go on.")
    assert model.wait_for_requests("A", 3).says(f"you hold task {task}")
    poll(lambda: team.task(task)["state"] == "submitted", "the submission")
    model.wait_for_requests("A", 5)
    await_idle(team, client)


def wait_until_submitted(team: Sandbox, task: str) -> None:
    poll(lambda: team.task(task)["state"] == "submitted", "the submission")


def begin_as_developer(
    sandbox: Sandbox, model: Model, session: str, *turns: Turn | Block
) -> ClaudeInteractive:
    model.script(session, Text("Hello."), *turns)
    client = sandbox.open_terminal("--agent", sandbox.name("developer"))
    client.type_line(marker(session) + " hello")
    model.wait_for_requests(session, 1)
    sandbox.agent_of(client)
    poll(lambda: is_idle(sandbox, client), "an idle session")
    return client
