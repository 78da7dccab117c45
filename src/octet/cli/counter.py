"""`octet counter …`"""

from __future__ import annotations

import click

from octet.cli._common.output import table
from octet.cli._common.primitives import Output, Verbs, wait_option
from octet.patterns.counter import Counter
from octet.patterns.runs import Space

by_option = click.option("--by", type=int, default=1, show_default=True, help="How many.")
counter_group = Verbs(
    "counter", Space.counter, "Counters: incr, decr, get, set, reset, wait, list, delete."
)
counter_group.deletion("delete", "deleted", "Delete a counter.")


@counter_group.verb("incr", ttl=True)
@by_option
def incr(counter: Counter, by: int) -> Output:
    """Add, and print the sum."""
    return _shown(counter, counter.incr(by))


@counter_group.verb("decr", ttl=True)
@by_option
def decr(counter: Counter, by: int) -> Output:
    """Subtract, and print the difference."""
    return _shown(counter, counter.decr(by))


@counter_group.verb("get")
def get(counter: Counter) -> Output:
    """Print the number; 0 for a missing counter."""
    return _shown(counter, counter.get())


@counter_group.verb("set", ttl=True, context_settings={"ignore_unknown_options": True})
@click.argument("value", type=int)
def set_counter(counter: Counter, value: int) -> Output:
    """Set the number."""
    counter.set(value)
    return _shown(counter, value)


@counter_group.verb("reset", ttl=True)
def reset(counter: Counter) -> Output:
    """Set the number to 0."""
    counter.reset()
    return _shown(counter, 0)


@counter_group.verb("wait")
@click.option("--until", type=int, required=True, metavar="N", help="The number to wait for.")
@wait_option()
def wait(counter: Counter, until: int, wait_s: float) -> Output:
    """Wait until the number is N or more."""
    return _shown(counter, counter.wait(until, wait_s=wait_s))


@counter_group.verb("list", named=False)
def list_counters(space: Space) -> Output:
    """List all counters."""
    found = [(name, space.counter(name).get()) for name in space.names("counter")]
    shown = table(["COUNTER", "VALUE"], [[name, str(value)] for name, value in found])
    return Output(
        [{"counter": name, "value": value} for name, value in found],
        shown if found else "no counters",
    )


def _shown(counter: Counter, value: int) -> Output:
    return Output({"counter": counter.name, "value": value}, str(value))
