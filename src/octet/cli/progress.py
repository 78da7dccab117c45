"""`octet progress …`"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from octet.base.text import plain
from octet.cli._common.output import emit
from octet.cli._common.primitives import Output, Verbs, wait_option
from octet.patterns.progress import Progress, Reading
from octet.patterns.runs import Space

WIDTH = 24
DRAW_EVERY_S = 0.5
total_option = click.option("--total", type=click.IntRange(0), metavar="N", help="The total.")
note_option = click.option("--note", default="", help="A short note.")
progress_group = Verbs("progress", Space.progress, "Progress: set, add, show, wait, list, delete.")
progress_group.deletion("delete", "deleted", "Delete a progress.")


@progress_group.verb("set", ttl=True)
@click.argument("current", type=click.IntRange(0))
@total_option
@note_option
def set_progress(progress: Progress, current: int, total: int | None, note: str) -> Output:
    """Set the amount that is done."""
    return _shown(progress.set(current, total=total, note=note))


@progress_group.verb("add", ttl=True, context_settings={"ignore_unknown_options": True})
@click.argument("by", type=int, default=1)
@total_option
@note_option
def add(progress: Progress, by: int, total: int | None, note: str) -> Output:
    """Add to the amount that is done."""
    return _shown(progress.add(by, total=total, note=note))


@progress_group.verb("show")
@click.option(
    "--watch", is_flag=True, help="Live, until it is done or Ctrl-C; with --json a line a change."
)
def show_progress(progress: Progress, watch: bool, as_json: bool) -> Iterator[Output]:
    """Show the progress."""
    if watch and not as_json:
        watch_readings(progress.read)
        return
    for reading in progress.watch() if watch else [progress.read()]:
        yield _shown(reading)


@progress_group.verb("wait")
@wait_option()
def wait(progress: Progress, wait_s: float) -> Output:
    """Wait until the total is reached."""
    return _shown(progress.wait(wait_s=wait_s))


@progress_group.verb("list", named=False)
def list_progress(space: Space) -> Output:
    """List all progress."""
    found = [space.progress(name).read() for name in space.names("progress")]
    return Output(list(map(facts, found)), "\n".join(map(bar, found)) or "no progress")


def facts(reading: Reading) -> dict[str, Any]:
    """A reading as data for programs."""
    own = {field: value for field, value in asdict(reading).items() if field != "base"}
    return {
        **own,
        "percent": reading.percent,
        "rate": reading.rate,
        "eta_s": reading.eta_s,
        "done": reading.done,
    }


def bar(reading: Reading) -> str:
    """A reading on one line: `analysis  [####....]  120/300  40%  2.5/s  72 s left`."""
    percent = reading.percent
    filled = round(WIDTH * (percent or 0) / 100)
    words = [plain(reading.name, 60)]
    if percent is not None:
        words.append(f"[{'#' * filled}{'.' * (WIDTH - filled)}]")
    words.append(f"{reading.current}/{'?' if reading.total is None else reading.total}")
    words += [f"{percent:.0f}%"] if percent is not None else []
    words += [f"{reading.rate:.3g}/s"] if reading.rate else []
    words += [f"{reading.eta_s:.0f} s left"] if reading.eta_s else []
    return "  ".join([*words, *([plain(reading.note, 80)] if reading.note else [])])


def watch_readings(read: Callable[[], Reading]) -> None:
    """Draw a reading live until it is done; without a terminal, print a line for each change."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    reading = read()
    if not sys.stdout.isatty():
        _follow(read, reading)
        return
    with Live(Text(bar(reading)), console=Console(), auto_refresh=False) as live:
        while not reading.done:
            time.sleep(DRAW_EVERY_S)
            reading = read()
            live.update(Text(bar(reading)), refresh=True)


def _follow(read: Callable[[], Reading], reading: Reading) -> None:
    emit(None, bar(reading), False)
    while not reading.done:
        time.sleep(DRAW_EVERY_S)
        before, reading = reading, read()
        if reading != before:
            emit(None, bar(reading), False)


def _shown(reading: Reading) -> Output:
    return Output(facts(reading), bar(reading))
