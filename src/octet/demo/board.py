"""The live board: who does what, where each task is, what just happened. Drawn from the chronicle,
with rich or as plain lines.
"""

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
from octet.demo.chronicle import Chronicle, Line, Member, Work

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
SHOWN_LINES = 9


def render_board(
    story: Chronicle, feature: str, at_s: float, lines: int = SHOWN_LINES
) -> RenderableType:
    """The whole board as it is `at_s` seconds after the beginning."""
    columns = Table.grid(expand=True, padding=(0, 1))
    columns.add_column(ratio=9)
    columns.add_column(ratio=10)
    columns.add_row(_panel(_crew(story), "crew"), _panel(_tasks(story), "tasks"))
    return Group(
        _headline(story, feature, at_s),
        columns,
        _panel(_story(story, lines), "what happens"),
        _counts(story),
    )


def export_board(story: Chronicle, feature: str, at_s: float, kind: str) -> str:
    """The board as text or as an SVG picture, for the documentation."""
    console = Console(
        record=True,
        width=BOARD_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(render_board(story, feature, at_s))
    return console.export_svg(title="octet demo") if kind == "svg" else console.export_text()


def plain_line(line: Line) -> str:
    """One line of the story for a log or a pipe."""
    return f"{line.at_s:6.1f} s  {line.who:<22} {line.text}"


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(
        content, title=title, title_align="left", border_style="bright_black", padding=(0, 1)
    )


def _headline(story: Chronicle, feature: str, at_s: float) -> RenderableType:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column()
    row.add_column(ratio=1)
    row.add_column(justify="right")
    bar = ProgressBar(
        total=max(story.total, 1),
        completed=story.done,
        complete_style="green",
        finished_style="green",
    )
    row.add_row(
        Text.assemble(("octet demo ", "bold"), (feature, "italic")),
        bar,
        f"{story.done}/{story.total} done   {at_s:4.0f} s",
    )
    return row


def _crew(story: Chronicle) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    for member in sorted(story.members.values(), key=_place):
        style = COLOURS[member.state]
        table.add_row(
            Text(member.name, style=style),
            Text(member.state, style=style),
            Text(_occupation(member)),
        )
    return table


def _place(member: Member) -> tuple[int, str]:
    return ROLE_ORDER.index(member.role) if member.role in ROLE_ORDER else len(
        ROLE_ORDER
    ), member.name


def _occupation(member: Member) -> str:
    return f"{member.task}: {member.doing}" if member.task and member.doing else member.task


def _tasks(story: Chronicle) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    for ratio in (None, None, 1):
        table.add_column(no_wrap=True, ratio=ratio)
    for work in sorted(story.work.values(), key=_rank):
        style = COLOURS[work.state]
        table.add_row(
            Text(work.id, style=style), Text(work.state, style=style), Text(_holder(work))
        )
    return table


def _rank(work: Work) -> tuple[int, float]:
    return STATE_ORDER.index(work.state), -work.priority


def _holder(work: Work) -> str:
    return (
        f"{work.holder} {work.progress:g}%"
        if work.holder and work.state == "claimed"
        else work.holder
    )


def _story(story: Chronicle, lines: int) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    recent = list(story.lines)[-lines:]
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


def _counts(story: Chronicle) -> Text:
    facts = [
        f"claims {story.builds}",
        f"conflicts {len(story.conflicts)}",
        f"denials {story.denials}",
    ]
    facts += [
        f"reviews {story.reviews} ({story.sent_back} sent back)",
        f"test runs {story.test_runs}",
        f"merges {story.merges}",
    ]
    if story.failover and story.failover.heir:
        facts.append(f"failover {story.failover.reclaimed_s - story.failover.killed_s:.2f} s")
    return Text("   ".join(facts), style="bold")
