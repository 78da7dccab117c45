"""Files that a shell script writes, moves or removes, as far as their names are written out.

    [write.path for write in shell_writes(parse("echo x > a.py && rm b.py", "/srv/shop"))]   # ["/srv/shop/a.py", "/srv/shop/b.py"]

Redirections, `tee`, `sed -i`, `perl -i`, `mv`, `cp`, `ln`, `install`, `rm`, `touch`, `truncate` and `dd`. A name with a variable or a
pattern in it is passed over, and so is what a program writes by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from octet.guard.git_call import options
from octet.guard.shell import Script
from octet.guard.shell_run import Command
from octet.guard.shell_words import UNKNOWN, Word


class Write(NamedTuple):
    """One path, absolute but not resolved. `removes`: it goes away, or something else takes its place."""

    path: str
    removes: bool = False


class _Operand(NamedTuple):
    """A word that names a file. `name`: the file's name if the word turns out to be a directory."""

    path: str
    removes: bool = False
    name: str = ""


_Found = Iterator[_Operand]


def shell_writes(script: Script) -> Iterator[Write]:
    """Every path that the script is seen to change, in order."""
    for command in script.commands:
        for operand in _command_writes(command):
            for directory in _directories(command):
                if path := _absolute(directory, operand):
                    yield Write(path, operand.removes)


def _directories(command: Command) -> Iterator[str | None]:
    """Where it may run; where a `cd` before it may have failed, because there is no such directory, also where that began."""
    yield command.directory
    yield from command.also
    if command.fallback and command.directory and not _is_directory(command.directory):
        yield from command.fallback


def _command_writes(command: Command) -> _Found:
    for redirect in command.redirects:
        if ">" in redirect.operator and _literal(redirect.target):
            yield _Operand(redirect.target.template)
    if find := _PROGRAMS.get(command.program):
        # A pattern or a variable may stand for options and operands alike; only what is written out is taken.
        yield from find([word.template if _literal(word) else UNKNOWN for word in command.words[1:]])


def _literal(word: Word) -> bool:
    return UNKNOWN not in word.template and not word.glob and bool(word.template)


def _absolute(directory: str | None, operand: _Operand) -> str | None:
    path = operand.path
    if UNKNOWN in path or (directory is None and not path.startswith("/")):
        return None
    path = path if path.startswith("/") else f"{directory}/{path}"
    if not operand.name or not _is_directory(path):
        return path
    return None if UNKNOWN in operand.name else f"{path}/{operand.name}"


def _is_directory(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _tee(words: Sequence[str]) -> _Found:
    for operand in options(words)[1]:
        yield _Operand(operand)


def _touch(words: Sequence[str]) -> _Found:
    for operand in options(words, {"s", "size", "r", "reference", "d", "date", "t"})[1]:
        yield _Operand(operand)


def _remove(words: Sequence[str]) -> _Found:
    for operand in options(words)[1]:
        yield _Operand(operand, removes=True)


def _edit_in_place(words: Sequence[str]) -> _Found:
    flags, operands = options(words, {"e", "f", "expression", "file", "l", "line-length"})
    if "i" in flags or "in-place" in flags:
        for operand in operands if {"e", "f", "expression", "file"} & flags.keys() else operands[1:]:
            yield _Operand(operand)


def _perl(words: Sequence[str]) -> _Found:
    flags, operands = options(words, {"e", "E", "I", "M", "m"})
    if "i" in flags:
        for operand in operands if {"e", "E"} & flags.keys() else operands[1:]:
            yield _Operand(operand)


def _move(words: Sequence[str]) -> _Found:
    sources, target = _transfer(words)
    for source in sources:
        yield _Operand(source, removes=True)
        yield _Operand(target, name=_name(source))


def _copy(words: Sequence[str]) -> _Found:
    sources, target = _transfer(words)
    for source in sources:
        yield _Operand(target, name=_name(source))


def _transfer(words: Sequence[str]) -> tuple[list[str], str]:
    """Sources and target of `mv`, `cp`, `ln` and `install`."""
    flags, operands = options(words, {"t", "target-directory", "S", "suffix", "m", "mode", "o", "owner", "g", "group"})
    if directory := flags.get("t") or flags.get("target-directory"):
        return operands, directory
    return operands[:-1], operands[-1] if operands else ""


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _dd(words: Sequence[str]) -> _Found:
    for word in words:
        if word.startswith("of="):
            yield _Operand(word[3:])


_PROGRAMS: Mapping[str, Callable[[Sequence[str]], _Found]] = {
    "cp": _copy,
    "dd": _dd,
    "install": _copy,
    "ln": _copy,
    "mv": _move,
    "perl": _perl,
    "rm": _remove,
    "rmdir": _remove,
    "sed": _edit_in_place,
    "gsed": _edit_in_place,
    "tee": _tee,
    "touch": _touch,
    "truncate": _touch,
    "unlink": _remove,
}
