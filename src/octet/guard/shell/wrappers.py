"""Programs that run another command: `sudo`, `env`, `xargs`, `bash -c` and the like.

unwrap(words of "sudo -u ann git push")     # [InnerCommand(words of "git push", …)]
unwrap(words of "bash -lc 'git push'")      # [InnerText("git push", …)]
unwrap(words of "git push")                 # []
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from octet.guard.shell.words import UNKNOWN, Word

_PLACE_LIMIT = 8
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "mksh"})


class InnerCommand(NamedTuple):
    """A command as words. `directory`: a template of where it runs, None for the same. `in_shell`:
    the shell itself runs it.
    """

    words: tuple[Word, ...]
    assignments: tuple[tuple[str, str], ...] = ()
    directory: str | None = None
    in_shell: bool = False


class InnerText(NamedTuple):
    """A command as text for a shell. `in_shell`: for this very shell (`eval`), so that its `cd`
    holds afterwards.
    """

    text: str
    in_shell: bool = False


@dataclass(frozen=True)
class _Options:
    """How a wrapper's own words end. `valued`: letters and long names that take the next word as
    value. `operands`: words of its own before the command. `directory`: options that say where to
    run. `text`: options whose value is a command for a shell.
    """

    valued: frozenset[str] = frozenset()
    operands: int = 0
    directory: frozenset[str] = frozenset()
    text: frozenset[str] = frozenset()
    assignments: bool = False
    in_shell: bool = False


def _options(
    valued: str = "",
    *,
    operands: int = 0,
    directory: str = "",
    text: str = "",
    assignments: bool = False,
    in_shell: bool = False,
) -> _Options:
    every = frozenset(f"{valued} {directory} {text}".split())
    return _Options(
        every,
        operands,
        frozenset(directory.split()),
        frozenset(text.split()),
        assignments,
        in_shell,
    )


_SUDO_VALUED = (
    "u user g group h host p prompt C close-from R chroot T command-timeout U other-user r role "
    "t type"
)
_WRAPPERS: Mapping[str, _Options] = {
    "command": _options(in_shell=True),
    "builtin": _options(in_shell=True),
    "exec": _options("a"),
    "noglob": _options(in_shell=True),
    "nocorrect": _options(in_shell=True),
    "repeat": _options(operands=1, in_shell=True),
    "nohup": _options(),
    "time": _options("f format o output"),
    "nice": _options("n adjustment"),
    "ionice": _options("c class n classdata"),
    "timeout": _options("k kill-after s signal", operands=1),
    "gtimeout": _options("k kill-after s signal", operands=1),
    "stdbuf": _options("i input o output e error"),
    "setsid": _options(),
    "unbuffer": _options(),
    "chronic": _options(),
    "caffeinate": _options("t w"),
    "env": _options("u unset", directory="C chdir", text="S split-string", assignments=True),
    "sudo": _options(_SUDO_VALUED, directory="D chdir", assignments=True),
    "doas": _options("u C"),
    "su": _options(
        "s shell g group G supp-group w whitelist-environment", text="c command", operands=99
    ),
    "runuser": _options("u user s shell g group G supp-group", text="c command"),
    "chroot": _options("", operands=1),
    "flock": _options("w wait timeout E conflict-exit-code", operands=1, text="c command"),
    "watch": _options("n interval"),
    "script": _options("t E I O o B log-io log-in log-out", text="c command", operands=99),
    "strace": _options("e o p s u E a P"),
    "xargs": _options(
        "a arg-file d delimiter E I n max-args L P max-procs s max-chars process-slot-var"
    ),
    "busybox": _options(),
    "parallel": _options(
        "a arg-file d delimiter j jobs n N L max-args max-lines joblog results tagstring "
        "colsep S sshlogin"
    ),
}
# These options ask about a command and do not run it.
_QUERIES: Mapping[str, frozenset[str]] = {
    "command": frozenset("vV"),
    "sudo": frozenset("lvkK"),
    "exec": frozenset(),
}
_SHELL_VALUED = frozenset({"o", "O", "rcfile", "init-file"})


def unwrap(words: Sequence[Word]) -> list[InnerCommand | InnerText]:
    """What `words` run inside themselves; [] for a command of its own. Never raises."""
    name = program(words)
    if name in SHELLS:
        script = shell_script(words)
        return [InnerText(script)] if script else []
    if name == "eval":
        return [
            InnerText(
                " ".join(word.template for word in words[1:] if word.template != "--"),
                in_shell=True,
            )
        ]
    if name == "trap":
        return [InnerText(words[1].template)] if len(words) > 2 else []
    if name == "find":
        return _find_commands(words)
    options = _WRAPPERS.get(name)
    return _wrapped(name, options, words) if options else []


def program(words: Sequence[Word]) -> str:
    """The base name of the program that `words` run, "" when it is unknown."""
    return (words[0].text or "").rpartition("/")[2] if words else ""


def shell_script(words: Sequence[Word]) -> str | None:
    """The text that a shell gets by `-c`; None when it reads a file or its input."""
    index, wants_text = 1, False
    while index < len(words):
        text = words[index].template
        index += 1
        if text in ("-", "--") or text[:1] not in ("-", "+"):
            index -= 0 if text in ("-", "--") else 1
            break
        name = text.lstrip("-+")
        if text.startswith("--"):
            index += name in _SHELL_VALUED
            continue
        wants_text = wants_text or ("c" in name and text[0] == "-")
        index += name[-1:] in _SHELL_VALUED
    return words[index].template if wants_text and index < len(words) else None


def reads_commands_from_input(words: Sequence[Word]) -> bool:
    """Whether a here-document of this command is a script: `bash <<EOF`, `sh -s -- x <<EOF`."""
    if program(words) not in SHELLS or shell_script(words) is not None:
        return False
    operands = [word.template for word in words[1:]]
    return all(operand[:1] in ("-", "+") for operand in operands) or "-s" in operands


def _wrapped(name: str, options: _Options, words: Sequence[Word]) -> list[InnerCommand | InnerText]:
    index, operands, assignments, directory = 1, options.operands, [], None
    found: list[InnerCommand | InnerText] = []
    while index < len(words):
        text = words[index].template
        equals = text.find("=")
        if text == "--":
            index += 1
            break
        if len(text) > 1 and text[0] == "-":
            option, value, index = _option(words, index, options)
            if option in _QUERIES.get(name, ()):
                return []
            if option in options.directory:
                directory = value
            if option in options.text:
                found.append(InnerText(value))
        elif options.assignments and equals > 0 and text[:equals].isidentifier():
            assignments.append((text[:equals], text[equals + 1 :]))
            index += 1
        elif operands > 0:
            operands -= 1
            index += 1
        else:
            break
    inner = _inner_words(name, words, index + operands)
    # A single word there is a command for a shell.
    if name in ("watch", "flock") and len(inner) == 1:
        return [*found, InnerText(inner[0].template)]
    return (
        [*found, InnerCommand(inner, tuple(assignments), directory, options.in_shell)]
        if inner
        else found
    )


def _inner_words(name: str, words: Sequence[Word], begin: int) -> tuple[Word, ...]:
    inner = tuple(words[begin:])
    if name == "parallel":
        return _with_arguments(inner)
    return _with_input(words[1:begin], inner) if name == "xargs" else inner


def _option(words: Sequence[Word], index: int, options: _Options) -> tuple[str, str, int]:
    """Name and value of the option at `index`, and where the next word is."""
    text = words[index].template
    following = words[index + 1].template if index + 1 < len(words) else ""
    if text.startswith("--"):
        name, equals, value = text[2:].partition("=")
        if equals or name not in options.valued:
            return name, value, index + 1
        return name, following, index + 2
    for place, letter in enumerate(text[1:], 1):
        if letter in options.valued:
            attached = text[place + 1 :]
            return letter, attached or following, index + (1 if attached else 2)
    return text[1], "", index + 1


def _with_input(own: Sequence[Word], inner: tuple[Word, ...]) -> tuple[Word, ...]:
    """The command of `xargs`: its input goes where `-I` says, else to the end."""
    for place, word in enumerate(own):
        if word.template.startswith("-I"):
            mark = word.template[2:] or (own[place + 1].template if place + 1 < len(own) else "{}")
            return tuple(
                Word(part.template.replace(mark, UNKNOWN)) if mark else part for part in inner
            )
    return (*inner, Word(UNKNOWN)) if inner else ()


def _with_arguments(inner: tuple[Word, ...]) -> tuple[Word, ...]:
    """The command of `parallel`: the words behind `:::` go where `{}` stands, else to the end."""
    mark = next(
        (place for place, word in enumerate(inner) if word.template in (":::", "::::")), len(inner)
    )
    own, given = inner[:mark], inner[mark + 1 :]
    if any("{" in word.template for word in own):
        return tuple(Word(re.sub(r"\{[^}]*\}", UNKNOWN, word.template)) for word in own)
    return (
        (*own, *(given if inner[mark : mark + 1] == (Word(":::", True),) else (Word(UNKNOWN),)))
        if own
        else ()
    )


def _find_commands(words: Sequence[Word]) -> list[InnerCommand | InnerText]:
    """The command of `-exec`, once for each directory that is searched."""
    found: list[InnerCommand | InnerText] = []
    places = found_by([word.template for word in words[1:]])[:_PLACE_LIMIT]
    begin = None
    for index, word in enumerate(words):
        if begin is None and word.template in ("-exec", "-execdir", "-ok", "-okdir"):
            begin = index + 1
        elif begin is not None and word.template in (";", "+"):
            for place in places:
                found.append(
                    InnerCommand(
                        tuple(
                            Word(part.template.replace("{}", place)) for part in words[begin:index]
                        )
                    )
                )
            begin = None
    return found


def found_by(words: Sequence[str]) -> list[str]:
    """The paths that `find` may find: a template for each directory that is searched, ending as its
    `-name` where there is only one.
    """
    begin = next(
        (at for at, word in enumerate(words) if word not in ("-L", "-H", "-P")), len(words)
    )
    end = next(
        (at for at in range(begin, len(words)) if words[at][:1] in ("-", "(", "!")), len(words)
    )
    tests = words[end:]
    names = [
        tests[at + 1]
        for at, word in enumerate(tests[:-1])
        if word in ("-name", "-path", "-wholename")
    ]
    ending = ""
    if (
        len(names) == 1
        and not {"!", "-not", "-o", "-or", ","} & set(tests)
        and not re.search(r"[\[\\]", names[0])
    ):
        name = re.sub(r"[*?]+", UNKNOWN, names[0])
        ending = name if "-name" in tests or name.startswith(UNKNOWN) else ""
    ending = ending if ending.startswith(UNKNOWN) or not ending else f"{UNKNOWN}{ending}"
    return [f"{place.rstrip('/')}{ending or UNKNOWN}" for place in words[begin:end] or ["."]]
