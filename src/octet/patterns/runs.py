"""The spaces of primitives: a project, or one of its runs, which is deleted as a whole.

with octet.connect() as project:
    run = project.run("2026-11-22")
    run.queue("analysis").push("src/app.ts")
    run.clear()
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from octet.base.errors import UsageError
from octet.patterns.counter import Counter
from octet.patterns.errors import Errors
from octet.patterns.key_values import KeyValues
from octet.patterns.map import Map
from octet.patterns.pipeline import Pipeline
from octet.patterns.progress import Progress
from octet.patterns.queue import Queue
from octet.patterns.state import State
from octet.store.scan import delete_keys, scan_keys
from octet.store.scripts import Store

# kind → the beginnings of its keys' names, behind that of the project or run.
KINDS = {
    "queue": (
        "queue:",
        "queues:leased:",
        "queues:returned:",
        "queues:items:",
        "queues:dead:",
        "queues:stats:",
    ),
    "state": ("state:", "states:versions:"),
    "counter": ("counter:",),
    "kv": ("kv:",),
    "map": ("map:",),
    "pipeline": ("pipeline:",),
    "error": ("error:", "errors:policy:"),
    "progress": ("progress:",),
}


class Space:
    """The primitives under one prefix. `ttl_s`: their life after a use (None: at least 24 h)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def queue(self, name: str, *, ttl_s: float | None = None) -> Queue:
        """A work queue, which need not exist yet.

        Raises:
            UsageError: the name or the time is invalid. So for all kinds.
        """
        return Queue(self.store, name, ttl_s)

    def state(self, name: str, *, ttl_s: float | None = None) -> State:
        """A shared state."""
        return State(self.store, name, ttl_s)

    def counter(self, name: str, *, ttl_s: float | None = None) -> Counter:
        """A counter."""
        return Counter(self.store, name, ttl_s)

    def map(self, name: str, *, ttl_s: float | None = None) -> Map:
        """A map: many items, each done by one of many workers."""
        return Map(self.store, name, ttl_s)

    def pipeline(self, name: str, *, ttl_s: float | None = None) -> Pipeline:
        """A pipeline: steps in order."""
        return Pipeline(self.store, name, ttl_s)

    def errors(self, name: str, *, ttl_s: float | None = None) -> Errors:
        """A list of errors."""
        return Errors(self.store, name, ttl_s)

    def progress(self, name: str, *, ttl_s: float | None = None) -> Progress:
        """The progress of a piece of work."""
        return Progress(self.store, name, ttl_s)

    @property
    def kv(self) -> KeyValues:
        """The values under keys."""
        return KeyValues(self.store)

    def names(self, kind: str) -> list[str]:
        """The names of one kind (of `KINDS`); scans the whole keyspace in steps."""
        starts = [self.store.keys.own + start for start in KINDS[kind]]
        found = {
            key.removeprefix(start)
            for key in scan_keys(self.store, starts[0][:-1])
            for start in starts
            if key.startswith(start)
        }
        return sorted(found)


class Run(Space):
    """One run of a project, with primitives of its own that are deleted together."""

    def __init__(self, store: Store, name: str) -> None:
        if not name:
            raise UsageError("a run has a name")
        super().__init__(Store(store.client, replace(store.keys, run=name)))
        self.name = name

    def keys(self) -> Iterator[str]:
        """The names of all its keys."""
        return scan_keys(self.store, self.store.keys.own)

    def clear(self) -> int:
        """Delete all keys of the run, and no others; returns their number."""
        return delete_keys(self.store, self.store.keys.own)
