"""Files of pipeline steps and their commands: JSON, TOML or Markdown.

JSON: `{"search": "rg -l x", "report": "wc -l"}`. TOML: the same below `[steps]`. Markdown: list
items with the command in backquotes:

    - search: `rg -l x`
    - report: `wc -l`
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octet.base.errors import UsageError
from octet.base.files import read_text

MAX_BYTES = 256 * 1024
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+([^\s:`][^:`]*?)\s*:\s*(`+)\s*(.+?)\s*\2\s*")


def read_steps(path: Path) -> dict[str, str]:
    """Step → command, in the order of the file.

    Raises:
        UsageError: the file cannot be read, has no steps, or has one that is no text.
    """
    text = read_text(path, MAX_BYTES)
    readers = {
        ".json": _from_json,
        ".toml": _from_toml,
        ".md": _from_markdown,
        ".markdown": _from_markdown,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: name the file .json, .toml or .md")
    try:
        return _checked(path, reader(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def read_step(text: str) -> tuple[str, str]:
    """Parse `NAME=COMMAND`.

    Raises:
        UsageError: it has another form.
    """
    name, equals, command = text.partition("=")
    if not name.strip() or not equals or not command.strip():
        raise UsageError(f"write a step as NAME=COMMAND, such as 'count=wc -l', not {text[:80]!r}")
    return name.strip(), command.strip()


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_each_once)


def _from_toml(text: str) -> Any:
    return tomllib.loads(text).get("steps")


def _from_markdown(text: str) -> Any:
    return _each_once(
        [(match[1], match[3]) for line in text.splitlines() if (match := _ITEM.fullmatch(line))]
    )


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("two steps have the same name")
    return found


def _checked(path: Path, steps: Any) -> dict[str, str]:
    if not isinstance(steps, Mapping) or not steps:
        raise UsageError(
            f'{path} has no steps: write {{"NAME": "COMMAND"}}, [steps] with NAME = '
            '"COMMAND", or - NAME: `COMMAND`'
        )
    if wrong := [
        name
        for name, command in steps.items()
        if not isinstance(command, str) or not command.strip()
    ]:
        raise UsageError(f"{path}: step {wrong[0]!r} has no command")
    return dict(steps)
