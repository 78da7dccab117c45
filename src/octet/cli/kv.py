"""`octet kv …`"""

from __future__ import annotations

import click

from octet.base.errors import NothingThere, Refused
from octet.base.text import plain
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, table
from octet.cli.own_use import (
    MAX_SHOWN,
    WAIT,
    read_value,
    run_option,
    show,
    space,
    text_option,
    wait_option,
)

key_argument = click.argument("key")
MISSING = object()


@click.group()
def kv_group() -> None:
    """Messages under keys: put, get, take, wait, list, delete."""


@kv_group.command("put")
@key_argument
@click.argument("value")
@click.option(
    "--ttl",
    "ttl_s",
    type=Duration(never=True),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="Or never.",
)
@click.option("--new", is_flag=True, help="Only where there is none.")
@text_option
@run_option
@json_option
def put(
    key: str, value: str, ttl_s: float, new: bool, as_text: bool, run: str | None, as_json: bool
) -> None:
    """Leave VALUE (JSON or text) under KEY."""
    found = read_value(value, as_text)
    with space(run) as where:
        if not where.kv.put(key, found, ttl_s=ttl_s, new=new):
            raise Refused(f"there is a value under {key} already: `octet kv get {key}`")
    emit({"key": key, "value": found}, f"left under {key}", as_json)


@kv_group.command("get")
@key_argument
@run_option
@json_option
def get(key: str, run: str | None, as_json: bool) -> None:
    """The value, which stays."""
    with space(run) as where:
        _print(key, where.kv.get(key, MISSING), as_json)


@kv_group.command("take")
@key_argument
@run_option
@json_option
def take(key: str, run: str | None, as_json: bool) -> None:
    """The value, which is deleted in the same step: of many that take it, one gets it."""
    with space(run) as where:
        _print(key, where.kv.take(key, MISSING), as_json)


@kv_group.command("wait")
@key_argument
@click.option("--take", "taken", is_flag=True, help="Delete it in the same step.")
@wait_option(WAIT, "For at most so long.")
@run_option
@json_option
def wait(key: str, taken: bool, wait_s: float, run: str | None, as_json: bool) -> None:
    """Wait until there is a value, and print it."""
    with space(run) as where:
        _print(key, where.kv.wait(key, wait_s=wait_s, take=taken), as_json)


@kv_group.command("list")
@click.argument("prefix", default="")
@run_option
@json_option
def list_values(prefix: str, run: str | None, as_json: bool) -> None:
    """Every value, or those whose keys begin with PREFIX."""
    with space(run) as where:
        found = where.kv.list(prefix)
    rows = [
        [m.key, f"{m.ttl_ms // 1000} s" if m.ttl_ms >= 0 else "never", show(m.value, MAX_SHOWN)]
        for m in found
    ]
    emit(found, table(["KEY", "EXPIRES", "VALUE"], rows) if rows else "no values", as_json)


@kv_group.command("delete")
@click.argument("keys", metavar="KEY…", nargs=-1, required=True)
@run_option
@json_option
def delete(keys: tuple[str, ...], run: str | None, as_json: bool) -> None:
    """Delete values."""
    with space(run) as where:
        count = where.kv.delete(*keys)
    if not count:
        raise NothingThere(f"there is nothing under {plain(' '.join(keys))}")
    emit({"deleted": count}, f"deleted {count}", as_json)


def _print(key: str, value: object, as_json: bool) -> None:
    if value is MISSING:
        raise NothingThere(f"there is nothing under {key}")
    emit({"key": key, "value": value}, show(value), as_json)
