"""`octet map …`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from octet.base.errors import NothingThere
from octet.cli._common.output import table
from octet.cli._common.primitives import (
    Output,
    Verbs,
    file_values,
    lease_option,
    many_values,
    result_value,
    show,
    text_option,
    token_argument,
    wait_option,
)
from octet.cli.progress import bar, watch_readings
from octet.patterns.map import MAX_WORKERS, WORK_LEASE_S, ItemResult, Map, Tally, reading_of
from octet.patterns.queue import LEASE_S, MAX_DELIVERIES
from octet.patterns.runs import Space

fail_fast_option = click.option(
    "--fail-fast",
    type=click.IntRange(0),
    metavar="N",
    help="N errors stop the work; 0: no number does.",
)
map_group = Verbs(
    "map",
    Space.map,
    "Maps, many items done by many workers: start, take, done, fail, extend, wait, results, show, "
    "retry, list, clear; run does it all here.",
)
map_group.deletion("clear", "cleared", "Delete a map with its items, results and errors.")


@map_group.verb("start", ttl=True)
@click.argument("items", metavar="ITEM…", nargs=-1, required=True, callback=many_values)
@text_option
@fail_fast_option
def start(mapped: Map, items: Sequence[Any], fail_fast: int | None) -> Output:
    """Add each ITEM (JSON or text); `-` stands for the lines of standard input. Existing items are
    skipped.
    """
    if not items:
        raise NothingThere("standard input has no lines: nothing was started")
    if fail_fast is not None:
        mapped.errors.limit(fail_fast)
    new, total = mapped.start(items), mapped.tally().total
    return Output(
        {"map": mapped.name, "new": new, "total": total},
        f"{new} new items in {mapped.name}, {total} in all",
    )


@map_group.verb("take", ttl=True)
@wait_option("0s", "Wait for an item that another worker may return.")
@lease_option(LEASE_S)
@click.option(
    "--max-deliveries",
    type=click.IntRange(1, 1000),
    default=MAX_DELIVERIES,
    show_default=True,
    help="After so many it has failed.",
)
def take(mapped: Map, worker: str, wait_s: float, lease_s: float, max_deliveries: int) -> Output:
    """Lease the next item: prints it, then its token on a line of its own, which done and fail
    take.
    """
    item = mapped.take(wait_s=wait_s, lease_s=lease_s, max_deliveries=max_deliveries, worker=worker)
    return Output({**asdict(item), "map": mapped.name}, f"{show(item.value)}\ntoken {item.token}")


@map_group.verb("done", ttl=True)
@token_argument
@click.argument("result", callback=result_value)
@text_option
def done(mapped: Map, token: str, result: Any) -> Output:
    """Store an item's RESULT (JSON or text; `-`: all of standard input)."""
    left = mapped.done(token, result)
    return Output({"map": mapped.name, "token": token, "left": left}, f"done, {left} are left")


@map_group.verb("fail", ttl=True)
@token_argument
@click.argument("reason")
@click.option("--again", is_flag=True, help="Return it for another try.")
def fail(mapped: Map, token: str, reason: str, again: bool) -> Output:
    """Mark an item as failed, and add REASON to the errors of the same name."""
    back = mapped.release(token, reason) if again else False
    if not again:
        mapped.fail(token, reason)
    failed = f"it has failed: `octet map retry {mapped.name}` adds it again"
    return Output(
        {"map": mapped.name, "token": token, "returned": back},
        "returned for another worker" if back else failed,
    )


@map_group.verb("extend", ttl=True)
@token_argument
@lease_option(LEASE_S, "The lease from now on.")
def extend(mapped: Map, token: str, lease_s: float) -> Output:
    """Extend the item's lease."""
    until_ms = mapped.queue.extend(token, lease_s)
    return Output(
        {"map": mapped.name, "token": token, "until_ms": until_ms}, f"yours for {lease_s:g} s more"
    )


@map_group.verb("wait")
@wait_option()
def wait(mapped: Map, wait_s: float) -> Output:
    """Wait until every item has its result or error, or the errors stop the work. Exit code 1 if an
    item failed.
    """
    return _ended(mapped, mapped.wait(wait_s=wait_s))


@map_group.verb("results")
def results(mapped: Map) -> Output:
    """Show the results and errors so far, in the items' order; with --json workers and times."""
    mapped.tally()
    found = mapped.results()
    return Output(found, _lines(found) or f"map {mapped.name} has no results yet")


@map_group.verb("show")
@click.option("--watch", is_flag=True, help="Live, until it is done or Ctrl-C.")
def show_map(mapped: Map, watch: bool, as_json: bool) -> Iterator[Output]:
    """Show the map's items by state."""
    if watch and not as_json:
        watch_readings(lambda: reading_of(mapped.name, mapped.tally()))
        return
    found = mapped.tally()
    yield Output(
        {"map": mapped.name, **asdict(found), "left": found.left},
        f"{bar(reading_of(mapped.name, found))}\n{_by_state(found)}",
    )


@map_group.verb("retry", ttl=True)
def retry(mapped: Map) -> Output:
    """Add the failed items again. Their errors stay until `octet errors clear`."""
    count = mapped.retry()
    if not count:
        raise NothingThere(f"map {mapped.name} has no item that failed")
    return Output({"map": mapped.name, "again": count}, f"added {count} again")


@map_group.verb("list", named=False)
def list_maps(space: Space) -> Output:
    """List all maps with their items by state."""
    found = [(name, space.map(name).tally()) for name in space.names("map")]
    rows = [[name, *map(str, (t.total, t.done, t.failed, t.ready, t.leased))] for name, t in found]
    shown = table(["MAP", "TOTAL", "DONE", "FAILED", "READY", "LEASED"], rows)
    return Output(
        [{"map": name, **asdict(tally)} for name, tally in found], shown if rows else "no maps"
    )


@map_group.verb("run", ttl=True)
@click.argument("command", metavar="-- COMMAND…", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--items",
    metavar="-|FILE",
    type=click.File(errors="surrogateescape"),
    callback=file_values,
    help="Add the lines of a file first.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=3,
    show_default=True,
    help="How many run at once.",
)
@lease_option(WORK_LEASE_S, "How soon another worker gets the item of one that was killed.")
@fail_fast_option
@text_option
def run_map(
    mapped: Map,
    command: tuple[str, ...],
    items: Sequence[Any],
    workers: int,
    lease_s: float,
    fail_fast: int | None,
) -> Output:
    """Run a command for each item, and print the results. `{}` in its words stands for the item,
    which is on its standard input too.

    Its output is the result. Its words go to no shell; write `-- sh -c '…'` for one. Exit code 1 if
    an item failed.
    """
    if not items:
        mapped.tally()
    found = mapped.run(items, command, workers=workers, lease_s=lease_s, fail_fast=fail_fast)
    return _ended(mapped, found)


def _ended(mapped: Map, found: list[ItemResult]) -> Output:
    failed = sum(result.error is not None for result in found)
    text = f"map {mapped.name}: {len(found) - failed} done, {failed} failed\n{_lines(found)}"
    return Output(found, text, int(bool(failed)))


def _lines(found: list[ItemResult]) -> str:
    rows = [
        [show(r.item, 120), f"failed: {r.error}" if r.error is not None else show(r.value, 300)]
        for r in found
    ]
    return table(["ITEM", "RESULT"], rows) if rows else ""


def _by_state(found: Tally) -> str:
    return (
        f"{found.done} done, {found.failed} failed, {found.leased} with workers, {found.ready} "
        "ready"
    )
