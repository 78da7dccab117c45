"""`octet keys`"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from octet.base.text import plain
from octet.cli._common.context import opened
from octet.cli._common.output import emit, json_option, table
from octet.patterns.inventory import Key, list_keys

MAX_LISTED = 1000


@click.command("keys")
@click.argument("prefix", required=False)
@click.option(
    "-n",
    "most",
    type=click.IntRange(1, 100_000),
    default=MAX_LISTED,
    show_default=True,
    help="With PREFIX: the maximum number of keys.",
)
@json_option
def keys_command(prefix: str | None, most: int, as_json: bool) -> None:
    """Show the project's keys in the store, by kind. With PREFIX ('' for all), each key with its
    type, time to live and size.

    SCAN finds them in small steps, so that the server goes on serving.
    """
    with opened() as octet:
        if prefix is None:
            found = summarize(list_keys(octet.store))
            rows = [
                [str(row[name]) for name in ("kind", "types", "keys", "bytes", "endless")]
                for row in found
            ]
            emit(
                found,
                table(["KIND", "TYPES", "KEYS", "BYTES", "NO TTL"], rows) if rows else "no keys",
                as_json,
            )
            return
        keys = sorted(islice(list_keys(octet.store, prefix), most), key=lambda key: key.name)
    cells = [[plain(key.name, 160), key.type, _ttl(key.ttl_ms), str(key.bytes)] for key in keys]
    emit(keys, table(["KEY", "TYPE", "TTL", "BYTES"], cells) if cells else "no such keys", as_json)


def summarize(keys: Sequence[Key] | Any) -> list[dict[str, Any]]:
    """One row a kind, the largest first; `endless` are those without a TTL."""
    rows: dict[str, dict[str, Any]] = {}
    for key in keys:
        row = rows.setdefault(
            key.kind, {"kind": key.kind, "types": set(), "keys": 0, "bytes": 0, "endless": 0}
        )
        row["types"].add(key.type)
        row["keys"] += 1
        row["bytes"] += key.bytes
        row["endless"] += key.ttl_ms == -1
    return [
        {**row, "types": " ".join(sorted(row["types"]))}
        for row in sorted(rows.values(), key=lambda row: -row["bytes"])
    ]


def _ttl(ttl_ms: int) -> str:
    return "never" if ttl_ms < 0 else f"{ttl_ms / 1000:.0f} s"
