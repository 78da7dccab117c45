"""Plan files: Markdown, JSON and YAML, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.core.tasks.plan_files import read_plan
from octet.core.tasks.plans import NewTask

MARKDOWN = """# Checkout
Prose that is no task.

- [schema] Add the table
  paths: db/**, sql/*.sql
  priority: 10
- [ ] Show the form
  after: schema
  needs: frontend
  accept: it refuses an empty street
  What is to be done,
  in two lines.
"""


JSON = """{
  "tasks": [
    {"title": "Add the table", "id": "schema", "paths": ["db/**", "sql/*.sql"], "priority": 10,
     "feature": "Checkout"},
    {"title": "Show the form", "after": ["schema"], "needs": ["frontend"], "feature": "Checkout",
     "accept": "it refuses an empty street", "description": "What is to be done,\\nin two lines."}
  ]
}"""


PLAN = [
    NewTask(
        "Add the table", id="schema", paths=("db/**", "sql/*.sql"), priority=10, feature="Checkout"
    ),
    NewTask(
        "Show the form",
        after=("schema",),
        needs=("frontend",),
        accept="it refuses an empty street",
        feature="Checkout",
        description="What is to be done,\nin two lines.",
    ),
]


@pytest.mark.parametrize(
    ("name", "text", "lines"), [("plan.md", MARKDOWN, [4, 7]), ("plan.json", JSON, [3, 5])]
)
def test_a_plan_is_read(tmp_path: Path, name: str, text: str, lines: list[int]) -> None:
    """The same plan in either form gives the same tasks, each with the line on which it begins."""
    (tmp_path / name).write_text(text)
    found = read_plan(tmp_path / name)
    assert [planned.task for planned in found] == PLAN
    assert [planned.line for planned in found] == lines


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        (
            "plan.json",
            '[\n{"title": "a"},\n{"title": "b", "colour": "red"}]',
            r"plan.json:3: .*colour",
        ),
        ("plan.json", '[\n{"title": "a",}]', "plan.json:2: .*not valid JSON"),
        ("plan.json", "[" * 100_000, "plan.json:1: .*not valid JSON"),
        ("plan.json", '[{"title": 5}]', "plan.json:1: title is a text"),
        ("plan.json", '[{"title": "a", "priority": true}]', "priority is a number"),
        ("plan.json", "{}", "a plan is a list"),
        ("plan.json", "[]", "no tasks"),
        ("plan.md", "- a\n- b\n  priority: high\n", "plan.md:3: priority is a number"),
        ("plan.md", "- a\n- b\n  gates: merge review\n", "plan.md:2: gates"),
        ("plan.md", "- [a b] c\n", "plan.md:1: task id"),
        ("plan.txt", "- a\n", "reads plans named .json"),
        ("plan.md", "\0\udcff", "cannot be read"),
    ],
)
def test_what_is_no_plan(tmp_path: Path, name: str, text: str, where: str) -> None:
    """The error names the file and the line."""
    (tmp_path / name).write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError, match=where):
        read_plan(tmp_path / name)
