"""One invocation of git: its subcommand, words, settings and directories.

call = read_call(command)       # of "git -C lib push -f origin main", run in /srv/shop
call.subcommand, call.words     # "push", ("-f", "origin", "main"): templates
call.directories                # ("/srv/shop/lib",)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from octet.guard.shell import script
from octet.guard.shell.run import SimpleCommand
from octet.guard.shell.words import UNKNOWN

_VALUED = frozenset(
    {
        "--git-dir",
        "--work-tree",
        "--namespace",
        "--exec-path",
        "--super-prefix",
        "--attr-source",
        "--config-env",
    }
)


@dataclass(frozen=True)
class Call:
    """`words` follow the subcommand. `directories`: where it may run, None for unknown. `git_dir`:
    of `--git-dir` or GIT_DIR, "" for none. `settings`: keys (lower case) and values of `-c` and of
    GIT_CONFIG_KEY_…
    """

    subcommand: str
    words: tuple[str, ...]
    directories: tuple[str | None, ...]
    fallback: tuple[str | None, ...] = ()
    git_dir: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    shown: str = field(default="git", compare=False)


def read_call(command: SimpleCommand) -> Call | None:
    """The git call of a simple command; None for another command, or git without a subcommand."""
    if command.program != "git":
        return None
    words = [word.template for word in command.words]
    call = Call("", (), (command.directory, *command.also), command.fallback, shown=shown(words))
    for name, value in command.assignments:
        call = _variable(call, name, value)
    index = 1
    while index < len(words):
        word = words[index]
        if not word.startswith("-"):
            return replace(call, subcommand=word, words=tuple(words[index + 1 :]))
        name, equals, value = word.partition("=")
        takes_next = word in ("-C", "-c") or (word in _VALUED and not equals)
        if takes_next:
            value = words[index + 1] if index + 1 < len(words) else ""
        call = _global_option(call, name, value)
        index += 2 if takes_next else 1
    return None


def expand_alias(call: Call, alias: str) -> Call:
    """The call with its subcommand replaced by the words of an alias; not of a shell command's."""
    commands = script.parse(f"git {alias}", None).commands
    words = [word.template for word in commands[0].words] if commands else []
    return replace(
        call, subcommand=words[1] if len(words) > 1 else "", words=(*words[2:], *call.words)
    )


def shown(words: Sequence[str]) -> str:
    """A command for a message: short, on one line, with … for what is unknown."""
    text = " ".join(words).replace(UNKNOWN, "…")
    text = "".join(character if character.isprintable() else " " for character in text[:400])
    return text if len(text) <= 80 else text[:79] + "…"


def _global_option(call: Call, name: str, value: str) -> Call:
    if name == "-C":
        below = [
            tuple(_below(directory, value) for directory in directories)
            for directories in (call.directories, call.fallback)
        ]
        return replace(call, directories=below[0], fallback=below[1])
    if name == "--git-dir":
        return replace(call, git_dir=value)
    if name in ("-c", "--config-env"):
        key, _, setting = value.partition("=")
        return replace(call, settings=(*call.settings, (key.lower(), setting)))
    return call


def _variable(call: Call, name: str, value: str) -> Call:
    if name in ("GIT_DIR", "GIT_COMMON_DIR"):
        return replace(call, git_dir=value)
    if name.startswith("GIT_CONFIG_KEY_") or name == "GIT_CONFIG_PARAMETERS":
        return replace(call, settings=(*call.settings, (value.lower(), UNKNOWN)))
    return call


def _below(directory: str | None, path: str) -> str | None:
    """The directory that `-C` leads to, left for the file system to resolve, as git does."""
    if UNKNOWN in path:
        return None
    if path.startswith("/"):
        return path
    return None if directory is None else f"{directory}/{path}"
