"""`octet errors …`"""

from __future__ import annotations

import click

from octet.base.text import plain
from octet.cli._common.primitives import Output, Verbs, show
from octet.patterns.errors import MAX_FAIL_FAST, ErrorCount, Errors, ReportedError
from octet.patterns.runs import Space

errors_group = Verbs(
    "errors", Space.errors, "Errors that many report: add, list, count, check, limit, clear."
)
number = click.IntRange(0, MAX_FAIL_FAST)


@errors_group.verb("add", ttl=True)
@click.argument("texts", metavar="TEXT…", nargs=-1, required=True)
@click.option("--item", default="", help="The item that they are about.")
@click.option(
    "--fail-fast", type=number, metavar="N", help="N errors stop the work; 0: no number does."
)
def add(
    errors: Errors, worker: str, texts: tuple[str, ...], item: str, fail_fast: int | None
) -> Output:
    """Report errors. Exit code 1 when the errors stop the work: begin nothing new then."""
    found = errors.add(*texts, item=item, by=worker, fail_fast=fail_fast)
    return _counted(errors, found)._replace(code=int(found.stopped))


@errors_group.verb("list")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Maximum number of errors, the last ones.",
)
def list_errors(errors: Errors, count: int) -> Output:
    """Show the errors, oldest first."""
    found = errors.list(count)
    return Output(found, "\n".join(map(_shown, found)) or "no errors")


@errors_group.verb("count")
def count_errors(errors: Errors) -> Output:
    """Print the number of errors ever reported."""
    found = errors.count()
    return _counted(errors, found)._replace(text=str(found.count))


@errors_group.verb("check")
@click.option(
    "--fail-fast", type=number, default=0, metavar="N", help="Refuse at N, whatever the limit is."
)
def check(errors: Errors, fail_fast: int) -> Output:
    """Check that the work may go on: exit code 1 when the errors stop it."""
    return _counted(errors, ErrorCount(errors.check(fail_fast), stopped=False))


@errors_group.verb("limit", ttl=True)
@click.argument("fail_fast", metavar="N", type=number)
def limit(errors: Errors, fail_fast: int) -> Output:
    """Let N errors stop the work, earlier ones included; 0: no number does."""
    return _counted(errors, errors.limit(fail_fast))


@errors_group.verb("clear")
def clear(errors: Errors) -> Output:
    """Delete the errors and their limit, even if there are none yet."""
    gone = errors.clear()
    return Output({"errors": errors.name, "cleared": gone}, f"cleared {gone} errors")


def _counted(errors: Errors, found: ErrorCount) -> Output:
    data = {"errors": errors.name, "count": found.count, "stopped": found.stopped}
    end = ": the work is to stop" if found.stopped else ""
    return Output(data, f"{found.count} errors{end}")


def _shown(error: ReportedError) -> str:
    about = f" ({show(error.item, 120)})" if error.item is not None else ""
    return f"{plain(error.by, 80)}{': ' if error.by else ''}{plain(error.text, 500)}{about}"
