"""`octet event …`"""

from __future__ import annotations

import json

import click

from octet.cli.output import emit, json_option
from octet.cli.session import opened
from octet.errors import UsageError
from octet.events import Event
from octet.text import plain


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
@json_option
def watch(pattern: str, as_json: bool) -> None:
    """Show events as they come, until Ctrl-C; PATTERN such as 'task_*'."""
    with opened() as octet:
        for event in octet.events.watch(pattern):
            emit({"id": event.id, "type": event.type, **event.fields}, line_of(event), as_json)


@event_group.command("log")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def log(count: int, as_json: bool) -> None:
    """The last events, oldest first."""
    with opened() as octet:
        events = octet.events.log(count)
    emit([{"id": e.id, "type": e.type, **e.fields} for e in events], "\n".join(map(line_of, events)) or "no events", as_json)


def line_of(event: Event) -> str:
    """One event on one line."""
    shown = {name: value for name, value in event.fields.items() if name != "at_ms" and value != ""}
    facts = " ".join(f"{plain(name, 80)}={plain(str(value), 80)}" for name, value in shown.items())
    return f"{plain(event.id, 80)}  {plain(event.type, 80)}  {facts}"
