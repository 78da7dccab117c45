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
from octet.demo.chronicle import Chronicle
from octet.demo.director import Options, Show, run_demo
from octet.demo.report import render_report
from octet.demo.sample import load_sample


@click.command()
@click.option(
    "--developers",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="How many developers; four other roles join them.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Leave the sample repository in DIR, which must not exist yet.",
)
@click.option(
    "--plain",
    is_flag=True,
    help="Print lines in place of the live board; so it is anyway where no terminal is.",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the board after the failover: SVG or text.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which developer is killed.")
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
    and end with the demo. One developer is killed half-way. Exit code 1 if anything was not as it
    should be.
    """
    options = Options(
        developers,
        make_place(keep) if keep else None,
        seed,
    )
    with interruptible(), audience(plain, as_json) as show:
        report = run_demo(options, photographed(show, picture) if picture else show)
    emit(asdict(report), render_report(report), as_json)
    if report.problems:
        ctx.exit(1)


def make_place(keep: Path) -> Path:
    """Make the directory for the repository that is kept; its real path.

    Raises:
        UsageError: it is there already, or cannot be made.
    """
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"--keep {keep}: {error.strerror}: name a directory that can be made and is not "
            "there yet"
        ) from error
    return keep.resolve()


@contextmanager
def interruptible() -> Iterator[None]:
    """A `kill` ends the demo as Ctrl-C does, so that its crew ends with it."""

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
    """Where the story goes: the live board, lines, or nowhere when a program reads the report."""
    if as_json:
        yield lambda _story, _at_s: None
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
        yield lambda story, at_s: live.update(render_board(story, feature, at_s), refresh=True)


def photographed(show: Show, picture: Path) -> Show:
    """`show`, and the board written to a file as it is once a dead agent's task has passed on; for
    the documentation.
    """
    from octet.demo.board import export_board

    feature = load_sample().feature
    taken = False

    def show_and_write(story: Chronicle, at_s: float) -> None:
        nonlocal taken
        show(story, at_s)
        if not taken and story.failover and story.failover.heir:
            taken = True
            picture.write_text(
                export_board(story, feature, at_s, picture.suffix.removeprefix(".")),
                encoding="utf-8",
            )

    return show_and_write


def _lines() -> Show:
    from octet.demo.board import plain_line

    shown = 0

    def show(story: Chronicle, _at_s: float) -> None:
        nonlocal shown
        new = list(story.lines)[-(story.told - shown) :] if story.told > shown else []
        shown = story.told
        for line in new:
            click.echo(plain_line(line))

    return show
