"""`octet queue …`"""

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
    MAX_SHOWN,
    WAIT,
    read_lines,
    read_value,
    run_option,
    show,
    space,
    text_option,
    ttl_option,
    wait_option,
)
from octet.patterns.queue import LEASE_S, MAX_DELIVERIES, Kept, Stats

LEASE = f"{LEASE_S / 60:.0f}m"
name_argument = click.argument("name")
token_argument = click.argument("token")


@click.group()
def queue_group() -> None:
    """Work queues: push, reserve, ack, nack, extend, pop, len, peek, stats, held, dead, retry,
    wait, list, delete.
    """


@queue_group.command("push")
@name_argument
@click.argument("values", metavar="VALUE…", nargs=-1, required=True)
@text_option
@ttl_option
@run_option
@json_option
def push(
    name: str,
    values: tuple[str, ...],
    as_text: bool,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """Put each VALUE (JSON or text) at the end, all in one step; `-` stands for the lines of
    standard input.
    """
    found = [
        read_value(text, as_text)
        for value in values
        for text in (read_lines() if value == "-" else [value])
    ]
    if not found:
        raise NothingThere("standard input has no lines: nothing was pushed")
    with space(run) as where:
        ready = where.queue(name, ttl_s=ttl_s).push(*found)
    emit(
        {"queue": name, "pushed": len(found), "ready": ready},
        f"pushed {len(found)} to {name}, {ready} are ready",
        as_json,
    )


@queue_group.command("reserve")
@name_argument
@wait_option("0s", "Wait for an item.")
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
    help="Then a dead letter.",
)
@click.option(
    "--unless",
    "errors",
    metavar="ERRORS",
    help="Take nothing where `octet errors check ERRORS` says stop.",
)
@ttl_option
@run_option
@json_option
def reserve(
    name: str, wait_s: float, lease_s: float, max_deliveries: int, errors: str | None, ttl_s: float | None, run: str | None, as_json: bool
) -> None:  # fmt: skip
    """Take the next item: the value, then its token on a line of its own. Show that to ack, nack or
    extend.
    """
    with opened() as octet:
        worker, where = caller(octet).id, octet.run(run) if run else octet
        queue = where.queue(name, ttl_s=ttl_s)
        if errors:
            where.errors(errors).check()
        item = queue.reserve(
            wait_s=wait_s, lease_s=lease_s, max_deliveries=max_deliveries, worker=worker
        )
    emit(item, f"{show(item.value)}\ntoken {item.token}", as_json)


