"""`octet progress …`"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from octet.base.errors import NothingThere
from octet.base.text import plain
from octet.cli._common.output import emit, json_option
from octet.cli.own_use import WAIT, run_option, space, ttl_option, wait_option
from octet.patterns.progress import Reading

WIDTH = 24
DRAW_EVERY_S = 0.5
name_argument = click.argument("name")
total_option = click.option("--total", type=click.IntRange(0), metavar="N", help="Of how many.")
note_option = click.option("--note", default="", help="A few words on it.")


@click.group()
def progress_group() -> None:
    """Progress: set, add, show, wait, list, delete."""


@progress_group.command("set")
@name_argument
@click.argument("current", type=click.IntRange(0))
@total_option
@note_option
@ttl_option
@run_option
@json_option
def set_progress(
    name: str,
    current: int,
    total: int | None,
    note: str,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """The work is so far."""
    with space(run) as where:
        _print(where.progress(name, ttl_s=ttl_s).set(current, total=total, note=note), as_json)


@progress_group.command("add", context_settings={"ignore_unknown_options": True})
@name_argument
@click.argument("by", type=int, default=1)
@total_option
@note_option
@ttl_option
@run_option
@json_option
def add(
    name: str,
    by: int,
    total: int | None,
    note: str,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """The work is so much further."""
    with space(run) as where:
        _print(where.progress(name, ttl_s=ttl_s).add(by, total=total, note=note), as_json)


@progress_group.command("show")
@name_argument
@click.option(
    "--watch", is_flag=True, help="Live, until it is done or Ctrl-C; with --json one line a change."
)
@run_option
@json_option
def show_progress(name: str, watch: bool, run: str | None, as_json: bool) -> None:
    """How far the work is."""
    with space(run) as where:
        progress = where.progress(name)
        if watch and not as_json:
            watch_readings(progress.read)
        else:
            for reading in progress.watch() if watch else [progress.read()]:
                _print(reading, as_json)


@progress_group.command("wait")
@name_argument
@wait_option(WAIT, "For at most so long.")
@run_option
@json_option
def wait(name: str, wait_s: float, run: str | None, as_json: bool) -> None:
    """Wait until the total is reached."""
    with space(run) as where:
        _print(where.progress(name).wait(wait_s=wait_s), as_json)


@progress_group.command("list")
@run_option
@json_option
def list_progress(run: str | None, as_json: bool) -> None:
    """Every progress."""
    with space(run) as where:
        found = [where.progress(name).read() for name in where.names("progress")]
    emit(
        [facts(reading) for reading in found], "\n".join(map(bar, found)) or "no progress", as_json
    )


@progress_group.command("delete")
@name_argument
@run_option
@json_option
def delete(name: str, run: str | None, as_json: bool) -> None:
    """Delete a progress."""
    with space(run) as where:
        if not where.progress(name).delete():
            raise NothingThere(f"there is no progress {name}")
    emit({"progress": name, "deleted": True}, f"deleted progress {name}", as_json)


def facts(reading: Reading) -> dict[str, Any]:
    """A reading for programs."""
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
    """Draw a reading live until it is done; a line for each change where standard output is no
    terminal.
    """
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


def _print(reading: Reading, as_json: bool) -> None:
    emit(facts(reading), bar(reading), as_json)
