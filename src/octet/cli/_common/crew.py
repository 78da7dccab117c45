"""The crew of this machine, as `octet status` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from octet.base.text import plain
from octet.core.agents.registry import Agent
from octet.crew.record import GIVEN_UP, UP, CrewDirectory, agents_of


def crew_data(project: str, agents: Sequence[Agent]) -> dict[str, Any] | None:
    """The project's crew on this machine, ready for JSON; None if none is wanted."""
    directory = CrewDirectory.of(project)
    wanted, report = directory.read_wanted(), directory.read_report()
    if wanted is None or not wanted.members:
        return None
    alive = report is not None and report.alive
    known = agents_of(agents, report.members) if report else {}
    names = {name: found[0].id for name, found in known.items() if found}
    members = (
        [{**asdict(one), "agent": names.get(one.name, "")} for one in report.members]
        if report
        else []
    )
    return {
        "mode": wanted.mode,
        "tmux": wanted.tmux,
        "supervised": alive,
        "wanted": len(wanted.members),
        "members": members,
    }


def crew_lines(crew: dict[str, Any] | None) -> list[str]:
    """The same for people."""
    if crew is None:
        return []
    where = f"tmux session {crew['tmux']}" if crew["tmux"] else crew["mode"]
    if not crew["supervised"]:
        return [
            f"crew    {where}: its supervisor has ended, `octet up` goes on with it, "
            "`octet down` ends it"
        ]
    up = [one for one in crew["members"] if one["state"] == UP]
    lines = [f"crew    {where}: {len(up)} of {crew['wanted']} sessions up"]
    for one in crew["members"]:
        told = _trouble(one)
        who = one["name"] + (
            f" (as {one['agent']})" if one["agent"] not in ("", one["name"]) else ""
        )
        lines += [f"        {who} {told}"] if told else []
    return lines


def _trouble(one: dict[str, Any]) -> str:
    times = (
        f"restarted {one['restarts']} time{'s' if one['restarts'] != 1 else ''}"
        if one["restarts"]
        else ""
    )
    if one["state"] == GIVEN_UP:
        return f"was given up: {plain(one['reason'])}; `octet up` tries again"
    parts = [times] if one["state"] == UP else [f"is not up ({one['state']})", times]
    parts += [f"last end: {plain(one['reason'])}"] if one["reason"] else []
    parts += [f"its last turn failed: {plain(one['error'])}"] if one["error"] else []
    return ", ".join(filter(None, parts))
