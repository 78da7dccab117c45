"""`octet queue …`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from octet.base.errors import NothingThere
from octet.cli._common.durations import Duration
from octet.cli._common.output import table
from octet.cli._common.primitives import (
    MAX_SHOWN,
    Output,
    Verbs,
    lease_option,
    many_values,
    show,
    text_option,
    token_argument,
    wait_option,
)
from octet.patterns.queue import LEASE_S, MAX_DELIVERIES, Kept, Queue, Stats
from octet.patterns.runs import Space

queue_group = Verbs(
    "queue",
    Space.queue,
    "Work queues: push, reserve, ack, nack, extend, pop, len, peek, stats, held, dead, retry, "
    "wait, list, delete.",
)
queue_group.deletion("delete", "deleted", "Delete a queue and its items.")


@queue_group.verb("push", ttl=True)
@click.argument("values", metavar="VALUE…", nargs=-1, required=True, callback=many_values)
@text_option
def push(queue: Queue, values: Sequence[Any]) -> Output:
    """Append each VALUE (JSON or text), all in one step; `-` stands for the lines of standard
    input.
    """
    if not values:
        raise NothingThere("standard input has no lines: nothing was pushed")
    ready = queue.push(*values)
    return Output(
        {"queue": queue.name, "pushed": len(values), "ready": ready},
        f"pushed {len(values)} to {queue.name}, {ready} are ready",
    )


@queue_group.verb("reserve", ttl=True)
@wait_option("0s", "Wait for an item.")
@lease_option(LEASE_S)
@click.option(
    "--max-deliveries",
    type=click.IntRange(1, 1000),
    default=MAX_DELIVERIES,
    show_default=True,
    help="After so many it is a dead letter.",
)
@click.option(
    "--unless", "errors", metavar="ERRORS", help="Refuse if `octet errors check ERRORS` refuses."
)
def reserve(
    queue: Queue,
    space: Space,
    worker: str,
    wait_s: float,
    lease_s: float,
    max_deliveries: int,
    errors: str | None,
) -> Output:
    """Lease the next item: prints its value, then its token on a line of its own, which ack, nack
    and extend take.
    """
    if errors:
        space.errors(errors).check()
    item = queue.reserve(
        wait_s=wait_s, lease_s=lease_s, max_deliveries=max_deliveries, worker=worker
    )
    return Output(item, f"{show(item.value)}\ntoken {item.token}")


@queue_group.verb("pop", ttl=True)
@wait_option("0s", "Wait for an item.")
def pop(queue: Queue, wait_s: float) -> Output:
    """Remove the next item and print it. If you die with it, it is lost; `reserve` loses none."""
    value = queue.pop(wait_s=wait_s)
    return Output({"queue": queue.name, "value": value}, show(value))


@queue_group.verb("ack", ttl=True)
@token_argument
def ack(queue: Queue, token: str) -> Output:
    """Mark an item as done."""
    left = queue.ack(token)
    return Output({"queue": queue.name, "token": token, "left": left}, f"done, {left} are left")


@queue_group.verb("nack", ttl=True)
@token_argument
@click.option(
    "--delay",
    "delay_s",
    type=Duration(),
    default="0s",
    metavar="TIME",
    help="Lease it again only after this time.",
)
@click.option("--reason", default="", help="Why; shown with the dead letters.")
@click.option("--dead", is_flag=True, help="Make it a dead letter at once.")
def nack(queue: Queue, token: str, delay_s: float, reason: str, dead: bool) -> Output:
    """Return an item: it is the next, or after its last delivery a dead letter."""
    back = queue.nack(token, delay_s=delay_s, reason=reason, dead=dead)
    text = (
        "returned to the queue" if back else f"a dead letter now: `octet queue dead {queue.name}`"
    )
    return Output({"queue": queue.name, "token": token, "returned": back}, text)


@queue_group.verb("extend", ttl=True)
@token_argument
@lease_option(LEASE_S, "The lease from now on.")
def extend(queue: Queue, token: str, lease_s: float) -> Output:
    """Extend the item's lease."""
    until_ms = queue.extend(token, lease_s)
    return Output(
        {"queue": queue.name, "token": token, "until_ms": until_ms}, f"yours for {lease_s:g} s more"
    )


