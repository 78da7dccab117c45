"""What a shell script does with git to this project: the protected branches it moves, the files it
changes, and the commands that must not run.

    found = git_effects(script, project, start="/srv/shop")
    found[0].effect      # Moves("main"), Forbidden("the stash …") or Write("/srv/shop/src/a.py")
    found[0].command     # "git push origin main"

Commands are followed in order: after `git checkout main` the current branch is main, and after `git
init x` the directory x is another repository. Text that only the running shell knows counts as
possible. Git's own fence catches what this cannot see.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from octet.guard.git.call import Call, expand_alias, read_call
from octet.guard.git.checkout import Checkout
from octet.guard.git.files import file_changes
from octet.guard.git.rules import Effect, Forbidden, Moves, effects
from octet.guard.shell import script as shell
from octet.guard.shell.options import parse_options
from octet.guard.shell.words import UNKNOWN, quote_words
from octet.guard.shell.writes import Write, shell_writes
from octet.project.repository import (
    Project,
    UnusablePath,
    Worktree,
    find_worktree,
    real_path,
    worktree_of_git_dir,
)

__all__ = ["Forbidden", "GitEffect", "Moves", "git_effects"]

_ALIAS_DEPTH = 4
_CALL_LIMIT = 120
_EFFECT_LIMIT = 150
_INIT_VALUED = "b branch initial-branch o origin depth template separate-git-dir reference c"


@dataclass(frozen=True)
class GitEffect:
    """One effect and the command that has it, short enough for a message."""

    effect: Effect | Write
    command: str


def git_effects(
    script: shell.ShellScript, project: Project, start: str | None
) -> tuple[GitEffect, ...]:
    """The script's effects on the project's repository when started in `start`; () for a project
    without git.
    """
    if project.common_dir is None:
        return ()
    found = dict.fromkeys(islice(_Follower(project, start).follow(script, 0), _EFFECT_LIMIT))
    if len(found) == _EFFECT_LIMIT:
        found[
            GitEffect(
                Forbidden(f"Octet checks at most {_EFFECT_LIMIT} names at once: use several steps"),
                "git",
            )
        ] = None
    return tuple(found)


@dataclass
class _Follower:
    """Follows a script's commands and the changes that they make."""

    project: Project
    start: str | None
    switched: dict[Path, str] = field(default_factory=dict)
    heads: dict[Path, dict[str, Worktree]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    mentioned: set[str] = field(default_factory=set)
    calls: int = 0

    def follow(self, script: shell.ShellScript, depth: int) -> Iterator[GitEffect]:
        for command in script.commands:
            call = read_call(command)
            if call is None:
                self._mention(command)
                continue
            self.calls += 1
            if self.calls > _CALL_LIMIT:
                yield GitEffect(
                    Forbidden(
                        f"Octet checks at most {_CALL_LIMIT} git commands at once: use "
                        "several steps"
                    ),
                    call.shown,
                )
                return
            yield from self._effects(call, depth)

    def _effects(self, call: Call, depth: int) -> Iterator[GitEffect]:
        if call.subcommand in ("init", "clone"):
            self._make_repository(call)
            return
        for checkout in self._checkouts(call):
            alias = checkout.alias(call)
            if alias is None:
                for effect in chain(file_changes(call, checkout), effects(call, checkout)):
                    yield GitEffect(effect, call.shown)
                yield from self._inside(call, checkout, depth)
            elif depth < _ALIAS_DEPTH:
                yield from self._aliased(call, alias, checkout, depth)

    def _aliased(
        self, call: Call, alias: str, checkout: Checkout, depth: int
    ) -> Iterator[GitEffect]:
        if alias.startswith("!"):
            yield from self._script(f"{alias[1:]} {quote_words(call.words)}", call, checkout, depth)
            return
        for found in self._effects(expand_alias(call, alias), depth + 1):
            yield replace(found, command=call.shown)

    def _inside(self, call: Call, checkout: Checkout, depth: int) -> Iterator[GitEffect]:
        """Commands that git runs: `rebase --exec`, `bisect run`."""
        text = ""
        if call.subcommand == "rebase":
            flags, _ = parse_options(call.words, "x exec onto s X")
            text = flags.get("x") or flags.get("exec") or ""
        elif call.subcommand == "bisect" and call.words[:1] == ("run",):
            text = quote_words(call.words[1:])
        if text and depth < _ALIAS_DEPTH:
            yield from self._script(text, call, checkout, depth)

    def _script(self, text: str, call: Call, checkout: Checkout, depth: int) -> Iterator[GitEffect]:
        """Git starts a shell at the top of the checkout."""
        script = shell.parse(text, checkout.top)
        if not script.complete:
            yield GitEffect(
                Forbidden("Octet cannot read what it runs: it is too long or nested too deeply"),
                call.shown,
            )
        for write in shell_writes(script):
            yield GitEffect(write, call.shown)
        yield from self.follow(script, depth + 1)

    def _checkouts(self, call: Call) -> Iterator[Checkout]:
        """The project's checkouts that the call may work on; one without worktree where its
        directory is unknown.
        """
        seen: set[Path | None] = set()
        for directory in self._directories(call):
            if directory is not None and self._is_foreign(directory):
                continue
            worktree = self._worktree(call, directory)
            known = directory is not None and UNKNOWN not in call.git_dir
            if known and (worktree is None or worktree.common_dir != self.project.common_dir):
                continue
            key = worktree.git_dir if worktree else None
            if key not in seen:
                seen.add(key)
                yield Checkout(self.project, worktree, directory, self.switched, self.heads)

    def _directories(self, call: Call) -> list[str | None]:
        """Where the call may run. A `cd` before it may have failed, if there is no such directory:
        then also where that began.
        """
        found = list(call.directories)
        first = found[0]
        if call.fallback and first and first not in self.mentioned and not _is_directory(first):
            found += call.fallback
        return found

    def _worktree(self, call: Call, directory: str | None) -> Worktree | None:
        if directory is None:
            return None
        try:
            if not call.git_dir:
                return find_worktree(directory)
            return (
                None
                if UNKNOWN in call.git_dir
                else worktree_of_git_dir(real_path(_seen_from(directory, call.git_dir)))
            )
        except UnusablePath:
            return None

    def _mention(self, command: shell.SimpleCommand) -> None:
        """A directory that an earlier command names (`mkdir x`) may exist when a `cd` enters it."""
        if command.program in ("mkdir", "cp", "mv", "tar", "unzip"):
            for text in command.argv[1:]:
                if text and command.directory and len(self.mentioned) < 1000:
                    self.mentioned.add(os.path.normpath(_seen_from(command.directory, text)))

    def _make_repository(self, call: Call) -> None:
        """`git init` and `git clone` make another repository, which is not guarded."""
        _, operands = parse_options(call.words, _INIT_VALUED)
        if call.subcommand == "clone":
            operands = operands[1:] or [
                re.sub(r"(/?\.git)?/*$", "", operand).rpartition("/")[2] for operand in operands
            ]
        directory, target = call.directories[0], operands[0] if operands else "."
        if directory and UNKNOWN not in target:
            made = os.path.normpath(_seen_from(directory, target))
            self.mentioned.add(made)
            if not _is_checkout_of(self.project, made):
                self.foreign.append(made)

    def _is_foreign(self, directory: str) -> bool:
        normal = os.path.normpath(directory)
        return any(normal == made or normal.startswith(made + "/") for made in self.foreign)


def _seen_from(directory: str, path: str) -> str:
    return path if path.startswith("/") else f"{directory}/{path}"


def _is_directory(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _is_checkout_of(project: Project, path: str) -> bool:
    """Whether the project's repository is there already: `git init` in it makes no other one."""
    try:
        worktree = find_worktree(path)
    except UnusablePath:
        return False
    return bool(
        worktree
        and worktree.common_dir == project.common_dir
        and str(worktree.path) == os.path.realpath(path)
    )
