"""The files that each program writes, moves or removes, by its words: one function a program.

    [operand.path for operand in operands_of("mv", ["-t", "lib", "a.py"])]      # ["a.py", "lib"]

A path may hold UNKNOWN, for text that only the running program knows: "src/\\0" is something below
src. `docs/commands-seen.md` is made of this table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from octet.guard.shell.options import parse_options
from octet.guard.shell.words import UNKNOWN
from octet.guard.shell.wrappers import found_by

BELOW = f"/{UNKNOWN}"


class Operand(NamedTuple):
    """A word that names a file. `name`: the file's name if the word turns out to be a directory.
    `makes`: a directory, made if it is not there.
    """

    path: str
    removes: bool = False
    name: str = ""
    makes: bool = False


Operands = Iterator[Operand]
Program = Callable[[Sequence[str]], Operands]


def operands_of(program: str, words: Sequence[str]) -> Operands:
    """The files that `program` changes when called with `words`, its own name left out; none for an
    unknown program.
    """
    if find := PROGRAMS.get(program):
        yield from find(words)


def _each(valued: str = "", *, removes: bool = False, skip: int = 0) -> Program:
    """Every operand behind the first `skip`; `valued` are options that take the next word."""

    def find(words: Sequence[str]) -> Operands:
        for operand in parse_options(words, valued)[1][skip:]:
            yield Operand(operand, removes)

    return find


def _output(*names: str) -> Program:
    """Only what an option names: `sort -o FILE`."""

    def find(words: Sequence[str]) -> Operands:
        flags, _ = parse_options(words, " ".join(names))
        for name in names:
            if name in flags:
                yield Operand(flags[name])

    return find


def _changes_attributes(words: Sequence[str]) -> Operands:
    """`chmod`, `chown` and such: the first operand is what to set, except with `--reference`."""
    flags, operands = parse_options(words, "reference from")
    for operand in operands if "reference" in flags else operands[1:]:
        yield Operand(f"{operand}{BELOW}" if "R" in flags or "recursive" in flags else operand)


def _make_directory(words: Sequence[str]) -> Operands:
    for operand in parse_options(words, "m mode")[1]:
        yield Operand(operand, makes=True)


def _sed(words: Sequence[str]) -> Operands:
    flags, operands = parse_options(words, "e f expression file l line-length")
    if "i" in flags or "in-place" in flags:
        for operand in (
            operands if {"e", "f", "expression", "file"} & flags.keys() else operands[1:]
        ):
            yield Operand(operand)


def _perl(words: Sequence[str]) -> Operands:
    flags, operands = parse_options(words, "e E I M m")
    if "i" in flags:
        for operand in operands if {"e", "E"} & flags.keys() else operands[1:]:
            yield Operand(operand)


def _awk(words: Sequence[str]) -> Operands:
    flags, operands = parse_options(words, "f file v assign F i include")
    if "inplace" in (flags.get("i"), flags.get("include")):
        for operand in operands if {"f", "file"} & flags.keys() else operands[1:]:
            yield Operand(operand)


def _move(words: Sequence[str]) -> Operands:
    sources, target = _transfer(words)
    for source in sources:
        yield Operand(source, removes=True)
        yield Operand(target, name=_name(source))


def _copy(words: Sequence[str]) -> Operands:
    sources, target = _transfer(words)
    for source in sources:
        yield Operand(target, name=_name(source))


def _link(words: Sequence[str]) -> Operands:
    """`ln -s TARGET` makes a link of the target's name here."""
    sources, target = _transfer(words)
    if target and not sources:
        sources, target = [target], "."
    for source in sources:
        yield Operand(target, name=_name(source))


def _install(words: Sequence[str]) -> Operands:
    flags, operands = parse_options(words, "m mode o owner g group t target-directory S suffix")
    if "d" in flags or "directory" in flags:
        for operand in operands:
            yield Operand(operand, makes=True)
    else:
        yield from _copy(words)


