"""`octet event …`"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import click

from octet.base.errors import UsageError
from octet.base.text import plain
from octet.cli._common.context import opened
from octet.cli._common.durations import UNITS_S
from octet.cli._common.output import emit, json_option
from octet.core.messaging.events import Event, Events, Since

MAX_LOGGED = 50


class SinceParameter(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """An event's id, a moment such as 2026-11-22T10:00, or how long ago: 10m."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Since:
        """The value for `events.replay`; anything else is a usage error."""
        if not isinstance(value, str) or re.fullmatch(r"[0-9]+(-[0-9]+)?", value):
            return value  # type: ignore[no-any-return]
        try:
            if match := re.fullmatch(r"([0-9]+)([smhd])", value):
                return timedelta(seconds=int(match[1]) * UNITS_S[match[2]])
            moment = datetime.fromisoformat(value)
            moment.timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{value!r} is no id, no time such as 2026-11-22T10:00, and no 10m", param, ctx
            )
        return moment


since_option = click.option(
    "--since",
    type=SinceParameter(),
    metavar="ID|TIME|10m",
    help="Start after that event, at that time, or that long ago.",
)


@click.group()
def event_group() -> None:
    """Events: publish, watch, log."""


@event_group.command("publish")
@click.argument("event_type", metavar="TYPE")
@click.argument("fields", default="{}")
@json_option
def publish(event_type: str, fields: str, as_json: bool) -> None:
    """Publish an event; FIELDS is a JSON object."""
    try:
        parsed = json.loads(fields)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"FIELDS is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise UsageError('FIELDS is a JSON object, such as {"file": "a.py"}')
    with opened() as octet:
        octet.events.publish(event_type, parsed)
    emit({"type": event_type}, f"published {event_type}", as_json)


@event_group.command("watch")
@click.argument("pattern", default="*")
@since_option
@json_option
def watch(pattern: str, since: Since | None, as_json: bool) -> None:
    """Show events as they come, until Ctrl-C; PATTERN is such as 'task_*'. With --since, those in
    the log come first, none twice and none left out.

    After an outage of the server it goes on where it was; if the log was trimmed meanwhile, an
    event `log_trimmed` says so.
    """
    with opened() as octet:
        for event in octet.events.tail(since, pattern, _say_trouble):
            emit({"id": event.id, "type": event.type, **event.fields}, line_of(event), as_json)


def _say_trouble(why: str) -> None:
    click.echo(
        f"octet: {plain(why, 500)}; the events since then follow when it is back"
        if why
        else "octet: it is back",
        err=True,
    )


@event_group.command("log")
@click.argument("pattern", default="*")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 10_000),
    help="The last so many of them; default: 50, with --since all.",
)
@since_option
@json_option
def log(pattern: str, count: int | None, since: Since | None, as_json: bool) -> None:
    """The last events, oldest first, of the types that match PATTERN."""
    with opened() as octet:
        events = _logged(octet.events, pattern, since, count)
    emit(
        [{"id": e.id, "type": e.type, **e.fields} for e in events],
        "\n".join(map(line_of, events)) or "no events",
        as_json,
    )


def _logged(events: Events, pattern: str, since: Since | None, count: int | None) -> list[Event]:
    if since is None and pattern == "*":
        return events.log(count or MAX_LOGGED)
    found = list(events.replay("0" if since is None else since, pattern))
    return found[-count:] if count else found[-MAX_LOGGED:] if since is None else found


def line_of(event: Event) -> str:
    """One event on one line."""
    shown = {name: value for name, value in event.fields.items() if name != "at_ms" and value != ""}
    facts = " ".join(f"{plain(name, 80)}={plain(str(value), 80)}" for name, value in shown.items())
    return f"{plain(event.id, 80) or '-'}  {plain(event.type, 80)}  {facts}"
