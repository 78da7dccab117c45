"""Plan files: JSON, Markdown, or YAML where PyYAML is installed. Every error names file and line.

A JSON or YAML file is a list of tasks, or has one under `tasks`; a task has the fields of
`NewTask`. In Markdown a task is a list item, with its id, if any, in brackets; its fields and
its description are indented below it, and the heading above is its feature:

    # Checkout
    - [schema] Add the address table
      paths: db/**
      priority: 10
    - [form] Show the address form
      after: schema
      needs: frontend
      accept: the form refuses an empty street
      The description, in any number of lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from octet.base.errors import UsageError
from octet.base.files import read_text
from octet.core.tasks.plans import NewTask, check_task

MAX_BYTES = 4 * 1024 * 1024
FIELDS = tuple(field.name for field in fields(NewTask))
LISTS = frozenset({"labels", "paths", "needs", "after", "gates"})
_ITEM = re.compile(r"[-*+]\s+(?:\[\s*([^\]]*?)\s*\]\s+)?(\S.*)")
_HEADING = re.compile(r"#+\s+(.*?)\s*#*\s*")
_FIELD = re.compile(r"\s+(?:[-*+]\s+)?([a-z_]+):\s+(\S.*?)\s*")


@dataclass(frozen=True)
class Planned:
    """A task of a plan file, and the line on which it begins."""

    task: NewTask
    line: int


def read_plan(path: Path) -> Sequence[Planned]:
    """The tasks of a file, each checked on its own.

    Raises:
        UsageError: the file cannot be read, is no plan, or a field is out of bounds.
    """
    text = read_text(path, MAX_BYTES, ": split the plan")
    readers = {
        ".json": _from_json,
        ".yaml": _from_yaml,
        ".yml": _from_yaml,
        ".md": _from_markdown,
        ".markdown": _from_markdown,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: Octet reads plans named .json, .md or .yaml")
    found = [
        Planned(_task(record, f"{path}:{line}"), line) for record, line in reader(text, str(path))
    ]
    if not found:
        raise UsageError(f"{path} has no tasks")
    return found


Records = list[tuple[Mapping[str, Any], int]]


def _task(record: Mapping[str, Any], where: str) -> NewTask:
    for name, value in record.items():
        if name not in FIELDS:
            raise UsageError(
                f"{where}: a task has no field {str(name)[:80]!r}: choose from {', '.join(FIELDS)}"
            )
        if not _fits(name, value):
            raise UsageError(f"{where}: {name} is {_kind(name)}")
    values: dict[str, Any] = {
        name: tuple(value) if name in LISTS else value for name, value in record.items()
    }
    try:
        task = NewTask(**{"title": "", **values})
        check_task(task)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return task


def _fits(name: str, value: object) -> bool:
    if name in LISTS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name == "priority":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name == "max_attempts":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def _kind(name: str) -> str:
    return (
        "a list of texts"
        if name in LISTS
        else "a number"
        if name in {"priority", "max_attempts"}
        else "a text"
    )


def _from_json(text: str, path: str) -> Records:
    try:
        whole = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise UsageError(
            f"{path}:{line}: not valid JSON: {getattr(error, 'msg', 'nested too deep')}"
        ) from error
    records = _records(whole, path)
    at = (
        text.index("[", 0 if isinstance(whole, list) else text.rindex('"tasks"')) + 1
        if records
        else 0
    )
    found: Records = []
    decoder = json.JSONDecoder()
    for record in records:
        at = text.index("{", at)
        found.append((record, text.count("\n", 0, at) + 1))
        _, at = decoder.raw_decode(text, at)
    return found


def _records(whole: object, path: str) -> Sequence[Mapping[str, Any]]:
    records = whole.get("tasks") if isinstance(whole, dict) and set(whole) == {"tasks"} else whole
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UsageError(
            f"{path}: a plan is a list of tasks, each an object with a title, or an object with "
            "such a list under `tasks`"
        )
    return records


def _from_yaml(text: str, path: str) -> Records:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise UsageError(
            f"{path}: reading YAML needs PyYAML, which is not installed: write the plan as JSON "
            "or Markdown"
        ) from None
    try:
        node, records = yaml.compose(text, yaml.SafeLoader), _records(yaml.safe_load(text), path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(
            f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: "
            f"{getattr(error, 'problem', error)}"
        ) from error
    items = node.value[0][1].value if isinstance(node, yaml.MappingNode) else node.value
    return [(record, item.start_mark.line + 1) for record, item in zip(records, items, strict=True)]


def _from_markdown(text: str, path: str) -> Records:
    found: Records = []
    feature, record, fenced = "", None, False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= line.startswith("```")
        if fenced or not line.strip():
            continue
        if heading := _HEADING.fullmatch(line):
            feature, record = heading[1], None
        elif item := _ITEM.fullmatch(line):
            record = {"title": item[2].strip(), "feature": feature} | (
                {"id": item[1]} if item[1] not in {None, "", "x"} else {}
            )
            found.append((record, number))
        elif line[0].isspace() and record is not None:
            _add_line(record, line, f"{path}:{number}")
        else:
            record = None  # prose
    return found


def _add_line(record: dict[str, Any], line: str, where: str) -> None:
    field = _FIELD.fullmatch(line)
    if not field or field[1] not in FIELDS:
        before = f"{record['description']}\n" if "description" in record else ""
        record["description"] = before + line.strip()
        return
    name, value = field[1], field[2]
    if name in LISTS:
        record[name] = (
            [part for part in re.split(r"[,\s]+", value) if part]
            if name != "labels"
            else [p.strip() for p in value.split(",")]
        )
    elif name in {"priority", "max_attempts"}:
        try:
            record[name] = int(value) if name == "max_attempts" else float(value)
        except ValueError as error:
            raise UsageError(f"{where}: {name} is a number, not {value[:80]!r}") from error
    else:
        record[name] = value
