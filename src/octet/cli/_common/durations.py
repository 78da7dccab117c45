"""Times on the command line."""

from __future__ import annotations

import math
from typing import Any

import click

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_S = 30 * 86400


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A time such as 90s, 10m or 2h, in seconds; `never`, where allowed, is infinite."""

    name = "time"

    def __init__(self, *, never: bool = False) -> None:
        self._never = never

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; anything else is a usage error."""
        if self._never and value == "never":
            return math.inf
        number, unit = (
            (value[:-1], UNITS_S.get(value[-1:])) if isinstance(value, str) else (value, 1)
        )
        try:
            seconds = float(number) * (unit or float("nan"))
        except ValueError:
            seconds = float("nan")
        if not (0 <= seconds <= MAX_S or (self._never and seconds == math.inf)):
            self.fail(
                f"{value!r} is no time: write it as 90s, 10m or "
                f"2h{' (or never)' if self._never else ''}",
                param,
                ctx,
            )
        return seconds
