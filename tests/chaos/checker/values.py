"""Shared state and counters: each field and each counter a register of its own.

Versions are tokens, so that a field's history has its writes in a known order. Each setter of a
field writes values of its own. A read without an answer says nothing and is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from tests.chaos.checker.objects import check_object
from tests.chaos.checker.violation import Violation
from tests.chaos.history import Operation

FIELD_WRITES = {"set", "compare_and_set", "delete"}
UNHEARD = -1  # the version of a value whose writer never heard of it


class Field(NamedTuple):
    """`value` is "" and `version` 0 where the field is not there; `greatest` is the greatest
    version so far.
    """

    value: str = ""
    version: int = 0
    greatest: int = 0


class FieldModel:
    """One field of a shared state."""

    start = Field()

    def step(self, field: Field, op: Operation) -> Field | None:
        if op.name == "read":
            return _read(field, op.answer["value"], int(op.answer["version"]))
        if op.name == "compare_and_set":
            return _compare_and_set(field, op)
        if op.name == "delete":
            return (
                Field(greatest=field.greatest)
                if op.answered is None or bool(field.value) == op.answer["deleted"]
                else None
            )
        return _write(field, op)

    def likeness(self, op: Operation) -> Hashable:
        return (op.name, op.arguments.get("value"), op.arguments.get("version"))


def _read(field: Field, value: str, version: int) -> Field | None:
    if field.version == UNHEARD and value == field.value and version > field.greatest:
        return Field(value, version, version)
    return field if (value, version) == field[:2] else None


def _compare_and_set(field: Field, op: Operation) -> Field | None:
    expected = int(op.arguments["version"])
    if op.outcome == "conflict":
        now = _read(field, field.value, int(op.answer["version"]))
        return now if now and now.version != expected else None
    return _write(field, op) if field.version == expected else None


def _write(field: Field, op: Operation) -> Field | None:
    if op.answered is None:
        return Field(op.arguments["value"], UNHEARD, field.greatest)
    version = int(op.answer["version"])
    return Field(op.arguments["value"], version, version) if version > field.greatest else None


class CounterModel:
    """One counter."""

    start = 0

    def step(self, value: int, op: Operation) -> int | None:
        after = value + op.arguments.get("by", 0)
        return after if op.answered is None or after == op.answer["value"] else None

    def likeness(self, op: Operation) -> Hashable:
        return op.arguments.get("by")


def check_values(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Every field's and every counter's history on its own."""
    fields: dict[str, list[Operation]] = defaultdict(list)
    counters: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if "field" in op.arguments:
            fields[op.arguments["field"]].append(op)
        elif "counter" in op.arguments:
            counters[op.arguments["counter"]].append(op)
    for name, own in fields.items():
        yield from check_object(
            f"field {name}",
            [op for op in own if op.answered is not None or op.name in FIELD_WRITES],
            FieldModel(),
            lambda _: 2,
        )
    for name, own in counters.items():
        whole = [op for op in own if op.answered is not None or "by" in op.arguments]
        yield from check_object(f"counter {name}", whole, CounterModel(), lambda _: 2)
