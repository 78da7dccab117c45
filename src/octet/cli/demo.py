"""`octet demo`"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import click

from octet.base.errors import UsageError
from octet.cli._common.output import emit, json_option
from octet.demo.history import History
from octet.demo.report import render_report
from octet.demo.run import DemoOptions, Show, run_demo
from octet.demo.sample import load_sample


@click.command()
@click.option(
    "--developers",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="Number of developers; four other roles join them.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the sample repository in DIR, which must not exist yet.",
)
@click.option(
    "--plain",
    is_flag=True,
    help="Print lines instead of the live board, as without a terminal.",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the board after the failover to FILE: .svg or text.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Chooses the developer to kill."
)
@json_option
@click.pass_context
def demo_command(
    ctx: click.Context,
    developers: int,
    keep: Path | None,
    plain: bool,
    picture: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Watch a crew of eight build a feature in a sample repository.

    Nothing of yours is touched: the crew, its server and its daemon live in a temporary directory
    and end with the demo. One developer is killed half-way. The exit code is 1 if anything went
    wrong.
    """
    options = DemoOptions(developers, make_place(keep) if keep else None, seed)
    with interruptible(), audience(plain, as_json) as show:
        report = run_demo(options, pictured(show, picture) if picture else show)
    emit(asdict(report), render_report(report), as_json)
    if report.problems:
        ctx.exit(1)


def make_place(keep: Path) -> Path:
    """Make the directory for the repository that is kept, and return its real path.

    Raises:
        UsageError: it exists already, or cannot be made.
    """
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"--keep {keep}: {error.strerror}: name a directory that does not exist yet and can "
            "be made"
        ) from error
    return keep.resolve()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, so that its crew ends with it."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def audience(plain: bool, as_json: bool) -> Iterator[Show]:
    """Show the history on the live board or as lines; with --json, only the report is printed."""
    if as_json:
        yield lambda _history, _at_s: None
        return
    from rich.console import Console

    console = Console()
    if plain or not console.is_terminal:
        yield _lines()
        return
    from rich.live import Live

    from octet.demo.board import render_board

    feature = load_sample().feature
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield lambda history, at_s: live.update(render_board(history, feature, at_s), refresh=True)


def pictured(show: Show, picture: Path) -> Show:
    """`show`, which also writes the documentation's board, once the dead agent's task is held."""
    from octet.demo.board import export_board

    feature = load_sample().feature
    taken = False

    def show_and_write(history: History, at_s: float) -> None:
        nonlocal taken
        show(history, at_s)
        if not taken and history.failover and history.failover.heir:
            taken = True
            kind = picture.suffix.removeprefix(".")
            picture.write_text(export_board(history, feature, at_s, kind), encoding="utf-8")

    return show_and_write


def _lines() -> Show:
    from octet.demo.board import plain_line

    shown = 0

    def show(history: History, _at_s: float) -> None:
        nonlocal shown
        new = history.line_count - shown
        shown = history.line_count
        for line in list(history.lines)[-new:] if new else []:
            click.echo(plain_line(line))

    return show
