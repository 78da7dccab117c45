"""A Claude Code settings file edited as text: our hooks go in and out, every other byte stays.

Loading and dumping the JSON would rewrite the user's line breaks, escapes and inline lists. So the
text is read with the standard decoder, which tells where each value ends, and spliced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import JSONDecodeError
from typing import Any

from octet.base.errors import ConfigError

Hooks = dict[str, list[dict[str, Any]]]

# Part of each hook that the drop-in adds, and of none that it does not: so that a later version
# knows an older one's.
MARK = ".claude/octet/launch"

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class _Child:
    """One member of an object or item of an array: where it starts (its key, in an object), where
    its value starts and ends.
    """

    key: str
    start: int
    value_at: int
    end: int
    value: Any


def add_hooks(text: str, hooks: Hooks) -> str:
    """`text` with `hooks` at the end of each event's list; unchanged where they are there already.

    Raises:
        ConfigError: the text is no JSON object, or its hooks are not of the client's shape.
    """
    if not text.strip():
        return json.dumps({"hooks": hooks}, indent=2) + "\n"
    if _ours_in(_read(text)) == hooks:
        return text
    text = remove_hooks(text)
    style = _Style.of(text)
    if "hooks" not in _read(text):
        return style.append(text, 1, [], "hooks", hooks)
    for event, groups in hooks.items():
        if event not in _read(text)["hooks"]:
            text = style.append(text, 2, ["hooks"], event, groups)
            continue
        for group in groups:
            text = style.append(text, 3, ["hooks", event], "", group)
    return text


def remove_hooks(text: str) -> str:
    """`text` without the hooks that `add_hooks` put there, and the lists that only they filled.

    Raises:
        ConfigError: as for `add_hooks`.
    """
    _read(text)
    while span := _first_ours(text):
        text = text[: span[0]] + text[span[1] :]
    return text


def _read(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text.removeprefix("\ufeff"))
    except JSONDecodeError as error:
        raise ConfigError(f"not valid JSON, line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise ConfigError("nested too deeply") from error
    if not isinstance(settings, dict):
        raise ConfigError("not a JSON object")
    hooks = settings.get("hooks", {})
    if not isinstance(hooks, dict) or not all(
        isinstance(groups, list) for groups in hooks.values()
    ):
        raise ConfigError('"hooks" is not an object of lists')
    return settings


def _ours_in(settings: dict[str, Any]) -> Hooks:
    found = {
        event: [group for group in groups if _only_ours(group)]
        for event, groups in settings.get("hooks", {}).items()
    }
    return {event: groups for event, groups in found.items() if groups}


def _only_ours(value: Any) -> bool:
    """Whether a hook, or all hooks of a group, an event's list or the `hooks` object, are ours."""
    if isinstance(value, dict):
        if MARK in json.dumps([value.get("command"), value.get("args")]):
            return True
        value = value.get("hooks", list(value.values()))
    return isinstance(value, list) and bool(value) and all(map(_only_ours, value))


def _first_ours(text: str) -> tuple[int, int] | None:
    """Span to cut for the first and widest part that is ours alone, its comma included."""
    top = _top(text)
    children = list(_children(text, top))
    for index, child in enumerate(children):
        if child.key == "hooks":
            return (
                _cut(text, top, children, index)
                if _only_ours(child.value)
                else _search(text, child.value_at, levels=3)
            )
    return None


def _search(text: str, at: int, levels: int) -> tuple[int, int] | None:
    children = list(_children(text, at))
    for index, child in enumerate(children):
        if _only_ours(child.value):
            return _cut(text, at, children, index)
        deeper = levels > 0 and isinstance(child.value, dict | list)
        if deeper and (span := _search(text, child.value_at, levels - 1)):
            return span
    return None


def _cut(text: str, at: int, children: list[_Child], index: int) -> tuple[int, int]:
    if index:
        return children[index - 1].end, children[index].end
    if len(children) > 1:
        return children[0].start, children[1].start
    return at + 1, _DECODER.raw_decode(text, at)[1] - 1


def _top(text: str) -> int:
    return _skip(text, 1 if text.startswith("\ufeff") else 0)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _children(text: str, at: int) -> Iterator[_Child]:
    """What the object or array that begins at `at` holds; the text is known to be valid JSON."""
    is_object = text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        start, key = at, ""
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        value, end = _DECODER.raw_decode(text, at)
        yield _Child(key, start, at, end, value)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


@dataclass(frozen=True)
class _Style:
    """How the file is written: a level's indent (None: all on one line) and the line ending."""

    indent: str | None
    newline: str

    @classmethod
    def of(cls, text: str) -> _Style:
        newline = "\r\n" if "\r\n" in text else "\n"
        first = re.compile(r'\{\s*?\n([ \t]+)"').match(text, _top(text))
        if first:
            return cls(first[1], newline)
        return cls(None if any(_children(text, _top(text))) else "  ", newline)

    def append(self, text: str, depth: int, path: list[str], key: str, value: Any) -> str:
        """Put a member (an item, if `key` is "") last in the container that `path` leads to,
        `depth` levels in.
        """
        at = _top(text)
        for step in path:
            at = next(
                child.value_at for child in reversed(list(_children(text, at))) if child.key == step
            )
        rendered = json.dumps(value, indent=self.indent, ensure_ascii=False)
        if key:
            rendered = f"{json.dumps(key)}: {rendered}"
        last = [child.end for child in _children(text, at)]
        if self.indent is None:
            return (
                _splice(text, last[-1], f", {rendered}")
                if last
                else _splice(text, at + 1, rendered)
            )
        pad = self.newline + self.indent * depth
        rendered = pad + rendered.replace("\n", pad)
        if last:
            return _splice(text, last[-1], "," + rendered)
        end = _DECODER.raw_decode(text, at)[1]
        return (
            text[: at + 1] + rendered + self.newline + self.indent * (depth - 1) + text[end - 1 :]
        )


def _splice(text: str, at: int, new: str) -> str:
    return text[:at] + new + text[at:]