def _transfer(words: Sequence[str]) -> tuple[list[str], str]:
    """Sources and target of `mv`, `cp`, `ln` and `install`."""
    flags, operands = parse_options(words, "t target-directory S suffix m mode o owner g group")
    if directory := flags.get("t") or flags.get("target-directory"):
        return operands, directory
    return operands[:-1], operands[-1] if operands else ""


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _dd(words: Sequence[str]) -> Operands:
    for word in words:
        if word.startswith("of="):
            yield Operand(word[3:])


def _rsync(words: Sequence[str]) -> Operands:
    """Into a directory on this machine; with --delete, and for what it finds below its sources, the
    names are not known.
    """
    valued = (
        "e rsh f filter exclude include exclude-from include-from files-from T temp-dir port "
        "backup-dir link-dest compare-dest copy-dest bwlimit chmod chown"
    )
    flags, operands = parse_options(words, valued)
    if (
        len(operands) < 2
        or {"n", "dry-run", "list-only"} & flags.keys()
        or re.match(r"[^/]*:", operands[-1])
    ):
        return
    target = operands[-1].rstrip("/") or "/"
    for source in operands[:-1]:
        recursive = {"a", "r", "archive", "recursive"} & flags.keys()
        yield Operand(f"{target}{BELOW}") if recursive else Operand(target, name=_name(source))
    if "remove-source-files" in flags:
        for source in operands[:-1]:
            yield Operand(f"{source.rstrip('/')}{BELOW}", removes=True)


def _tar(words: Sequence[str]) -> Operands:
    """The archive that it makes, or unknown files below the directory of `-C`."""
    words = (
        [f"-{words[0]}", *words[1:]]
        if words and re.fullmatch(r"[A-Za-z]+", words[0])
        else list(words)
    )
    flags, _ = parse_options(
        words,
        "f file C directory T X exclude files-from transform strip-components",
    )
    archive = flags.get("f") or flags.get("file") or ""
    if {"x", "extract", "get"} & flags.keys() and not {"O", "to-stdout"} & flags.keys():
        yield Operand(f"{flags.get('C') or flags.get('directory') or '.'}{BELOW}")
    elif {
        "c",
        "create",
        "r",
        "append",
        "u",
        "update",
        "A",
        "delete",
    } & flags.keys() and archive not in ("", "-"):
        yield Operand(archive)


def _unzip(words: Sequence[str]) -> Operands:
    flags, operands = parse_options(words, "d x P")
    if operands and not {"l", "p", "t", "v", "z", "Z"} & flags.keys():
        yield Operand(f"{flags.get('d', '.').rstrip('/') or '/'}{BELOW}")


def _zip(words: Sequence[str]) -> Operands:
    operands = parse_options(words, "x i b n t P")[1]
    for operand in operands[:1]:
        yield Operand(operand if operand.endswith((".zip", UNKNOWN)) else f"{operand}.zip")


def _patch(words: Sequence[str]) -> Operands:
    """The file that is named, else unknown files."""
    flags, operands = parse_options(
        words,
        "p strip i input o output r reject-file d directory F fuzz D B",
    )
    directory = flags.get("d") or flags.get("directory")
    if "dry-run" in flags:
        return
    if target := flags.get("o") or flags.get("output") or "".join(operands[:1]):
        yield Operand(
            target if not directory or target.startswith("/") else f"{directory}/{target}"
        )
    else:
        yield Operand(f"{directory or '.'}{BELOW}")


def _packed(ending: str) -> Program:
    """`gzip FILE`: FILE goes, FILE.gz comes."""

    def find(words: Sequence[str]) -> Operands:
        flags, operands = parse_options(words, "S suffix T threads")
        if {"c", "stdout", "to-stdout", "t", "test", "l", "list"} & flags.keys():
            return
        unpacks = {"d", "decompress", "uncompress"} & flags.keys()
        for operand in operands:
            yield Operand(operand, removes=not {"k", "keep"} & flags.keys())
            yield Operand(operand.removesuffix(ending) if unpacks else f"{operand}{ending}")

    return find


def _unpacked(ending: str) -> Program:
    return lambda words: _packed(ending)(["-d", *words])


