"""`octet gc`"""

from __future__ import annotations

import click

from octet.base.errors import UsageError
from octet.base.text import plain
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, to_data
from octet.client.api import Octet
from octet.patterns.inventory import Primitive, delete_unused, list_primitives


@click.command("gc")
@click.option("--run", metavar="RUN", help="Everything of this run.")
@click.option(
    "--older-than",
    "older_s",
    type=Duration(),
    metavar="TIME",
    help="What has not been read or changed for TIME, such as 2d.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@json_option
def gc_command(run: str | None, older_s: float | None, dry_run: bool, as_json: bool) -> None:
    """Delete queues, states, counters, messages, maps, pipelines, errors and progress; tasks,
    agents, locks and the log are never touched.

    With --run and --older-than: what is that old in the run.
    """
    if run is None and older_s is None:
        raise UsageError(
            "say what to delete: --run RUN, --older-than 2d, or both; --dry-run shows it first"
        )
    with opened() as octet:
        space = octet.run(run) if run is not None else octet
        found = [
            thing
            for thing in list_primitives(space.store, run, dated=older_s is not None)
            if (thing.idle_s or 0) >= (older_s or 0)
        ]
        gone = found if dry_run else _delete(octet, run, found, older_s)
    emit(
        {"dry_run": dry_run, "things": to_data(gone)},
        "\n".join([*map(_line, gone), _end(len(gone), dry_run)]),
        as_json,
    )


def _delete(
    octet: Octet, run: str | None, found: list[Primitive], older_s: float | None
) -> list[Primitive]:
    if older_s is not None:
        return [thing for thing in found if delete_unused(octet.store, thing, older_s)]
    if run is not None:
        octet.run(run).clear()  # what is no thing of ours as well
    return found


def _line(thing: Primitive) -> str:
    where = f" of run {thing.run}" if thing.run else ""
    idle = "" if thing.idle_s is None else f", not used for {thing.idle_s} s"
    return f"{thing.kind:<9} {plain(thing.name, 100)}{where}{idle}"


def _end(count: int, dry_run: bool) -> str:
    return f"{count} to delete" if dry_run else f"{count} deleted"
