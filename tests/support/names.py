"""The names that the package's modules define at their top level.

Run `python -m tests.support.names` to list those that stand in two modules or more.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "octet"


def defined(source: Path = SOURCE) -> Iterator[tuple[str, str]]:
    """Each public name with its module, a path below `source`: `Task`, core/tasks/record.py."""
    for path in sorted(source.rglob("*.py")):
        where = path.relative_to(source).as_posix()
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            yield from ((name, where) for name in _names(statement) if not name.startswith("_"))


def duplicates(source: Path = SOURCE) -> Mapping[str, Sequence[str]]:
    """The classes, type aliases and functions that two modules or more define.

    Constants are left out (a module's limits and time-outs are its own), and so are the functions
    of `octet.cli`: each carries the name of its command.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for name, where in defined(source):
        if name.isupper() or len(name) == 1 or (name.islower() and where.startswith("cli/")):
            continue
        places[name].append(where)
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def _names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign():
            return [target.id for target in statement.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


if __name__ == "__main__":
    for name, where in duplicates().items():
        print(f"{name:24}{'  '.join(where)}")
