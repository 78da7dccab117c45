"""`octet counter …`"""

from __future__ import annotations

import click

from octet.base.errors import NothingThere
from octet.cli._common.output import emit, json_option, table
from octet.cli.own_use import WAIT, run_option, space, ttl_option, wait_option

name_argument = click.argument("name")
by_option = click.option("--by", type=int, default=1, show_default=True)


@click.group()
def counter_group() -> None:
    """Counters: incr, decr, get, set, reset, wait, list, delete."""


@counter_group.command("incr")
@name_argument
@by_option
@ttl_option
@run_option
@json_option
def incr(name: str, by: int, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """Add, and print the sum."""
    with space(run) as where:
        _print(name, where.counter(name, ttl_s=ttl_s).incr(by), as_json)


@counter_group.command("decr")
@name_argument
@by_option
@ttl_option
@run_option
@json_option
def decr(name: str, by: int, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """Subtract, and print the difference."""
    with space(run) as where:
        _print(name, where.counter(name, ttl_s=ttl_s).decr(by), as_json)


@counter_group.command("get")
@name_argument
@run_option
@json_option
def get(name: str, run: str | None, as_json: bool) -> None:
    """The number; 0 where nobody has counted yet."""
    with space(run) as where:
        _print(name, where.counter(name).get(), as_json)


@counter_group.command("set", context_settings={"ignore_unknown_options": True})
@name_argument
@click.argument("value", type=int)
@ttl_option
@run_option
@json_option
def set_counter(name: str, value: int, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """Set the number."""
    with space(run) as where:
        where.counter(name, ttl_s=ttl_s).set(value)
    _print(name, value, as_json)


@counter_group.command("reset")
@name_argument
@ttl_option
@run_option
@json_option
def reset(name: str, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """Set it to 0."""
    with space(run) as where:
        where.counter(name, ttl_s=ttl_s).reset()
    _print(name, 0, as_json)


@counter_group.command("wait")
@name_argument
@click.option(
    "--until", type=int, required=True, metavar="N", help="Until the number is N or more."
)
@wait_option(WAIT, "For at most so long.")
@run_option
@json_option
def wait(name: str, until: int, wait_s: float, run: str | None, as_json: bool) -> None:
    """Wait until the number is N or more; at once where it is."""
    with space(run) as where:
        _print(name, where.counter(name).wait(until, wait_s=wait_s), as_json)


@counter_group.command("list")
@run_option
@json_option
def list_counters(run: str | None, as_json: bool) -> None:
    """Every counter."""
    with space(run) as where:
        found = [(name, where.counter(name).get()) for name in where.names("counter")]
    rows = [[name, str(value)] for name, value in found]
    emit(
        [{"counter": n, "value": v} for n, v in found],
        table(["COUNTER", "VALUE"], rows) if rows else "no counters",
        as_json,
    )


@counter_group.command("delete")
@name_argument
@run_option
@json_option
def delete(name: str, run: str | None, as_json: bool) -> None:
    """Delete a counter."""
    with space(run) as where:
        if not where.counter(name).delete():
            raise NothingThere(f"there is no counter {name}")
    emit({"counter": name, "deleted": True}, f"deleted counter {name}", as_json)


def _print(name: str, value: int, as_json: bool) -> None:
    emit({"counter": name, "value": value}, str(value), as_json)
