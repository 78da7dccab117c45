"""What the commands for everybody's own use share: where things are, how long they live, times,
values.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from octet.base.errors import UsageError
from octet.base.text import plain
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.patterns.runs import Space
from octet.patterns.values import decode, encode

WAIT = "10m"
MAX_SHOWN = 300


run_option = click.option(
    "--run",
    metavar="RUN",
    envvar="OCTET_RUN",
    help="Act in this run instead of the project; default: OCTET_RUN.",
)
ttl_option = click.option(
    "--ttl",
    "ttl_s",
    type=Duration(never=True),
    metavar="TIME",
    help="Gone so long after its last use, or never; default: 24 h at least.",
)
text_option = click.option(
    "--text", "as_text", is_flag=True, help="Take values as texts, whatever they look like."
)


def wait_option(default: str, what: str) -> Callable[[Any], Any]:
    """`--wait TIME`."""
    return click.option(
        "--wait",
        "wait_s",
        type=Duration(),
        default=default,
        show_default=True,
        metavar="TIME",
        help=what,
    )


@contextmanager
def space(run: str | None) -> Iterator[Space]:
    """Where the command acts: in a run of the project, or in the project itself."""
    with opened() as octet:
        yield octet.run(run) if run else octet


def read_value(text: str, as_text: bool = False) -> Any:
    """A value from the command line: JSON, or text that does not look like it.

    Raises:
        UsageError: it begins like JSON and is none.
    """
    value = text if as_text else decode(text)
    if (
        not as_text
        and isinstance(value, str)
        and value == text
        and text.lstrip()[:1] in {"{", "[", '"'}
    ):
        raise UsageError(
            f"{plain(text, 80)} begins like JSON and is none: mend it, or add --text if it "
            "is meant as it is"
        )
    return value


def read_result(text: str, as_text: bool = False) -> Any:
    """`read_value` of the words, or of all of standard input where they are `-`."""
    return read_value(sys.stdin.read().rstrip("\n") if text == "-" else text, as_text)


def show(value: Any, most: int = 0) -> str:
    """A value for people: a text as it is, everything else as JSON; on one line of `most`
    characters where that is given.
    """
    text = value if isinstance(value, str) else encode(value)
    return plain(text, most) if most else text


def read_lines(stream: TextIO | None = None) -> list[str]:
    """The lines of standard input, or of another stream, without the empty ones."""
    stream = stream or sys.stdin
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")  # a file's name may be any bytes
    return [line for line in stream.read().split("\n") if line] if stream else []
