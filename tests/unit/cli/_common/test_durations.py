"""Times on the command line: units, bounds, and what is no time."""

from __future__ import annotations

import math

import click
import pytest

from octet.cli._common.durations import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1.5h", 5400),
        ("30d", 2592000),
    ],
)
def test_units(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "x", "-1s", "31d", "nan", "inf", "90", "1w", "never", "1 h 2"]
)
def test_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time: write it as 90s, 10m or 2h"):
        Duration().convert(text, None, None)


def test_never_where_it_is_allowed() -> None:
    assert Duration(never=True).convert("never", None, None) == math.inf
