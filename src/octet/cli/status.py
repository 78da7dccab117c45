"""`octet status`"""

from __future__ import annotations

import time
from typing import Any

import click

from octet.base.errors import NoProject
from octet.base.text import age, plain
from octet.base.vocabulary import GATES, GUEST, WORK_STAGES
from octet.cli._common.context import opened
from octet.cli._common.cost import budget_lines, budgets_data, collect_cost, render_cost
from octet.cli._common.crew import crew_data, crew_lines
from octet.cli._common.output import emit, json_option, to_data
from octet.cli.progress import bar, facts
from octet.client.api import Octet
from octet.core.tasks.record import STAGES
from octet.daemon.process import control
from octet.merge.waiting_reason import waiting_reason
from octet.patterns.running import list_running
from octet.store import embedded

MAX_SHOWN = 12


@click.command("status")
@click.option("--watch", is_flag=True, help="Redraw every second until Ctrl-C.")
@click.option("--cost", is_flag=True, help="Tokens used by day, agent and task, and the budgets.")
@json_option
def status_command(watch: bool, cost: bool, as_json: bool) -> None:
    """Show agents, tasks and locks; outside a project, what runs on this machine."""
    try:
        _show_project(watch, cost, as_json)
    except NoProject as error:
        machine = collect_machine()
        emit(machine, f"{error}\n{render_machine(machine)}", as_json)


def _show_project(watch: bool, cost: bool, as_json: bool) -> None:
    with opened() as octet:
        while True:
            data = collect_cost(octet) if cost else collect(octet)
            if watch and not as_json:
                click.clear()
            emit(data, render_cost(data) if cost else render(data), as_json)
            if not watch:
                return
            time.sleep(1)


def collect(octet: Octet) -> dict[str, Any]:
    """The state of the project, ready for JSON."""
    registered = octet.agents.list()
    states = octet.work_states.of([agent.id for agent in registered])
    agents = [
        {
            **to_data(agent),
            "tasks": [t.id for t in octet.tasks.held_by(agent.id)],
            "stopped": states[agent.id].stopped,
        }
        for agent in registered
    ]
    return {
        "project": octet.name,
        "store": octet.store_name,
        "now_ms": octet.now_ms(),
        "tasks": octet.tasks.counts(),
        "stages": {stage: octet.tasks.waiting(stage) for stage in WORK_STAGES},
        "gates": {gate: octet.tasks.waiting(gate) for gate in GATES},
        "merge_waits": waiting_reason(octet),
        "budgets": budgets_data(octet),
        "agents": agents,
        "crew": crew_data(octet.name, registered),
        "work": to_data([t for t in octet.tasks.list(limit=MAX_SHOWN) if t.holder]),
        "locks": to_data(octet.locks.list()),
        "running": [
            {"kind": r.kind, "run": r.run, **facts(r.reading), "line": bar(r.reading)}
            for r in list_running(octet.store)
        ],
    }


def collect_machine() -> dict[str, Any]:
    """What runs on this machine for this user. Starts nothing."""
    running = embedded.read_status()
    return {
        "project": None,
        "store": embedded.server_url() if running else None,
        "daemon": to_data(control.status()),
    }


def render_machine(data: dict[str, Any]) -> str:
    """The same for people."""
    daemon = data["daemon"]
    lines = [
        f"daemon  pid {daemon['pid']}, {daemon['agents']} live agents"
        if daemon
        else "daemon  not running"
    ]
    lines.append(f"server  {data['store'] or 'not running'}")
    return "\n".join(lines)


def render(data: dict[str, Any]) -> str:
    """The state of the project, for people."""
    now = data["now_ms"]
    agents, tasks, locks, work = data["agents"], data["tasks"], data["locks"], data["work"]
    lines = [f"{data['project']}  ({data['store']})"]
    lines.append(
        "tasks   "
        + (", ".join(f"{count} {state}" for state, count in tasks.items() if count) or "none")
    )
    lines += [*_unserved(data), *_gates(data), *budget_lines(data["budgets"])]
    lines.append("agents  " + (", ".join(f"{a['id']}{_on(a['tasks'])}" for a in agents) or "none"))
    lines += [f"stopped {a['id']} is {a['stopped']}" for a in agents if a["stopped"]]
    lines += crew_lines(data["crew"])
    for t in work:
        holder = plain(t["holder"], 80)
        lines.append(
            f"work    {t['id']} {plain(t['title'], 50)}: {holder}, {t['progress']:g}%, "
            f"{age(t['claimed_ms'], now)}"
        )
    for lock in locks[:MAX_SHOWN]:
        on = _on([lock["task"]] if lock["task"] else [])
        lines.append(
            f"lock    {plain(lock['resource'], 60)}: {plain(lock['holder'], 80)}{on}, "
            f"{age(lock['since_ms'], now)}"
        )
    for own in data["running"][:MAX_SHOWN]:
        lines.append(f"{own['kind']:<8}{own['run'] + ' ' if own['run'] else ''}{own['line']}")
    if len(locks) > MAX_SHOWN:
        lines.append(f"        and {len(locks) - MAX_SHOWN} more locks: octet lock list")
    return "\n".join(lines)


def _unserved(data: dict[str, Any]) -> list[str]:
    """Work that waits for a role which no agent here has, while other roles are served."""
    here = {agent["role"] for agent in data["agents"]}
    parts = [
        f"{count} for {stage} (no {STAGES[stage].role} here)"
        for stage, count in data["stages"].items()
        if count and STAGES[stage].role not in here
    ]
    return ["waits   " + ", ".join(parts)] if parts and here - {GUEST} else []


def _gates(data: dict[str, Any]) -> list[str]:
    """Tasks that wait for a gate, its role if it is missing here, and why the merge waits."""
    waiting = {gate: count for gate, count in data["gates"].items() if count}
    here = {agent["role"] for agent in data["agents"]}
    parts = [
        f"{count} for {gate}"
        + ("" if STAGES[gate].role in here else f" (no {STAGES[gate].role} here)")
        for gate, count in waiting.items()
    ]
    lines = ["gates   " + ", ".join(parts)] if parts else []
    return lines + (
        [f"merge   waits: {plain(data['merge_waits'], 200)}"]
        if data["merge_waits"] and data["gates"]["merge"]
        else []
    )


def _on(tasks: list[str]) -> str:
    return f" (task {plain(', '.join(tasks), 80)})" if tasks else ""
