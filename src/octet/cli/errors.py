"""`octet errors …`"""

from __future__ import annotations

import click

from octet.base.text import plain
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.output import emit, json_option
from octet.cli.own_use import run_option, show, space, ttl_option
from octet.patterns.errors import MAX_FAIL_FAST, ReportedError

name_argument = click.argument("name")


@click.group()
def errors_group() -> None:
    """Errors that many report: add, list, count, check, limit, clear."""


@errors_group.command("add")
@name_argument
@click.argument("texts", metavar="TEXT…", nargs=-1, required=True)
@click.option("--item", default="", help="What it is about.")
@click.option(
    "--fail-fast",
    type=click.IntRange(0, MAX_FAIL_FAST),
    metavar="N",
    help="N errors stop the work; 0: however many.",
)
@ttl_option
@run_option
@json_option
def add(
    name: str,
    texts: tuple[str, ...],
    item: str,
    fail_fast: int | None,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> int:
    """Report errors. Exit code 1 when so many have come that the work is to stop: begin nothing new
    then.
    """
    with opened() as octet:
        worker, where = caller(octet).id, octet.run(run) if run else octet
        found = where.errors(name, ttl_s=ttl_s).add(
            *texts, item=item, by=worker, fail_fast=fail_fast
        )
    emit(
        {"errors": name, "count": found.count, "stopped": found.stopped},
        _line(found.count, found.stopped),
        as_json,
    )
    return int(found.stopped)


@errors_group.command("list")
@name_argument
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="The last so many.",
)
@run_option
@json_option
def list_errors(name: str, count: int, run: str | None, as_json: bool) -> None:
    """The errors, oldest first."""
    with space(run) as where:
        found = where.errors(name).list(count)
    emit(found, "\n".join(map(_shown, found)) or "no errors", as_json)


@errors_group.command("count")
@name_argument
@run_option
@json_option
def count_errors(name: str, run: str | None, as_json: bool) -> None:
    """How many there were."""
    with space(run) as where:
        found = where.errors(name).count()
    emit(
        {"errors": name, "count": found.count, "stopped": found.stopped}, str(found.count), as_json
    )


@errors_group.command("check")
@name_argument
@click.option(
    "--fail-fast",
    type=click.IntRange(0, MAX_FAIL_FAST),
    default=0,
    metavar="N",
    help="Stop at N, whatever was set.",
)
@run_option
@json_option
def check(name: str, fail_fast: int, run: str | None, as_json: bool) -> None:
    """Whether the work may go on: exit code 1 when the errors stop it."""
    with space(run) as where:
        found = where.errors(name).check(fail_fast)
    emit({"errors": name, "count": found, "stopped": False}, _line(found, stopped=False), as_json)


@errors_group.command("limit")
@name_argument
@click.argument("fail_fast", metavar="N", type=click.IntRange(0, MAX_FAIL_FAST))
@ttl_option
@run_option
@json_option
def limit(name: str, fail_fast: int, ttl_s: float | None, run: str | None, as_json: bool) -> None:
    """N errors stop the work, those that have come included; 0: none does."""
    with space(run) as where:
        found = where.errors(name, ttl_s=ttl_s).limit(fail_fast)
    emit(
        {"errors": name, "count": found.count, "stopped": found.stopped},
        _line(found.count, found.stopped),
        as_json,
    )


@errors_group.command("clear")
@name_argument
@run_option
@json_option
def clear(name: str, run: str | None, as_json: bool) -> None:
    """Delete the errors and their limit, also before there are any."""
    with space(run) as where:
        gone = where.errors(name).clear()
    emit({"errors": name, "cleared": gone}, f"cleared {gone} errors", as_json)


def _line(count: int, stopped: bool) -> str:
    return f"{count} errors: the work is to stop" if stopped else f"{count} errors"


def _shown(report: ReportedError) -> str:
    about = f" ({show(report.item, 120)})" if report.item is not None else ""
    return f"{plain(report.by, 80)}{': ' if report.by else ''}{plain(report.text, 500)}{about}"
