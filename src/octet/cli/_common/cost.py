"""What `octet status --cost` shows: tokens by agent, task and day, and the budgets in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from octet.base.text import plain
from octet.cli._common.output import table
from octet.client.api import Octet
from octet.core.usage.transcripts import Tokens
from octet.project.config import Config

MAX_SHOWN = 20
HEADINGS = ["TOKENS", "INPUT", "OUTPUT", "CACHE WRITE", "CACHE READ", "ANSWERS"]


def config_of(octet: Octet) -> Config:
    """The project's settings; the defaults for a project without a repository."""
    return octet.project.config if octet.project else Config(octet.name)


def budgets_data(octet: Octet) -> list[dict[str, Any]]:
    """The exhausted budgets, which pause agents now, ready for JSON."""
    return [
        {**asdict(budget), "reason": budget.reason()}
        for budget in octet.cost.reached(config_of(octet))
    ]


def budget_lines(budgets: list[dict[str, Any]]) -> list[str]:
    """The same for people, a line each."""
    return [f"budget  paused: {plain(budget['reason'], 300)}" for budget in budgets]


def tokens_data(tokens: Tokens) -> dict[str, int]:
    """Tokens ready for JSON, with their total."""
    return {"total": tokens.total, **asdict(tokens)}


def tokens_line(tokens: Tokens) -> str:
    """Tokens in a line for people."""
    kinds = (
        f"{tokens.input:,} in, {tokens.output:,} out, {tokens.cache_write:,} to the cache, "
        f"{tokens.cache_read:,} from it"
    )
    return f"{tokens.total:,} ({kinds}; {tokens.messages:,} answers)" if tokens.messages else ""


def collect_cost(octet: Octet) -> dict[str, Any]:
    """The sums as they are now, ready for JSON."""
    cost, config = octet.cost, config_of(octet)
    found = {"agents": cost.agents(), "tasks": cost.tasks(), "days": cost.days()}
    data: dict[str, Any] = {
        kind: {name: tokens_data(tokens) for name, tokens in sums.items()}
        for kind, sums in found.items()
    }
    limits = {"task_tokens": config.budget_task_tokens, "day_tokens": config.budget_day_tokens}
    return {
        "project": octet.name,
        "today": cost.today(),
        **data,
        "limits": limits,
        "budgets": budgets_data(octet),
    }


def render_cost(data: Mapping[str, Any]) -> str:
    """For people: today's budget, then days, agents and tasks by tokens used."""
    used, limit = (
        data["days"].get(data["today"], tokens_data(Tokens()))["total"],
        data["limits"]["day_tokens"],
    )
    of = f" of {limit:,} ({used * 100 // limit} %)" if limit else ""
    lines = [
        f"{data['project']}: {used:,}{of} tokens today ({data['today']} UTC)",
        *budget_lines(data["budgets"]),
    ]
    for kind, heading in (("days", "DAY"), ("agents", "AGENT"), ("tasks", "TASK")):
        key = (lambda item: item[0]) if kind == "days" else (lambda item: item[1]["total"])
        rows = [
            [name, *map(_figure, sums.values())]
            for name, sums in sorted(data[kind].items(), key=key, reverse=True)
            if name
        ]
        more = (
            [f"  and {len(rows) - MAX_SHOWN} more: --json shows all"]
            if len(rows) > MAX_SHOWN
            else []
        )
        lines += ["", table([heading, *HEADINGS], rows[:MAX_SHOWN]), *more] if rows else []
    return "\n".join(lines)


def _figure(number: int) -> str:
    return f"{number:,}"
