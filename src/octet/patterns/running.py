"""Work in progress of the primitives: every progress, map and pipeline that is not done, in the
project and its runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from octet.base.errors import NothingThere
from octet.patterns.inventory import primitive_names
from octet.patterns.map import reading_of
from octet.patterns.pipeline import StepState
from octet.patterns.progress import Reading
from octet.patterns.runs import Space
from octet.store.scripts import Store

SHOWN_KINDS = ("progress", "map", "pipeline")


@dataclass(frozen=True)
class Running:
    """One piece of work with its progress; a pipeline's counts its steps."""

    kind: str
    run: str
    reading: Reading


def list_running(store: Store) -> Iterator[Running]:
    """All work that is not done, by run and name; scans the whole keyspace in steps."""
    for run, kind, name in sorted(primitive_names(store)):
        if kind in SHOWN_KINDS:
            with suppress(NothingThere):  # it has gone meanwhile
                found = _read(Space(Store(store.client, replace(store.keys, run=run))), kind, name)
                if not found.done:
                    yield Running(kind, run, found)


def _read(space: Space, kind: str, name: str) -> Reading:
    if kind == "progress":
        return space.progress(name).read()
    if kind == "map":
        return reading_of(name, space.map(name).tally())
    steps = space.pipeline(name).steps()
    done = sum(step.state == StepState.DONE for step in steps)
    note = next((f"{step.name} {step.state}" for step in steps if step.state != StepState.DONE), "")
    moments = [step.at_ms for step in steps if step.at_ms]
    return Reading(
        name, done, len(steps), min(moments, default=0), max(moments, default=0), note=note
    )
