"""`octet map …`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from octet.base.errors import NothingThere
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, table
from octet.cli.own_use import (
    WAIT,
    read_lines,
    read_result,
    read_value,
    run_option,
    show,
    space,
    text_option,
    ttl_option,
    wait_option,
)
from octet.cli.progress import bar, watch_readings
from octet.patterns.map import (
    FOREVER_S,
    MAX_WORKERS,
    WORK_LEASE_S,
    ItemResult,
    Map,
    Tally,
    reading_of,
)
from octet.patterns.queue import LEASE_S, MAX_DELIVERIES

LEASE = f"{LEASE_S / 60:.0f}m"
name_argument = click.argument("name")
token_argument = click.argument("token")
fail_fast_option = click.option(
    "--fail-fast",
    type=click.IntRange(0),
    metavar="N",
    help="N errors stop the work; 0: however many.",
)


@click.group()
def map_group() -> None:
    """Parallel analysis: start, take, done, fail, extend, wait, results, show, retry, list, clear;
    run does it all here.
    """


@map_group.command("start")
@name_argument
@click.argument("items", metavar="ITEM…", nargs=-1, required=True)
@text_option
@fail_fast_option
@ttl_option
@run_option
@json_option
def start(
    name: str, items: tuple[str, ...], as_text: bool, fail_fast: int | None, ttl_s: float | None, run: str | None, as_json: bool
) -> None:  # fmt: skip
    """Put each ITEM (JSON or text) in; `-` stands for the lines of standard input. One that is
    there already is passed over.
    """
    found = [
        read_value(text, as_text)
        for item in items
        for text in (read_lines() if item == "-" else [item])
    ]
    if not found:
        raise NothingThere("standard input has no lines: nothing was started")
    with space(run) as where:
        mapped = where.map(name, ttl_s=ttl_s)
        if fail_fast is not None:
            mapped.errors.limit(fail_fast)
        new, total = mapped.start(found), mapped.tally().total
    emit(
        {"map": name, "new": new, "total": total},
        f"{new} new items in {name}, {total} in all",
        as_json,
    )


@map_group.command("take")
@name_argument
@wait_option("0s", "Wait for an item that others may give back.")
@click.option(
    "--lease",
    "lease_s",
    type=Duration(),
    default=LEASE,
    show_default=True,
    metavar="TIME",
    help="Yours alone for so long.",
)
@click.option(
    "--max-deliveries",
    type=click.IntRange(1, 1000),
    default=MAX_DELIVERIES,
    show_default=True,
    help="Then it has failed.",
)
@ttl_option
@run_option
@json_option
def take(
    name: str,
    wait_s: float,
    lease_s: float,
    max_deliveries: int,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """Take the next item: the item, then its token on a line of its own. Show that to done or fail."""
    with opened() as octet:
        worker, where = caller(octet).id, octet.run(run) if run else octet
        item = where.map(name, ttl_s=ttl_s).take(
            wait_s=wait_s, lease_s=lease_s, max_deliveries=max_deliveries, worker=worker
        )
    emit({**asdict(item), "map": name}, f"{show(item.value)}\ntoken {item.token}", as_json)


@map_group.command("done")
@name_argument
@token_argument
@click.argument("result")
@text_option
@ttl_option
@run_option
@json_option
def done(
    name: str,
    token: str,
    result: str,
    as_text: bool,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """An item is done: RESULT is JSON or text, `-` all of standard input."""
    value = read_result(result, as_text)
    with space(run) as where:
        left = where.map(name, ttl_s=ttl_s).done(token, value)
    emit({"map": name, "token": token, "left": left}, f"done, {left} are left", as_json)


@map_group.command("fail")
@name_argument
@token_argument
@click.argument("reason")
@click.option("--again", is_flag=True, help="Give it back: somebody shall try once more.")
@ttl_option
@run_option
@json_option
def fail(
    name: str,
    token: str,
    reason: str,
    again: bool,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """An item failed; REASON goes to the errors of the same name."""
    with space(run) as where:
        mapped = where.map(name, ttl_s=ttl_s)
        back = mapped.release(token, reason) if again else False
        if not again:
            mapped.fail(token, reason)
    line = (
        "it goes back to the others"
        if back
        else f"it has failed: `octet map retry {name}` puts it in again"
    )
    emit({"map": name, "token": token, "returned": back}, line, as_json)


@map_group.command("extend")
@name_argument
@token_argument
@click.option(
    "--lease",
    "lease_s",
    type=Duration(),
    default=LEASE,
    show_default=True,
    metavar="TIME",
    help="From now on.",
)
@ttl_option
@run_option
@json_option
def extend(
    name: str, token: str, lease_s: float, ttl_s: float | None, run: str | None, as_json: bool
) -> None:
    """Go on with an item: its lease ends so long from now."""
    with space(run) as where:
        until = where.map(name, ttl_s=ttl_s).queue.extend(token, lease_s)
    emit({"map": name, "token": token, "until_ms": until}, f"yours for {lease_s:g} s more", as_json)


@map_group.command("wait")
@name_argument
@wait_option(WAIT, "For at most so long.")
@run_option
@json_option
def wait(name: str, wait_s: float, run: str | None, as_json: bool) -> int:
    """Wait until every item has its result or error, or errors stop the work. Exit code 1 where one
    failed.
    """
    with space(run) as where:
        results = where.map(name).wait(wait_s=wait_s)
    return _end(name, results, as_json)


@map_group.command("results")
@name_argument
@run_option
@json_option
def results(name: str, run: str | None, as_json: bool) -> None:
    """What is done or failed so far, in the order of the items; with --json worker and time too."""
    with space(run) as where:
        mapped = where.map(name)
        mapped.tally()
        found = mapped.results()
    emit(found, _lines(found) or f"map {name} has no results yet", as_json)


@map_group.command("show")
@name_argument
@click.option("--watch", is_flag=True, help="Live, until it is done or Ctrl-C.")
@run_option
@json_option
def show_map(name: str, watch: bool, run: str | None, as_json: bool) -> None:
    """How it stands."""
    with space(run) as where:
        mapped = where.map(name)
        if watch and not as_json:
            watch_readings(lambda: reading_of(name, mapped.tally()))
            return
        found = mapped.tally()
    emit(
        {"map": name, **asdict(found), "left": found.left},
        f"{bar(reading_of(name, found))}\n{_stands(found)}",
        as_json,
    )


@map_group.command("retry")
@name_argument
@ttl_option
@run_option
@json_option
def retry(name: str, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """Put what failed in again. Its errors stay until `octet errors clear`."""
    with space(run) as where:
        count = where.map(name, ttl_s=ttl_s).retry()
    if not count:
        raise NothingThere(f"map {name} has no item that failed")
    emit({"map": name, "again": count}, f"put {count} in again", as_json)


@map_group.command("list")
@run_option
@json_option
def list_maps(run: str | None, as_json: bool) -> None:
    """Every map and how it stands."""
    with space(run) as where:
        found = [(name, where.map(name).tally()) for name in where.names("map")]
    rows = [[name, *map(str, (t.total, t.done, t.failed, t.ready, t.leased))] for name, t in found]
    shown = (
        table(["MAP", "TOTAL", "DONE", "FAILED", "READY", "LEASED"], rows) if rows else "no maps"
    )
    emit([{"map": name, **asdict(tally)} for name, tally in found], shown, as_json)


@map_group.command("clear")
@name_argument
@run_option
@json_option
def clear(name: str, run: str | None, as_json: bool) -> None:
    """Delete a map with its items, results and errors."""
    with space(run) as where:
        if not where.map(name).clear():
            raise NothingThere(f"there is no map {name}")
    emit({"map": name, "cleared": True}, f"cleared map {name}", as_json)


@map_group.command("run")
@name_argument
@click.argument("command", metavar="-- COMMAND…", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--items",
    metavar="-|FILE",
    type=click.File(errors="surrogateescape"),
    help="Put its lines in first.",
)
@click.option("--workers", type=click.IntRange(1, MAX_WORKERS), default=3, show_default=True)
@click.option(
    "--lease",
    "lease_s",
    type=Duration(),
    default=f"{WORK_LEASE_S:.0f}s",
    show_default=True,
    metavar="TIME",
)
@fail_fast_option
@text_option
@ttl_option
@run_option
@json_option
def run_map(name: str, command: tuple[str, ...], items: Any, workers: int, **options: Any) -> int:
    """Run a command for each item, and print the results. `{}` in its words stands for the item,
    which is on its standard input too.

    What it prints is the result. The words go to no shell; write `-- sh -c '…'` for one. Exit code
    1 where an item failed.
    """
    read = [read_value(line, options["as_text"]) for line in read_lines(items)] if items else []
    with space(options["run"]) as where:
        mapped: Map = where.map(name, ttl_s=options["ttl_s"])
        if not read:
            mapped.tally()
        found = mapped.run(
            read, command, workers=workers, lease_s=options["lease_s"], fail_fast=options["fail_fast"], wait_s=FOREVER_S
        )  # fmt: skip
    return _end(name, found, options["as_json"])


def _end(name: str, found: list[ItemResult], as_json: bool) -> int:
    failed = [result for result in found if result.error is not None]
    emit(
        found,
        f"map {name}: {len(found) - len(failed)} done, {len(failed)} failed\n{_lines(found)}",
        as_json,
    )
    return int(bool(failed))


def _lines(found: list[ItemResult]) -> str:
    rows = [
        [show(r.item, 120), f"failed: {r.error}" if r.error is not None else show(r.value, 300)]
        for r in found
    ]
    return table(["ITEM", "RESULT"], rows) if rows else ""


def _stands(found: Tally) -> str:
    return (
        f"{found.done} done, {found.failed} failed, {found.leased} with workers, {found.ready} "
        "ready"
    )
