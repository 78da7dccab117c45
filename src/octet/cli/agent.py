"""`octet agent …`"""

from __future__ import annotations

from dataclasses import asdict

import click

from octet.agents import ROLES
from octet.cli.output import emit, json_option, table
from octet.cli.session import caller, opened
from octet.election import standing
from octet.errors import Refused
from octet.plans import check_capability
from octet.rescue import keep_work
from octet.text import age, plain


@click.group()
def agent_group() -> None:
    """Agents: list, show, join, leave."""


@agent_group.command("list")
@json_option
def list_agents(as_json: bool) -> None:
    """Who takes part."""
    with opened() as octet:
        agents = octet.agents.list()
        held = {agent.id: octet.tasks.held_by(agent.id) for agent in agents}
        now, leader = octet.now_ms(), octet.election.leader()
    stands = {agent.id: standing(agent, leader) for agent in agents}
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
    data = [{**asdict(agent), "standing": stands[agent.id]} for agent in agents]
    emit(
        data,
        table(["AGENT", "KIND", "LEADS", "TASK", "HERE", "BRANCH", "HOST", "PID", "DIRECTORY"], rows) if rows else "no agents",
        as_json,
    )


@agent_group.command("show")
@click.argument("agent_id", metavar="AGENT", required=False)
@json_option
def show(agent_id: str | None, as_json: bool) -> None:
    """One agent (default: yourself)."""
    with opened() as octet:
        agent = octet.agents.get(agent_id) if agent_id else caller(octet)
        tasks = octet.tasks.held_by(agent.id)
        locks = [lock for lock in octet.locks.list() if lock.holder == agent.id]
        stands = octet.election.standing(agent)
    lines = [f"{agent.id} ({', '.join(filter(None, [agent.role, stands, agent.kind]))}) in {plain(agent.worktree or agent.cwd)}"]
    lines += [f"  task  {task.id}: {plain(task.title)}" for task in tasks]
    lines += [f"  lock  {plain(lock.resource)}" for lock in locks]
    emit(
        {"agent": {**vars(agent), "standing": stands}, "tasks": [t.id for t in tasks], "locks": [lock.resource for lock in locks]},
        "\n".join(lines),
        as_json,
    )


@agent_group.command("join")
@click.argument("role", type=click.Choice(ROLES))
@click.option("--capability", "capabilities", multiple=True, metavar="NAME", help="What you can do that tasks may need (repeat).")
@json_option
def join(role: str, capabilities: tuple[str, ...], as_json: bool) -> None:
    """Take a role; your name changes with it."""
    with opened() as octet:
        before = caller(octet)
        if held := octet.tasks.held_by(before.id):
            raise Refused(f"{before.id} holds task {held[0].id}: submit, complete or release it first")
        agent = octet.agents.join(before, role, capabilities=tuple(map(check_capability, capabilities)))
        stands, told = octet.election.standing(agent), octet.election.explain(agent)
    emit({**asdict(agent), "standing": stands}, f"you are {agent.id} ({agent.role}) now{told}", as_json)


@agent_group.command("leave")
@click.argument("agent_id", metavar="AGENT", required=False)
@json_option
def leave(agent_id: str | None, as_json: bool) -> None:
    """Take an agent (default: yourself) off; its claims go back, its locks are freed."""
    with opened() as octet:
        agent = octet.agents.get(agent_id) if agent_id else caller(octet)
        for task in octet.tasks.held_by(agent.id):
            keep_work(octet, task.id)
        estate = octet.agents.leave(agent)
    tasks, freed = (estate.tasks, estate.resources) if estate else ((), ())
    given = f"; gave back {', '.join(tasks)}" if tasks else ""
    emit({"agent": agent.id, "tasks": tasks, "locks": freed}, f"{agent.id} has left{given}", as_json)