def _curl(words: Sequence[str]) -> Operands:
    valued = (
        "o output output-dir H header d data data-raw data-binary X request u user A user-agent "
        "b cookie c cookie-jar F form T e m w max-time retry connect-timeout cacert cert key "
        "url write-out D"
    )
    flags, operands = parse_options(words, valued)
    directory = flags.get("output-dir", "")
    if target := flags.get("o") or flags.get("output"):
        yield from _into(directory, target)
    if {"O", "remote-name", "remote-name-all"} & flags.keys():
        for url in [*operands, *([flags["url"]] if "url" in flags else [])]:
            yield from _into(directory, _remote_name(url))
    for name in ("c", "cookie-jar", "D", "dump-header"):
        if flags.get(name) not in (None, "", "-"):
            yield Operand(flags[name])


def _wget(words: Sequence[str]) -> Operands:
    valued = (
        "O output-document P directory-prefix o output-file a t T U header i e l A R D "
        "user-agent post-data tries timeout user password level"
    )
    flags, operands = parse_options(words, valued)
    directory = flags.get("P") or flags.get("directory-prefix") or ""
    target = flags.get("O") or flags.get("output-document") or ""
    if "spider" in flags:
        return
    if {"r", "recursive", "m", "mirror"} & flags.keys() and not target:
        yield Operand(f"{directory or '.'}{BELOW}")
    elif target:
        yield from _into("", target)
    else:
        for url in operands:
            yield from _into(directory, _remote_name(url))
    for name in ("o", "output-file", "a"):
        if flags.get(name):
            yield Operand(flags[name])


def _into(directory: str, target: str) -> Operands:
    if target not in ("-", ""):
        yield Operand(
            f"{directory}/{target}" if directory and not target.startswith("/") else target
        )


def _remote_name(url: str) -> str:
    return (
        re.sub(r"[?#].*", "", url).partition("://")[2].partition("/")[2].rpartition("/")[2]
        if "://" in url
        else _name(url)
    )


def _find(words: Sequence[str]) -> Operands:
    """`-delete` and `-fprint`; what `-exec` runs is a command of its own."""
    for index, word in enumerate(words):
        if word == "-delete":
            for place in found_by(words):
                yield Operand(place, removes=True)
        elif word in ("-fprint", "-fprint0", "-fls", "-fprintf") and index + 1 < len(words):
            yield Operand(words[index + 1])


def _split(words: Sequence[str]) -> Operands:
    operands = parse_options(
        words,
        "a b C l n t bytes lines number suffix-length additional-suffix",
    )[1]
    yield Operand(f"{operands[1] if len(operands) > 1 else 'x'}{UNKNOWN}")


def _ruby(words: Sequence[str]) -> Operands:
    flags, operands = parse_options(words, "e I r")
    if "i" in flags:
        for operand in operands if "e" in flags else operands[1:]:
            yield Operand(operand)


PROGRAMS: Mapping[str, Program] = {
    "awk": _awk,
    "bunzip2": _unpacked(".bz2"),
    "bzip2": _packed(".bz2"),
    "chgrp": _changes_attributes,
    "chmod": _changes_attributes,
    "chown": _changes_attributes,
    "cp": _copy,
    "curl": _curl,
    "dd": _dd,
    "ed": _each("p prompt"),
    "ex": _each("c S u T"),
    "fallocate": _each("l length o offset"),
    "find": _find,
    "gawk": _awk,
    "gsed": _sed,
    "gunzip": _unpacked(".gz"),
    "gzip": _packed(".gz"),
    "install": _install,
    "link": _each(skip=1),
    "ln": _link,
    "mkdir": _make_directory,
    "mkfifo": _each("m mode"),
    "mv": _move,
    "patch": _patch,
    "perl": _perl,
    "rm": _each(removes=True),
    "rmdir": _each(removes=True),
    "rsync": _rsync,
    "ruby": _ruby,
    "sed": _sed,
    "shred": _each("n s iterations size random-source", removes=True),
    "shuf": _output("o", "output"),
    "sort": _output("o", "output"),
    "split": _split,
    "sponge": _each(),
    "tar": _tar,
    "tee": _each(),
    "touch": _each("d date r reference t"),
    "truncate": _each("s size r reference"),
    "unlink": _each(removes=True),
    "unxz": _unpacked(".xz"),
    "unzip": _unzip,
    "wget": _wget,
    "xz": _packed(".xz"),
    "zip": _zip,
}
