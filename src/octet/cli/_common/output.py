"""What commands print: a line or a table for people, JSON for programs.

Text from elsewhere cannot move the cursor: it is made `plain` where its line is built, and `emit`
removes once more all that a terminal acts on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import click

from octet.base.errors import Refused
from octet.base.text import plain

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def emit(value: Any, line: str, as_json: bool) -> None:
    """Print `value` as JSON, or `line`, which may be several lines."""
    text = json.dumps(to_data(value), ensure_ascii=True) if as_json else visible(line)
    if text:
        click.echo(text)


def visible(text: str) -> str:
    """`text` without the characters that a terminal acts on; line ends and tabs stay."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
    )


def to_data(value: Any) -> Any:
    """Dataclasses as dicts, at any depth of a list."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    return value


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns; cells are made plain."""
    cells = [list(headings), *[[plain(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def confirmed(question: str) -> bool:
    """Ask a person, on stderr.

    Raises:
        Refused: there is no terminal to answer from.
    """
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        click.echo(err=True)  # the question has no line end of its own
        raise Refused("no terminal to confirm it: add --yes if you are sure") from error