@queue_group.command("pop")
@name_argument
@wait_option("0s", "Wait for an item.")
@ttl_option
@run_option
@json_option
def pop(name: str, wait_s: float, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """Take the next item for good: if you die with it, it is lost. `reserve` and `ack` lose none."""
    with space(run) as where:
        value = where.queue(name, ttl_s=ttl_s).pop(wait_s=wait_s)
    emit({"queue": name, "value": value}, show(value), as_json)


@queue_group.command("ack")
@name_argument
@token_argument
@ttl_option
@run_option
@json_option
def ack(name: str, token: str, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """An item is done."""
    with space(run) as where:
        left = where.queue(name, ttl_s=ttl_s).ack(token)
    emit({"queue": name, "token": token, "left": left}, f"done, {left} are left", as_json)


@queue_group.command("nack")
@name_argument
@token_argument
@click.option(
    "--delay",
    "delay_s",
    type=Duration(),
    default="0s",
    metavar="TIME",
    help="Given out again only after so long.",
)
@click.option("--reason", default="", help="Why; whoever looks at the dead letters sees it.")
@click.option("--dead", is_flag=True, help="Do not try again: a dead letter at once.")
@ttl_option
@run_option
@json_option
def nack(
    name: str, token: str, delay_s: float, reason: str, dead: bool, ttl_s: float | None, run: str | None, as_json: bool
) -> None:  # fmt: skip
    """Give an item back: it is the next, or after its last delivery a dead letter."""
    with space(run) as where:
        back = where.queue(name, ttl_s=ttl_s).nack(token, delay_s=delay_s, reason=reason, dead=dead)
    line = (
        "it goes back to the queue"
        if back
        else f"it is a dead letter now: `octet queue dead {name}`"
    )
    emit({"queue": name, "token": token, "returned": back}, line, as_json)


@queue_group.command("extend")
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
        until = where.queue(name, ttl_s=ttl_s).extend(token, lease_s)
    emit(
        {"queue": name, "token": token, "until_ms": until}, f"yours for {lease_s:g} s more", as_json
    )


@queue_group.command("len")
@name_argument
@run_option
@json_option
def length(name: str, run: str | None, as_json: bool) -> None:
    """How many items wait for a worker."""
    with space(run) as where:
        waiting = where.queue(name).stats().waiting
    emit({"queue": name, "waiting": waiting}, str(waiting), as_json)


@queue_group.command("peek")
@name_argument
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True)
@run_option
@json_option
def peek(name: str, count: int, run: str | None, as_json: bool) -> None:
    """The values that are next, and stay; what came back and will be given out again is in `held`."""
    with space(run) as where:
        values = where.queue(name).peek(count)
    emit(
        values,
        "\n".join(show(value, MAX_SHOWN) for value in values)
        or f"queue {name} has nothing that nobody was given yet",
        as_json,
    )


@queue_group.command("stats")
@name_argument
@run_option
@json_option
def stats(name: str, run: str | None, as_json: bool) -> None:
    """How a queue stands, and what happened to it."""
    with space(run) as where:
        found = where.queue(name).stats()
    emit(
        {"queue": name, **asdict(found), "waiting": found.waiting, "left": found.left},
        _stats_line(found),
        as_json,
    )


@queue_group.command("held")
@name_argument
@run_option
@json_option
def held(name: str, run: str | None, as_json: bool) -> None:
    """Who has which items for how long, and what came back."""
    with opened() as octet:
        queue, now = (octet.run(run) if run else octet).queue(name), octet.now_ms()
        found = {"leased": queue.leased(), "returned": queue.returned()}
    rows = [
        [kept.token, kept.worker, _left(kept, now), str(kept.deliveries), show(kept.value)]
        for kept in found["leased"]
    ]
    rows += [
        [kept.token, "", _left(kept, now), str(kept.deliveries), show(kept.value)]
        for kept in found["returned"]
    ]
    shown = (
        table(["TOKEN", "WORKER", "FOR", "DELIVERY", "VALUE"], rows)
        if rows
        else f"nobody has an item of queue {name}"
    )
    emit(
        {state: [asdict(kept) for kept in kepts] for state, kepts in found.items()}, shown, as_json
    )


@queue_group.command("dead")
@name_argument
@run_option
@json_option
def dead(name: str, run: str | None, as_json: bool) -> None:
    """The items that were given out too often, or given up."""
    with space(run) as where:
        found = where.queue(name).dead()
    rows = [
        [kept.token, kept.worker, str(kept.deliveries), kept.reason, show(kept.value)]
        for kept in found
    ]
    emit(
        found,
        table(["TOKEN", "WORKER", "DELIVERIES", "REASON", "VALUE"], rows)
        if rows
        else "no dead letters",
        as_json,
    )


@queue_group.command("retry")
@name_argument
@click.argument("tokens", metavar="[TOKEN…]", nargs=-1)
@ttl_option
@run_option
@json_option
def retry(
    name: str, tokens: tuple[str, ...], ttl_s: float | None, run: str | None, as_json: bool
) -> None:
    """Push dead letters again as if they were new: all, or those named."""
    with space(run) as where:
        count = where.queue(name, ttl_s=ttl_s).revive(tokens or None)
    if not count:
        raise NothingThere(f"queue {name} has no such dead letter")
    emit({"queue": name, "revived": count}, f"pushed {count} again", as_json)


@queue_group.command("wait")
@name_argument
@wait_option(WAIT, "For at most so long.")
@run_option
@json_option
def wait(name: str, wait_s: float, run: str | None, as_json: bool) -> None:
    """Wait until every item is done or a dead letter."""
    with space(run) as where:
        queue = where.queue(name)
        queue.wait_drained(wait_s)
        found = queue.stats()
    emit(
        {"queue": name, **asdict(found)},
        f"queue {name} is empty: {found.done} done, {found.dead} dead letters",
        as_json,
    )


@queue_group.command("list")
@run_option
@json_option
def list_queues(run: str | None, as_json: bool) -> None:
    """Every queue and how it stands."""
    with space(run) as where:
        found = [(name, where.queue(name).stats()) for name in where.names("queue")]
    rows = [[name, *map(str, (s.ready, s.leased, s.returned, s.dead, s.done))] for name, s in found]
    shown = (
        table(["QUEUE", "READY", "LEASED", "RETURNED", "DEAD", "DONE"], rows)
        if rows
        else "no queues"
    )
    emit([{"queue": name, **asdict(stats)} for name, stats in found], shown, as_json)


@queue_group.command("delete")
@name_argument
@run_option
@json_option
def delete(name: str, run: str | None, as_json: bool) -> None:
    """Delete a queue with all that is in it."""
    with space(run) as where:
        if not where.queue(name).delete():
            raise NothingThere(f"there is no queue {name}")
    emit({"queue": name, "deleted": True}, f"deleted queue {name}", as_json)


def _left(kept: Kept, now_ms: int) -> str:
    return f"{(kept.at_ms - now_ms) / 1000:.0f} s" if kept.at_ms > now_ms else "over"


def _stats_line(found: Stats) -> str:
    facts: dict[str, Any] = asdict(found)
    return "\n".join(f"{name.replace('_', ' '):<10} {number}" for name, number in facts.items())
