"""`octet agent …`"""

from __future__ import annotations

from dataclasses import asdict

import click

from octet.base.errors import Refused, UsageError
from octet.base.text import age, plain
from octet.base.vocabulary import ROLES
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.output import emit, json_option, table
from octet.client.api import Octet
from octet.core.agents.election import position as leading
from octet.core.agents.work_states import LEFT
from octet.core.tasks.plans import check_capability
from octet.worktree.rescue import rescue_held_task


@click.group()
def agent_group() -> None:
    """Agents: list, show, join, leave, pause, resume."""


@agent_group.command("list")
@json_option
def list_agents(as_json: bool) -> None:
    """Show all agents."""
    with opened() as octet:
        agents = octet.agents.list()
        held = {agent.id: octet.tasks.held_by(agent.id) for agent in agents}
        stopped = {
            agent_id: state.stopped
            for agent_id, state in octet.work_states.of([agent.id for agent in agents]).items()
        }
        now, leader = octet.now_ms(), octet.election.leader()
    stands = {agent.id: leading(agent, leader) for agent in agents}
    rows = [
        [
            a.id,
            a.kind,
            stands[a.id],
            ", ".join(t.id for t in held[a.id]),
            age(a.joined_ms, now),
            a.branch,
            a.host,
            str(a.pid or ""),
            a.worktree or a.cwd,
        ]
        for a in agents
    ]
    headings = ["AGENT", "KIND", "LEADS", "TASK", "HERE", "BRANCH", "HOST", "PID", "DIRECTORY"]
    lines = [f"{agent_id} is {why}" for agent_id, why in stopped.items() if why]
    data = [
        {**asdict(agent), "standing": stands[agent.id], "stopped": stopped[agent.id]}
        for agent in agents
    ]
    emit(data, "\n".join([table(headings, rows) if rows else "no agents", *lines]), as_json)


@agent_group.command("show")
@click.argument("agent_id", metavar="AGENT", required=False)
@json_option
def show(agent_id: str | None, as_json: bool) -> None:
    """One agent (default: yourself)."""
    with opened() as octet:
        agent = octet.agents.get(agent_id) if agent_id else caller(octet)
        tasks = octet.tasks.held_by(agent.id)
        locks = [lock for lock in octet.locks.list() if lock.holder == agent.id]
        stopped, stands = octet.work_states.get(agent.id).stopped, octet.election.position(agent)
    lines = [
        f"{agent.id} ({', '.join(filter(None, [agent.role, stands, agent.kind]))}) in "
        f"{plain(agent.worktree or agent.cwd)}"
    ]
    lines += [f"  {stopped}"] if stopped else []
    lines += [f"  task  {task.id}: {plain(task.title)}" for task in tasks]
    lines += [f"  lock  {plain(lock.resource)}" for lock in locks]
    held = {"tasks": [t.id for t in tasks], "locks": [lock.resource for lock in locks]}
    emit(
        {"agent": {**vars(agent), "standing": stands}, **held, "stopped": stopped},
        "\n".join(lines),
        as_json,
    )


@agent_group.command("join")
@click.argument("role", type=click.Choice(ROLES))
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="NAME",
    help="A capability that tasks may need (repeat).",
)
@json_option
def join(role: str, capabilities: tuple[str, ...], as_json: bool) -> None:
    """Take a role; your name changes to one of the role's."""
    with opened() as octet:
        before = caller(octet)
        if held := octet.tasks.held_by(before.id):
            raise Refused(
                f"{before.id} holds task {held[0].id}: submit, complete or release it first"
            )
        agent = octet.agents.join(
            before, role, capabilities=tuple(map(check_capability, capabilities))
        )
        if octet.work_states.get(agent.id).stopped:
            octet.work_states.resume(agent)
        stands, told = octet.election.position(agent), octet.election.explain(agent)
    emit(
        {**asdict(agent), "standing": stands},
        f"you are {agent.id} ({agent.role}) now{told}",
        as_json,
    )


@agent_group.command("leave")
@click.argument("agent_id", metavar="AGENT", required=False)
@json_option
def leave(agent_id: str | None, as_json: bool) -> None:
    """Remove an agent (default: yourself); its tasks and locks are released."""
    with opened() as octet:
        agent = octet.agents.get(agent_id) if agent_id else caller(octet)
        for task in octet.tasks.held_by(agent.id):
            rescue_held_task(octet, task.id)
        if (
            agent.process and agent.role in ROLES
        ):  # its session may register again, under the same name, and then wants no work
            octet.work_states.pause(agent, LEFT, caller(octet).id)
        released = octet.agents.leave(agent)
    tasks, freed = (released.tasks, released.resources) if released else ((), ())
    given = f"; released {', '.join(tasks)}" if tasks else ""
    emit(
        {"agent": agent.id, "tasks": tasks, "locks": freed}, f"{agent.id} has left{given}", as_json
    )


@agent_group.command("pause")
@click.argument("agent_id", metavar="AGENT", required=False)
@click.option("--reason", default="", help="The reason, shown by `octet status`.")
@json_option
def pause(agent_id: str | None, reason: str, as_json: bool) -> None:
    """Give an agent (default: yourself) no more work until `octet agent resume`.

    It keeps what it holds, and may finish what it is doing.
    """
    with opened() as octet:
        agent = octet.agents.get(agent_id) if agent_id else caller(octet)
        octet.work_states.pause(agent, reason, caller(octet).id)
        held = [task.id for task in octet.tasks.held_by(agent.id)]
    keeps = f"; it still holds {', '.join(held)}" if held else ""
    emit(
        {"agent": agent.id, "paused": True, "tasks": held},
        f"{agent.id} is paused and handed nothing more{keeps}",
        as_json,
    )


@agent_group.command("resume")
@click.argument("agent_id", metavar="AGENT", required=False)
@click.option(
    "--all",
    "everybody",
    is_flag=True,
    help="Every agent; an exhausted budget does not pause them again.",
)
@json_option
def resume(agent_id: str | None, everybody: bool, as_json: bool) -> None:
    """Give a paused or parked agent (default: yourself) work again."""
    if everybody and agent_id:
        raise UsageError("give an agent, or --all")
    with opened() as octet:
        if everybody:
            _resume_all(octet, as_json)
            return
        agent = octet.agents.get(agent_id) if agent_id else caller(octet)
        before = octet.work_states.get(agent.id).stopped
        octet.work_states.resume(agent)
    emit(
        {"agent": agent.id, "was": before},
        f"{agent.id} is handed work again" + (f" (it was {before})" if before else ""),
        as_json,
    )


def _resume_all(octet: Octet, as_json: bool) -> None:
    """First the budgets, so that the daemon does not pause the resumed agents again."""
    octet.cost.lift()
    agents = octet.agents.list()
    before = {
        name: state.stopped
        for name, state in octet.work_states.of([agent.id for agent in agents]).items()
        if state.stopped
    }
    for agent in agents:
        if agent.id in before:
            octet.work_states.resume(agent)
    emit(
        {"agents": before},
        f"handed work again: {', '.join(before) or 'no agent was paused or parked'}",
        as_json,
    )