@queue_group.verb("len")
def length(queue: Queue) -> Output:
    """Print the number of items that wait for a worker."""
    waiting = queue.stats().waiting
    return Output({"queue": queue.name, "waiting": waiting}, str(waiting))


@queue_group.verb("peek")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    help="Maximum number of values.",
)
def peek(queue: Queue, count: int) -> Output:
    """Print the next values that were never leased. `held` shows the returned ones."""
    values = queue.peek(count)
    text = "\n".join(show(value, MAX_SHOWN) for value in values)
    return Output(values, text or f"queue {queue.name} has no item that was never leased")


@queue_group.verb("stats")
def stats(queue: Queue) -> Output:
    """Show a queue's items by state, and what happened to all that it ever had."""
    found = queue.stats()
    data = {"queue": queue.name, **asdict(found), "waiting": found.waiting, "left": found.left}
    return Output(data, _stats_lines(found))


@queue_group.verb("held")
def held(queue: Queue, now_ms: int) -> Output:
    """Show the leased items with their workers, and the returned ones."""
    found = {"leased": queue.leased(), "returned": queue.returned()}
    rows = [
        [
            kept.token,
            kept.worker if state == "leased" else "",
            _left(kept, now_ms),
            str(kept.deliveries),
            show(kept.value),
        ]
        for state, items in found.items()
        for kept in items
    ]
    shown = table(["TOKEN", "WORKER", "FOR", "DELIVERY", "VALUE"], rows)
    return Output(
        {state: [asdict(kept) for kept in items] for state, items in found.items()},
        shown if rows else f"no worker has an item of queue {queue.name}",
    )


@queue_group.verb("dead")
def dead(queue: Queue) -> Output:
    """Show the dead letters: items that were delivered too often, or given up."""
    found = queue.dead()
    rows = [
        [kept.token, kept.worker, str(kept.deliveries), kept.reason, show(kept.value)]
        for kept in found
    ]
    shown = table(["TOKEN", "WORKER", "DELIVERIES", "REASON", "VALUE"], rows)
    return Output(found, shown if rows else "no dead letters")


@queue_group.verb("retry", ttl=True)
@click.argument("tokens", metavar="[TOKEN…]", nargs=-1)
def retry(queue: Queue, tokens: tuple[str, ...]) -> Output:
    """Push dead letters again as new items: all, or those named."""
    count = queue.revive(tokens or None)
    if not count:
        raise NothingThere(f"queue {queue.name} has no such dead letter")
    return Output({"queue": queue.name, "revived": count}, f"pushed {count} again")


@queue_group.verb("wait")
@wait_option()
def wait(queue: Queue, wait_s: float) -> Output:
    """Wait until every item is done or a dead letter."""
    queue.wait_drained(wait_s)
    found = queue.stats()
    return Output(
        {"queue": queue.name, **asdict(found)},
        f"queue {queue.name} is empty: {found.done} done, {found.dead} dead letters",
    )


@queue_group.verb("list", named=False)
def list_queues(space: Space) -> Output:
    """List all queues with their items by state."""
    found = [(name, space.queue(name).stats()) for name in space.names("queue")]
    rows = [[name, *map(str, (s.ready, s.leased, s.returned, s.dead, s.done))] for name, s in found]
    shown = table(["QUEUE", "READY", "LEASED", "RETURNED", "DEAD", "DONE"], rows)
    return Output(
        [{"queue": name, **asdict(stats)} for name, stats in found], shown if rows else "no queues"
    )


def _left(kept: Kept, now_ms: int) -> str:
    return f"{(kept.at_ms - now_ms) / 1000:.0f} s" if kept.at_ms > now_ms else "over"


def _stats_lines(found: Stats) -> str:
    facts: dict[str, Any] = asdict(found)
    return "\n".join(f"{name.replace('_', ' '):<10} {number}" for name, number in facts.items())
