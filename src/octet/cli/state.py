"""`octet state …`"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from octet.base.errors import NothingThere
from octet.base.text import plain
from octet.cli._common.output import table
from octet.cli._common.primitives import (
    MAX_SHOWN,
    Output,
    Verbs,
    one_value,
    show,
    text_option,
    wait_option,
)
from octet.patterns.runs import Space
from octet.patterns.state import ABSENT, Field, State
from octet.patterns.values import is_same

field_argument = click.argument("field")
state_group = Verbs(
    "state", Space.state, "Shared state: set, get, all, incr, delete, watch, wait, list."
)


@state_group.verb("set", ttl=True)
@field_argument
@click.argument("value", callback=one_value)
@click.option(
    "--if-version",
    "version",
    metavar="N",
    help="Only if the field still has this version (0: if it is missing).",
)
@text_option
def set_field(state: State, field: str, value: Any, version: str | None) -> Output:
    """Set a field to VALUE (JSON or text)."""
    if version is None:
        new = state.set(field, value)
    else:
        new = state.compare_and_set(field, value, version)
    return Output(Field(field, value, new), f"{plain(field)} has version {new} now")


@state_group.verb("get")
@field_argument
def get(state: State, field: str) -> Output:
    """Print a field's value; with --json its version too."""
    found = state.read(field)
    return Output(found, show(found.value))


@state_group.verb("all")
def all_fields(state: State) -> Output:
    """Show all fields with their versions."""
    found = state.read_all()
    rows = [[field.field, field.version, show(field.value, MAX_SHOWN)] for field in found]
    shown = table(["FIELD", "VERSION", "VALUE"], rows)
    return Output(found, shown if rows else f"state {state.name} has no fields")


@state_group.verb("incr", ttl=True)
@field_argument
@click.option("--by", type=int, default=1, show_default=True, help="How many.")
def incr(state: State, field: str, by: int) -> Output:
    """Add to a field that holds a whole number, or is missing."""
    value = state.incr(field, by)
    return Output({"field": field, "value": value}, str(value))


@state_group.verb("delete")
@click.argument("fields", metavar="[FIELD…]", nargs=-1)
@click.option(
    "--if-version", "version", metavar="N", help="Only if the one field still has this version."
)
def delete(state: State, fields: tuple[str, ...], version: str | None) -> Output:
    """Delete fields, or the whole state."""
    chosen = fields or version is not None
    count = state.delete(*fields, version=version) if chosen else state.clear()
    if not count:
        why = (
            f"state {state.name} has no such field" if fields else f"there is no state {state.name}"
        )
        raise NothingThere(why)
    return Output({"state": state.name, "deleted": count}, f"deleted {count} of state {state.name}")


@state_group.verb("watch")
@click.argument("field", required=False)
def watch(state: State, field: str | None) -> Iterator[Output]:
    """Print fields as they change, until Ctrl-C."""
    for change in state.watch(field):
        shown = "deleted" if change.version == ABSENT else show(change.value, MAX_SHOWN)
        yield Output(change, f"{plain(change.field)}  {shown}")


def _wanted(context: click.Context, param: click.Parameter, text: str | None) -> tuple[Any, ...]:
    return () if text is None else (one_value(context, param, text),)


@state_group.verb("wait")
@field_argument
@click.option(
    "--equals",
    metavar="VALUE",
    callback=_wanted,
    help="The value (JSON or text) to wait for; default: any.",
)
@wait_option()
@text_option
def wait(state: State, field: str, equals: tuple[Any, ...], wait_s: float) -> Output:
    """Wait until a field exists, or has a value."""
    found = state.wait(
        field, lambda value: all(is_same(value, wanted) for wanted in equals), wait_s=wait_s
    )
    return Output(found, show(found.value))


@state_group.verb("list", named=False)
def list_states(space: Space) -> Output:
    """List all shared states."""
    names = space.names("state")
    return Output(names, "\n".join(map(plain, names)) or "no states")
