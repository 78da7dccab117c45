"""How a command changes the shell: its directory and its variables.

The parser in `script` hands each simple command to `Shell.record` as it reads it, asks for the
values of variables, and tells a `Level` where commands and lists end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from octet.guard.shell import wrappers
from octet.guard.shell.words import UNKNOWN, StepBudget, Word

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DECLARING = frozenset({"export", "local", "declare", "typeset", "readonly"})
_SETTING = frozenset({"read", "unset", "mapfile", "readarray", "getopts", "printf"})
PATH_LIMIT = 4096
_VARIABLE_LIMIT = 500
_BRANCH_LIMIT = 8


class Redirect(NamedTuple):
    """`operator`: one of `< > >> >| <> &> &>> >& <<<`; duplications as in `2>&1` are left out."""

    operator: str
    target: Word


class Where(NamedTuple):
    """Where the shell is. `fallback`: where it may be if an earlier `cd` failed; `before_cd`: the
    same for `cd`s whose `&&` chain has not ended yet. `also`: where it is if a branch with a `cd`
    in it was not taken.
    """

    directory: str | None
    fallback: tuple[str | None, ...] = ()
    before_cd: tuple[str | None, ...] = ()
    also: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """One simple command.

    `directory` is absolute, None when it cannot be known; `fallback` are those where it may run if
    a `cd` before it failed, and `also` those where it may run in any case. `assignments` are the
    variables set for it: name and template.
    """

    words: tuple[Word, ...]
    assignments: tuple[tuple[str, str], ...] = ()
    redirects: tuple[Redirect, ...] = ()
    directory: str | None = None
    fallback: tuple[str | None, ...] = ()
    also: tuple[str | None, ...] = ()

    @property
    def argv(self) -> tuple[str | None, ...]:
        """The words; None for one that only the running shell knows."""
        return tuple([word.text for word in self.words])

    @property
    def program(self) -> str:
        """The base name of what runs, "" when it is unknown or when there are only redirections."""
        return wrappers.program(self.words)


class Shell:
    """The commands found so far and the shell's state between them."""

    def __init__(self, directory: str | None, home: str, toplevel: str | None) -> None:
        self.where = Where(directory)
        self.home = home
        self.commands: list[SimpleCommand] = []
        self.functions: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.running: set[str] = set()
        self._toplevel = toplevel
        self._variables: dict[str, str] = {}
        self._git_variables: dict[str, str] = {}
        self._assigned: list[str] = []
        self.budget = StepBudget()

    def record(
        self,
        words: Sequence[Word],
        assignments: Sequence[tuple[str, str]],
        redirects: Sequence[Redirect],
    ) -> SimpleCommand:
        """Note a command that may run here."""
        self.budget.step(2)
        variables = (*self._git_variables.items(), *assignments)
        where = self.where
        command = SimpleCommand(
            tuple(words), variables, tuple(redirects), where.directory, where.fallback, where.also
        )
        self.commands.append(command)
        return command

    def record_inner(self, outer: SimpleCommand, inner: wrappers.InnerCommand) -> SimpleCommand:
        """Note the command that a wrapper runs."""
        directory, fallback, also = outer.directory, outer.fallback, outer.also
        if inner.directory is not None:
            directory = join(directory, inner.directory)
            fallback, also = _join_all(fallback, inner.directory), _join_all(also, inner.directory)
        command = SimpleCommand(
            inner.words, (*outer.assignments, *inner.assignments), (), directory, fallback, also
        )
        self.commands.append(command)
        return command

    def follow(self, words: Sequence[Word]) -> None:
        """Follow a command of the shell itself, such as `cd` or `export`."""
        name = words[0].text
        if name in ("cd", "chdir", "pushd"):
            self._change_directory(words[1:], home=name != "pushd")
        elif name == "popd":
            self.where = Where(None)
        elif name in DECLARING:
            for word in words[1:]:
                variable, equals, value = word.template.partition("=")
                if equals:  # `local` fails outside of a function
                    self.assign(variable, UNKNOWN if name == "local" else value)
        elif name == "alias" and len(self.aliases) < _VARIABLE_LIMIT:
            for word in words[1:]:
                variable, equals, value = word.template.partition("=")
                if equals and UNKNOWN not in word.template:
                    self.aliases[variable] = value
        elif name in _SETTING:
            for word in words[1:]:
                self.assign(word.template, UNKNOWN)

    def also_at(self, *places: Where) -> None:
        """The shell may also be at one of these: a `cd` since then may not have run."""
        where = self.where
        also = dict.fromkeys(where.also)
        for place in places:
            also |= dict.fromkeys((place.directory, *place.fallback, *place.also))
        also.pop(where.directory, None)
        self.where = where._replace(also=_few(also))

    def settle(self, skipped: Sequence[Where]) -> None:
        """An `&&` chain ended: a `cd` in it may have failed, or been `skipped` at these places."""
        where = self.where
        if where.before_cd:
            fallback = dict.fromkeys((*where.before_cd, *where.fallback))
            self.where = where._replace(fallback=_few(fallback), before_cd=())
        if skipped:
            self.also_at(*skipped)

    def mark(self) -> int:
        """A point in the script, for `forget`."""
        return len(self._assigned)

    def forget(self, mark: int) -> None:
        """Assignments since `mark` may not have run, or not in this shell."""
        self.budget.step((len(self._assigned) - mark) // 8)
        for name in self._assigned[mark:]:
            self._variables[name] = UNKNOWN

    def repeat(self, first: int, start: Where) -> None:
        """The commands from number `first` on were a loop's, begun at `start`: a `cd` in it moves
        further at each turn.
        """
        ended = self.where.directory
        if ended == start.directory:
            return
        self.budget.step((len(self.commands) - first) // 2)
        for number in range(first, len(self.commands)):
            command = self.commands[number]
            also = dict.fromkeys((*command.also, ended, None))
            self.commands[number] = replace(command, also=_few(also))
        self.also_at(Where(None))

    def assign(self, name: str, value: str) -> None:
        """Set a variable. A second, different value makes it unknown: the branches taken decide
        which of them is current.
        """
        if not _IDENTIFIER.fullmatch(name):
            return
        if name == "IFS":  # words would be split elsewhere
            self._variables = dict.fromkeys(self._variables, UNKNOWN)
        if self._variables.get(name, value) != value:
            value = UNKNOWN
        if len(self._variables) < _VARIABLE_LIMIT or name in self._variables:
            self._variables[name] = value
            self._assigned.append(name)
        if name.startswith("GIT_"):
            self._git_variables[name] = value

    def value_of(self, name: str) -> str:
        """The template of a variable."""
        if name in self._variables:
            return self._variables[name]
        if name == "HOME":
            return self.home
        if name == "PWD":
            return self._certain_directory() or UNKNOWN
        return UNKNOWN

    def output_of(self, text: str) -> str:
        """The output of a substituted command, for the two that people put into paths."""
        directory, top = self._certain_directory(), self._toplevel
        if text == "pwd":
            return directory or UNKNOWN
        if (
            text == "git rev-parse --show-toplevel"
            and directory
            and top
            and f"{directory}/".startswith(f"{top}/")
        ):
            return top
        return UNKNOWN

    def _certain_directory(self) -> str | None:
        where = self.where
        return None if where.also or where.fallback else where.directory

    def _change_directory(self, operands: Sequence[Word], *, home: bool) -> None:
        targets = [
            word
            for word in operands
            if not (word.template.startswith("-") and len(word.template) > 1)
        ]
        if not targets:
            self.where = Where(self.home if home else None)
        elif len(targets) > 1 or targets[0].glob or targets[0].template.startswith(("-", "+")):
            self.where = Where(None)
        else:
            self.where = self._moved(self.where, targets[0].template)

    def _moved(self, where: Where, target: str) -> Where:
        """Where a `cd` leads from all places where the shell may be."""
        self.budget.step(2 + len(where.fallback) + len(where.also))
        before = dict.fromkeys((where.directory, *where.before_cd))
        failed = dict.fromkeys(_join_all(where.fallback, target))
        also = dict.fromkeys(_join_all(where.also, target))
        if (
            ".." in target
        ):  # `cd nosuch; cd ..`: the place it leads to is there even if the first `cd` failed
            also |= failed
        fallback = dict.fromkeys((*where.fallback, *failed))
        return Where(join(where.directory, target), _few(fallback), _few(before), _few(also))


class Level:
    """The state of a list of commands; saved while a list inside it is read.

    Each part of a pipeline runs in a subshell, and so does a list before `&`: their `cd` and their
    assignments end with them. A command behind `&&` or `||` may not run at all.
    """

    __slots__ = (
        "_shell",
        "begin",
        "body",
        "condition_mark",
        "first",
        "function",
        "list_mark",
        "list_start",
        "mark",
        "operator",
        "piped",
        "pipeline_mark",
        "pipeline_start",
        "skipped",
    )

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.begin = self.pipeline_start = self.list_start = shell.where
        self.mark = self.pipeline_mark = self.list_mark = shell.mark()
        self.condition_mark: int | None = None  # behind the list's first `&&` or `||`
        self.skipped: tuple[Where, ...] = ()  # where the shell is if a conditional `cd` was skipped
        self.operator = ""  # before this pipeline
        self.piped = False
        self.first = len(shell.commands)
        self.function = ""  # the one whose body comes next, or is this
        self.body = 0  # where in the text that begins

    def end_command(self, operator: str) -> None:
        """A simple or compound command ends at `operator`; set the state for the next one."""
        shell = self._shell
        if operator in ("|", "|&"):
            shell.where = self.pipeline_start
            shell.forget(self.pipeline_mark)
            self.piped, self.pipeline_mark = True, shell.mark()
            return
        if self.piped:
            shell.where = self.pipeline_start
            shell.forget(self.pipeline_mark)
        elif (
            self.condition_mark is not None
            and shell.where.directory != self.pipeline_start.directory
        ):
            self.skipped += (self.pipeline_start,)
            if self.operator == "||":  # `a || cd x && b`: b runs in either place
                shell.settle(self.skipped)
        if operator in ("&&", "||"):
            self.condition_mark = (
                shell.mark() if self.condition_mark is None else self.condition_mark
            )
        else:
            self._end_list(operator)
        if operator != "&&":
            shell.settle(self.skipped)
            self.skipped = ()
        self.operator, self.piped = operator, False
        self.pipeline_start, self.pipeline_mark = shell.where, shell.mark()

    def _end_list(self, operator: str) -> None:
        shell = self._shell
        if operator == "&":
            shell.where = self.list_start
            shell.forget(self.list_mark)
        elif self.condition_mark is not None:
            shell.forget(self.condition_mark)
        shell.settle(self.skipped)
        self.skipped = ()
        self.condition_mark, self.list_start, self.list_mark = None, shell.where, shell.mark()

    def other_branch(self) -> None:
        """`else`, `elif` or the next pattern of a `case`: begins where the whole began, or went on
        from its condition.
        """
        ended = self._shell.where
        self._shell.where = self.begin
        self._shell.also_at(ended)
        self.pipeline_start = self.list_start = self._shell.where


def join(directory: str | None, template: str) -> str | None:
    """A directory seen from another one, as the shell's `cd` sees it (`..` taken off the name);
    None when it cannot be known.
    """
    if UNKNOWN in template or len(template) + len(directory or "") > PATH_LIMIT:
        return None
    if template.startswith("/"):
        return os.path.normpath(template)
    return None if directory is None else os.path.normpath(f"{directory}/{template}")


def _few(places: Iterable[str | None]) -> tuple[str | None, ...]:
    return tuple(places)[:_BRANCH_LIMIT]


def _join_all(directories: Sequence[str | None], template: str) -> tuple[str | None, ...]:
    return tuple([join(directory, template) for directory in directories])
