"""`octet state …`"""

from __future__ import annotations

import click

from octet.base.errors import NothingThere
from octet.base.text import plain
from octet.cli._common.output import emit, json_option, table
from octet.cli.own_use import (
    MAX_SHOWN,
    WAIT,
    read_value,
    run_option,
    show,
    space,
    text_option,
    ttl_option,
    wait_option,
)
from octet.patterns.state import ABSENT, Field
from octet.patterns.values import is_same

name_argument = click.argument("name")
field_argument = click.argument("field")


@click.group()
def state_group() -> None:
    """Shared state: set, get, all, incr, delete, watch, wait, list."""


@state_group.command("set")
@name_argument
@field_argument
@click.argument("value")
@click.option(
    "--if-version",
    "version",
    metavar="N",
    help="Only if the field has this version still (0: if it is not there).",
)
@text_option
@ttl_option
@run_option
@json_option
def set_field(
    name: str, field: str, value: str, version: str | None, as_text: bool, ttl_s: float | None, run: str | None, as_json: bool
) -> None:  # fmt: skip
    """Set a field to VALUE (JSON or text)."""
    found = read_value(value, as_text)
    with space(run) as where:
        state = where.state(name, ttl_s=ttl_s)
        new = (
            state.set(field, found)
            if version is None
            else state.compare_and_set(field, found, version)
        )
    emit(Field(field, found, new), f"{plain(field)} has version {new} now", as_json)


@state_group.command("get")
@name_argument
@field_argument
@run_option
@json_option
def get(name: str, field: str, run: str | None, as_json: bool) -> None:
    """A field's value; with --json its version too."""
    with space(run) as where:
        found = where.state(name).read(field)
    emit(found, show(found.value), as_json)


@state_group.command("all")
@name_argument
@run_option
@json_option
def all_fields(name: str, run: str | None, as_json: bool) -> None:
    """Every field with its version."""
    with space(run) as where:
        found = where.state(name).read_all()
    rows = [[field.field, field.version, show(field.value, MAX_SHOWN)] for field in found]
    emit(
        found,
        table(["FIELD", "VERSION", "VALUE"], rows) if rows else f"state {name} has no fields",
        as_json,
    )


@state_group.command("incr")
@name_argument
@field_argument
@click.option("--by", type=int, default=1, show_default=True)
@ttl_option
@run_option
@json_option
def incr(
    name: str, field: str, by: int, ttl_s: float | None, run: str | None, as_json: bool
) -> None:
    """Add to a field that holds a whole number, or nothing yet."""
    with space(run) as where:
        value = where.state(name, ttl_s=ttl_s).incr(field, by)
    emit({"field": field, "value": value}, str(value), as_json)


@state_group.command("delete")
@name_argument
@click.argument("fields", metavar="[FIELD…]", nargs=-1)
@click.option(
    "--if-version", "version", metavar="N", help="Only if the one field has this version still."
)
@run_option
@json_option
def delete(
    name: str, fields: tuple[str, ...], version: str | None, run: str | None, as_json: bool
) -> None:
    """Delete fields, or all of the state."""
    with space(run) as where:
        state = where.state(name)
        count = (
            state.delete(*fields, version=version)
            if fields or version is not None
            else state.clear()
        )
    if not count:
        raise NothingThere(
            f"state {name} has no such field" if fields else f"there is no state {name}"
        )
    emit({"state": name, "deleted": count}, f"deleted {count} of state {name}", as_json)


@state_group.command("watch")
@name_argument
@click.argument("field", required=False)
@run_option
@json_option
def watch(name: str, field: str | None, run: str | None, as_json: bool) -> None:
    """Show fields as they change, until Ctrl-C."""
    with space(run) as where:
        for change in where.state(name).watch(field):
            shown = "deleted" if change.version == ABSENT else show(change.value, MAX_SHOWN)
            emit(change, f"{plain(change.field)}  {shown}", as_json)


@state_group.command("wait")
@name_argument
@field_argument
@click.option(
    "--equals", metavar="VALUE", help="Until it is this (JSON or text); default: until it is there."
)
@wait_option(WAIT, "For at most so long.")
@text_option
@run_option
@json_option
def wait(
    name: str,
    field: str,
    equals: str | None,
    wait_s: float,
    as_text: bool,
    run: str | None,
    as_json: bool,
) -> None:
    """Wait until a field is there, or has a value."""
    wanted = None if equals is None else read_value(equals, as_text)
    with space(run) as where:
        found = where.state(name).wait(
            field, lambda value: equals is None or is_same(value, wanted), wait_s=wait_s
        )
    emit(found, show(found.value), as_json)


@state_group.command("list")
@run_option
@json_option
def list_states(run: str | None, as_json: bool) -> None:
    """Every shared state."""
    with space(run) as where:
        names = where.names("state")
    emit(names, "\n".join(map(plain, names)) or "no states", as_json)
