"""The live board: what each agent does, where each task is, and what just happened."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from octet.base.vocabulary import (
    CODE_SENTINEL,
    DEVELOPER,
    ORCHESTRATOR,
    REPOSITORY_GUARDIAN,
    TEST_ORCHESTRATOR,
)
from octet.demo.history import History, HistoryLine, MemberState, TaskProgress

COLOURS = {
    "working": "bold green",
    "idle": "dim",
    "waits": "dim",
    "here": "dim",
    "killed": "bold red",
    "gone": "dim",
    "pending": "dim",
    "claimed": "cyan",
    "submitted": "yellow",
    "in-review": "yellow",
    "testing": "yellow",
    "merging": "magenta",
    "blocked": "dim",
    "done": "green",
    "dead": "red",
    "plain": "",
    "good": "green",
    "bad": "yellow",
    "kill": "bold red",
}
STATE_ORDER = (
    "claimed",
    "merging",
    "testing",
    "in-review",
    "submitted",
    "pending",
    "blocked",
    "done",
    "dead",
)
ROLE_ORDER = (ORCHESTRATOR, DEVELOPER, CODE_SENTINEL, TEST_ORCHESTRATOR, REPOSITORY_GUARDIAN)
BOARD_WIDTH = 110
BOARD_LINES = 9


def render_board(
    history: History, feature: str, at_s: float, lines: int = BOARD_LINES
) -> RenderableType:
    """The whole board, `at_s` seconds after the beginning."""
    columns = Table.grid(expand=True, padding=(0, 1))
    columns.add_column(ratio=9)
    columns.add_column(ratio=10)
    columns.add_row(_panel(_crew(history), "crew"), _panel(_tasks(history), "tasks"))
    return Group(
        _headline(history, feature, at_s),
        columns,
        _panel(_lines(history, lines), "events"),
        _counts(history),
    )


def export_board(history: History, feature: str, at_s: float, kind: str) -> str:
    """The board as text or as an SVG picture, for the documentation."""
    console = Console(
        record=True,
        width=BOARD_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(render_board(history, feature, at_s))
    return console.export_svg(title="octet demo") if kind == "svg" else console.export_text()


def plain_line(line: HistoryLine) -> str:
    """One line for a log or a pipe."""
    return f"{line.at_s:6.1f} s  {line.who:<22} {line.text}"


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(
        content, title=title, title_align="left", border_style="bright_black", padding=(0, 1)
    )


def _headline(history: History, feature: str, at_s: float) -> RenderableType:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column()
    row.add_column(ratio=1)
    row.add_column(justify="right")
    bar = ProgressBar(
        total=max(history.total, 1),
        completed=history.done,
        complete_style="green",
        finished_style="green",
    )
    row.add_row(
        Text.assemble(("octet demo ", "bold"), (feature, "italic")),
        bar,
        f"{history.done}/{history.total} done   {at_s:4.0f} s",
    )
    return row


def _crew(history: History) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    for member in sorted(history.members.values(), key=_place):
        style = COLOURS[member.state]
        table.add_row(
            Text(member.name, style=style),
            Text(member.state, style=style),
            Text(_occupation(member)),
        )
    return table


def _place(member: MemberState) -> tuple[int, str]:
    return ROLE_ORDER.index(member.role) if member.role in ROLE_ORDER else len(
        ROLE_ORDER
    ), member.name


def _occupation(member: MemberState) -> str:
    return f"{member.task}: {member.doing}" if member.task and member.doing else member.task


def _tasks(history: History) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    for ratio in (None, None, 1):
        table.add_column(no_wrap=True, ratio=ratio)
    for task in sorted(history.tasks.values(), key=_rank):
        style = COLOURS[task.state]
        table.add_row(
            Text(task.id, style=style), Text(task.state, style=style), Text(_holder(task))
        )
    return table


def _rank(task: TaskProgress) -> tuple[int, float]:
    return STATE_ORDER.index(task.state), -task.priority


def _holder(task: TaskProgress) -> str:
    return (
        f"{task.holder} {task.progress:g}%"
        if task.holder and task.state == "claimed"
        else task.holder
    )


def _lines(history: History, lines: int) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    recent = list(history.lines)[-lines:]
    for line in recent:
        style = COLOURS[line.weight]
        table.add_row(
            f"{line.at_s:.1f}",
            Text(line.who, style=style),
            Text(line.text, style=style, overflow="ellipsis"),
        )
    for _ in range(lines - len(recent)):
        table.add_row("", "", "")
    return table


def _counts(history: History) -> Text:
    facts = [
        f"claims {history.builds}",
        f"conflicts {len(history.conflicts)}",
        f"denials {history.denials}",
    ]
    facts += [
        f"reviews {history.reviews} ({history.sent_back} sent back)",
        f"test runs {history.test_runs}",
        f"merges {history.merges}",
    ]
    if history.failover and history.failover.heir:
        facts.append(f"failover {history.failover.reclaimed_s - history.failover.killed_s:.2f} s")
    return Text("   ".join(facts), style="bold")
