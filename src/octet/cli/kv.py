"""`octet kv …`"""

from __future__ import annotations

from typing import Any

import click

from octet.base.errors import NothingThere, Refused
from octet.base.text import plain
from octet.cli._common.durations import Duration
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

key_argument = click.argument("key")
MISSING = object()
kv_group = Verbs("kv", None, "Values under keys: put, get, take, wait, list, delete.")


@kv_group.verb("put")
@key_argument
@click.argument("value", callback=one_value)
@click.option(
    "--ttl",
    "ttl",
    type=Duration(never=True),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="Time to live, or never.",
)
@click.option("--new", is_flag=True, help="Refuse if the key has a value.")
@text_option
def put(space: Space, key: str, value: Any, ttl: float, new: bool) -> Output:
    """Store VALUE (JSON or text) under KEY."""
    if not space.kv.put(key, value, ttl_s=ttl, new=new):
        raise Refused(f"{key} has a value already: `octet kv get {key}`")
    return Output({"key": key, "value": value}, f"stored under {key}")


@kv_group.verb("get")
@key_argument
def get(space: Space, key: str) -> Output:
    """Print the value, which stays."""
    return _shown(key, space.kv.get(key, MISSING))


@kv_group.verb("take")
@key_argument
def take(space: Space, key: str) -> Output:
    """Print the value and delete it, in one step: only one of many takers gets it."""
    return _shown(key, space.kv.take(key, MISSING))


@kv_group.verb("wait")
@key_argument
@click.option("--take", "taken", is_flag=True, help="Delete it in the same step.")
@wait_option()
def wait(space: Space, key: str, taken: bool, wait_s: float) -> Output:
    """Wait until there is a value, and print it."""
    return _shown(key, space.kv.wait(key, wait_s=wait_s, take=taken))


@kv_group.verb("list")
@click.argument("prefix", default="")
def list_values(space: Space, prefix: str) -> Output:
    """List all values, or those whose keys begin with PREFIX."""
    found = space.kv.list(prefix)
    rows = [
        [
            one.key,
            f"{one.ttl_ms // 1000} s" if one.ttl_ms >= 0 else "never",
            show(one.value, MAX_SHOWN),
        ]
        for one in found
    ]
    return Output(found, table(["KEY", "EXPIRES", "VALUE"], rows) if rows else "no values")


@kv_group.verb("delete")
@click.argument("keys", metavar="KEY…", nargs=-1, required=True)
def delete(space: Space, keys: tuple[str, ...]) -> Output:
    """Delete values."""
    count = space.kv.delete(*keys)
    if not count:
        raise NothingThere(f"there is nothing under {plain(' '.join(keys))}")
    return Output({"deleted": count}, f"deleted {count}")


def _shown(key: str, value: object) -> Output:
    if value is MISSING:
        raise NothingThere(f"there is nothing under {key}")
    return Output({"key": key, "value": value}, show(value))
