"""Tasks between sessions: claimed once, given back by the dead, closed to those who lost them; and
what the world hears of it.
"""

from __future__ import annotations

from tests.support.sandbox import Sandbox
from tests.support.scripted_model import Gate, Model, Text, Tool, Turn, marker
from tests.support.waiting import poll

CLAIM = Tool("Bash", {"command": "octet task claim", "description": "Claim a task"})
DEATH_BUDGET_S = 2.0
HALF_A_LEASE_MS = 15_000


def test_claim_task_in_two_sessions_gives_two_tasks(either_way: Sandbox, model: Model) -> None:
    """The slash command's own permissions suffice, and no two sessions get the same task."""
    tasks, thinking = (
        {either_way.add_task("Parse"), either_way.add_task("Render")},
        [Gate(), Gate()],
    )
    for session, gate in zip("AB", thinking, strict=True):
        model.script(session, CLAIM, Turn(Text("Claimed."), gate=gate))
    command = f"/{either_way.name('claim-task')} "
    clients = [either_way.start(command + marker(session), mode="default") for session in "AB"]
    for gate in thinking:
        gate.await_arrival()

    holders = {either_way.task(task)["holder"]: task for task in tasks}
    assert set(holders) == {either_way.agent_of(client)["id"] for client in clients}
    for session, client in zip("AB", clients, strict=True):
        assert holders[either_way.agent_of(client)["id"]] in "".join(model.tool_results(session))
    for gate in thinking:
        gate.open()
    for client in clients:
        client.finish()


def test_a_subagent_claims_for_itself(either_way: Sandbox, model: Model) -> None:
    """Its commands carry the session's process and id like its parent's do; the claim is its own
    all the same.
    """
    task, gate = either_way.add_task("Parse"), Gate()
    call = {
        "description": "Claim",
        "prompt": marker("A.1") + " claim",
        "subagent_type": "general-purpose",
    }
    model.script("A", Tool("Agent", call), Text("Waiting."), Text("Done."))
    model.script("A.1", CLAIM, Turn(Text("Claimed."), gate=gate))
    client = either_way.start(marker("A") + " have it claimed", mode="default")
    gate.await_arrival()
    holder = either_way.task(task)["holder"]
    [entry] = [agent for agent in either_way.agents() if agent["id"] == holder]
    assert entry["kind"] == "subagent"
    assert entry["parent"] == either_way.agent_of(client)["id"]
    gate.open()
    client.finish()
    assert either_way.task(task)["state"] == "pending", "given back at the sub-agent's end"


def test_a_killed_session_frees_task_and_file_within_two_seconds(
    either_way: Sandbox, model: Model
) -> None:
    """SIGKILL runs no hook: the death watch gives the task back and frees the lock."""
    task, gate = either_way.add_task("Parse"), Gate()
    write = Tool("Write", {"file_path": str(either_way.repository / "a.py"), "content": "a = 1\n"})
    model.script("A", CLAIM, write, Turn(Text("Never said."), gate=gate))
    client = either_way.start(marker("A") + " work")
    gate.await_arrival()
    agent = either_way.agent_of(client)["id"]
    assert either_way.task(task)["holder"] == agent
    assert either_way.holder("a.py") == agent

    client.kill()
    freed = poll(
        lambda: not either_way.holder("a.py") and either_way.task(task)["state"] == "pending",
        "its end",
        DEATH_BUDGET_S,
    )
    assert freed
    assert agent not in [entry["id"] for entry in either_way.agents()]
    gate.open()


def test_stop_is_published_with_agent_task_and_first_line(
    either_way: Sandbox, model: Model
) -> None:
    """A subscriber on the public channels hears who stopped, on what, and what it said last."""
    task = either_way.add_task("Parse")
    model.script("A", CLAIM, Text("The parser passes its tests.\nDetails follow."))
    with either_way.store.pubsub() as subscriber:
        subscriber.psubscribe(either_way.key("events:*"))
        client = either_way.start(None)
        client.send(marker("A") + " work")
        client.wait_for_results(1)
        agent = either_way.agent_of(client)["id"]

        def hear() -> str:
            message = subscriber.get_message(ignore_subscribe_messages=True, timeout=0.1)
            return (
                message["data"]
                if message and "The parser passes its tests." in message["data"]
                else ""
            )

        event = poll(hear, "the event of the Stop")
        client.finish()
    assert agent in event
    assert task in event
    assert "Details follow" not in event


def test_an_agent_whose_lease_passed_on_cannot_complete_the_task(
    team: Sandbox, model: Model
) -> None:
    """Declared dead while it thought, it finds its task another's, and changes nothing."""
    task, thinks, waits = team.add_task("Parse"), Gate(), Gate()
    submit = {
        "command": "git switch -q -c done && "
        f"octet task submit {task} --branch done --note 'all of it'",
        "description": "Submit",
    }
    model.script("A", CLAIM, Turn(Tool("Bash", submit), gate=thinks), Text("Hm."))
    model.script("B", CLAIM, Turn(Text("Working."), gate=waits))
    first = team.start(marker("A") + " work")
    thinks.await_arrival()
    team.octet("agent", "leave", team.agent_of(first)["id"])
    second = team.start(marker("B") + " work")
    waits.await_arrival()
    holder = team.agent_of(second)["id"]
    before = team.task(task)
    assert before["holder"] == holder

    thinks.open()
    first.finish()
    assert "Exit code 1" in model.tool_results("A")[-1], "the refusal is a refusal"
    assert team.task(task) == before
    waits.open()
    second.finish()


def test_an_idle_session_keeps_its_task(team: Sandbox, model: Model) -> None:
    """A model that thinks past any heartbeat's interval loses nothing: leases are renewed."""
    task, gate = team.add_task("Parse"), Gate()
    model.script("A", CLAIM, Turn(Text("Done."), gate=gate))
    client = team.start(marker("A") + " work")
    gate.await_arrival()
    agent = team.agent_of(client)["id"]
    heartbeat = team.key(f"heartbeat:{agent}")
    team.store.pexpire(heartbeat, HALF_A_LEASE_MS)
    poll(lambda: team.store.pttl(heartbeat) > HALF_A_LEASE_MS, "a heartbeat")
    assert team.task(task)["holder"] == agent
    gate.open()
    client.finish()
