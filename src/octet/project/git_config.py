"""Git's configuration files, read by hand: sections without a subsection, and no includes.

section(Path.home() / ".gitconfig", "alias")      # {"ci": "commit", "pub": "!git push origin HEAD"}
"""

from __future__ import annotations

import re
from pathlib import Path

_SIZE_LIMIT = 1 << 20
_HEADER = re.compile(r'\[\s*([A-Za-z0-9.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\](.*)')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}


def section(path: Path, name: str) -> dict[str, str]:
    """Keys (in lower case) and last values of the section `name`; {} when there is no such file."""
    found: dict[str, str] = {}
    current = ""
    for line in _logical_lines(path):
        text = line.strip()
        if header := _HEADER.match(text):
            current = header[1].lower() if header[2] is None else ""
            text = header[3].strip()
        if current == name and text[:1].isalpha():
            key, equals, value = text.partition("=")
            found[key.strip().lower()] = _value(value) if equals else "true"
    return found


def _logical_lines(path: Path) -> list[str]:
    try:
        if not path.is_file():  # a FIFO in its place would block us for ever
            return []
        with path.open("rb") as file:
            text = file.read(_SIZE_LIMIT).decode("utf-8", "surrogateescape")
    except (OSError, ValueError):
        return []
    return re.sub(r"(?<!\\)((?:\\\\)*)\\\r?\n", r"\1", text).splitlines()


def _value(written: str) -> str:
    """A value as git reads it: without quotes, escapes and a comment outside of quotes."""
    parts: list[str] = []
    quoted = False
    characters = iter(written.strip())
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            parts.append(_ESCAPES.get(escaped, escaped))
        elif character == '"':
            quoted = not quoted
        elif character in "#;" and not quoted:
            break
        else:
            parts.append(character)
    return "".join(parts).strip()
