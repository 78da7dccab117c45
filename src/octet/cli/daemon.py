"""`octet daemon …`"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from octet.base import dirs
from octet.base.text import age
from octet.cli._common.output import emit, json_option
from octet.daemon.process import control, log
from octet.daemon.process.status import Status

FOLLOW_EVERY_S = 0.2


@click.group()
def daemon_group() -> None:
    """The daemon: start, stop, status, logs. Hooks start it by themselves."""


@daemon_group.command("start")
@json_option
def start(as_json: bool) -> None:
    """Start it, or replace one of an older version; return once it answers."""
    status = control.start()
    emit(status, f"the daemon runs: pid {status.pid}, version {status.version}", as_json)


@daemon_group.command("stop")
@json_option
def stop(as_json: bool) -> None:
    """End it, and wait until it is gone; agents stay registered until their leases run out."""
    stopped = control.stop()
    emit({"stopped": stopped}, "the daemon has ended" if stopped else "no daemon runs", as_json)


@daemon_group.command("status")
@json_option
def show_status(as_json: bool) -> None:
    """Show whether it runs, since when, and what it does."""
    status = control.status()
    emit(
        {"running": status is not None, **(asdict(status) if status else {})},
        render(status),
        as_json,
    )


@daemon_group.command("logs")
@click.option(
    "-n",
    "lines",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Number of lines.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until Ctrl-C.")
@json_option
def logs(lines: int, follow: bool, as_json: bool) -> None:
    """Show the last lines of its log."""
    for line in read_log(dirs.state_dir() / log.NAME, lines, follow=follow):
        emit({"line": line}, line, as_json)


def render(status: Status | None) -> str:
    """A status for people."""
    if status is None:
        return "no daemon runs; a hook or `octet daemon start` starts it"
    up = age(1, 1 + int(status.uptime_s * 1000))
    return (
        f"the daemon runs: pid {status.pid} under {status.supervisor}, version "
        f"{status.version}, up {up}\n"
        f"{status.agents} live agents, {status.requests} hooks answered, {status.in_flight} "
        f"in flight, {status.memory_kb / 1024:.1f} MB"
    )


def read_log(path: Path, count: int, *, follow: bool) -> Iterator[str]:
    """The last `count` lines, those of the file that was rotated away included; with `follow`,
    every later one, through rotations.
    """
    file = path.open("rb") if path.exists() else None
    earlier = path.with_name(f"{path.name}.1")
    *lines, rest = (
        (earlier.read_bytes() if earlier.exists() else b"") + (file.read() if file else b"")
    ).split(b"\n")
    yield from map(_text, lines[-count:] if count else [])
    while follow:
        *lines, rest = (rest + (file.read() if file else b"")).split(b"\n")
        yield from map(_text, lines)
        if (
            not lines
            and path.exists()
            and not (file and os.path.samestat(os.fstat(file.fileno()), path.stat()))
        ):
            file = path.open("rb")
        elif not lines:
            time.sleep(FOLLOW_EVERY_S)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
