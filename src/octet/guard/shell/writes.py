"""Files that a shell script writes, moves or removes, as far as their names can be told.

    [write.path for write in shell_writes(parse("echo x > a.py && rm b.py", "/srv/shop"))]
    # ["/srv/shop/a.py", "/srv/shop/b.py"]

Redirections, and the programs of `programs`. A pattern stands for the files that it matches now.
Where only a part of a name is known (`> out/$X.log`) the path holds UNKNOWN. A wholly unknown name
is left out, and so are files that a program writes without being told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from pathlib import Path
from typing import NamedTuple

from octet.guard.shell.programs import PROGRAMS, Operand, operands_of
from octet.guard.shell.run import SimpleCommand
from octet.guard.shell.script import ShellScript
from octet.guard.shell.words import UNKNOWN, Word

# How much one script may read of directories: their entries, and the files that its patterns match.
_ENTRY_LIMIT = 4000
_MATCH_LIMIT = 500
_PATTERN_LIMIT = 40
_PATTERN = re.compile(r"[*?\[]")


class Write(NamedTuple):
    """One path, absolute but not resolved, with UNKNOWN for any text. `removes`: it is removed or
    replaced. `makes`: a directory, made if it is not there.
    """

    path: str
    removes: bool = False
    makes: bool = False


def shell_writes(script: ShellScript) -> Iterator[Write]:
    """Every path that the script is seen to change, in order."""
    matcher = _Matcher()
    for command in script.commands:
        if not command.redirects and command.program not in PROGRAMS:
            continue
        for directory in _directories(command):
            for operand in _command_writes(command, directory, matcher):
                if path := _absolute(directory, operand):
                    yield Write(path, operand.removes, operand.makes)


def _directories(command: SimpleCommand) -> Iterator[str | None]:
    """Where it may run. A `cd` before it may have failed, if there is no such directory: then also
    where that began.
    """
    yield command.directory
    yield from command.also
    if command.fallback and command.directory and not _is_directory(command.directory):
        yield from command.fallback


def _command_writes(
    command: SimpleCommand, directory: str | None, matcher: _Matcher
) -> Iterator[Operand]:
    for redirect in command.redirects:
        if ">" in redirect.operator:
            for path in matcher.expand(redirect.target, directory):
                yield Operand(path)
    if command.program in PROGRAMS:
        words = [text for word in command.words[1:] for text in matcher.expand(word, directory)]
        yield from operands_of(command.program, words)


def _absolute(directory: str | None, operand: Operand) -> str | None:
    path = operand.path
    if not path or path.startswith(UNKNOWN) or (directory is None and not path.startswith("/")):
        return None
    path = path if path.startswith("/") else f"{directory}/{path}"
    return f"{path}/{operand.name}" if operand.name and _is_directory(path) else path


def _is_directory(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


class _Matcher:
    """Expands patterns as the shell does, at a bounded cost; beyond it, to a partial path."""

    def __init__(self) -> None:
        self._entries = _ENTRY_LIMIT
        self._matches = _MATCH_LIMIT
        self._patterns = _PATTERN_LIMIT

    def expand(self, word: Word, directory: str | None) -> Sequence[str]:
        """The words that one word becomes."""
        if not word.glob or word.template.startswith("-"):
            return (word.template,)
        vague = re.sub(r"\*+|\?|\[[^]/]*\]", UNKNOWN, word.template)
        if UNKNOWN in word.template or (directory is None and not word.template.startswith("/")):
            return (vague,)
        found = self._match(word.template, directory or "/")
        return (vague,) if found is None else found or (word.template,)

    def _match(self, pattern: str, directory: str) -> list[str] | None:
        """The paths that match, relative or absolute as the pattern is; None where finding them
        would take too long.
        """
        paths = ["/" if pattern.startswith("/") else ""]
        for part in pattern.split("/"):
            if not part:
                continue
            if _PATTERN.search(part):
                self._patterns -= 1
                if self._patterns < 0:
                    return None
                regular = re.compile(translate(part.replace("[^", "[!")))
                paths = [
                    path
                    for begin in paths
                    for path in self._below(begin, directory, regular, hidden=part.startswith("."))
                ]
            else:
                paths = [f"{begin}{part}/" for begin in paths]
            if self._entries < 0 or len(paths) > self._matches:
                return None
        self._matches -= len(paths)
        found = [path.rstrip("/") if not pattern.endswith("/") else path for path in paths]
        # Not Path(), which would drop "./".
        return [path for path in found if os.path.lexists(os.path.join(directory, path))]  # noqa: PTH118

    def _below(
        self, begin: str, directory: str, regular: re.Pattern[str], *, hidden: bool
    ) -> Iterator[str]:
        try:
            with os.scandir(os.path.join(directory, begin)) as entries:  # noqa: PTH118
                for entry in entries:
                    self._entries -= 1
                    if self._entries < 0:
                        return
                    if (hidden or not entry.name.startswith(".")) and regular.match(entry.name):
                        yield f"{begin}{entry.name}/"
        except (OSError, ValueError):
            return
