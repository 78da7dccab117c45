"""What a tool call needs before it may run: locks, a person's consent, or a refusal.

find_needs(event, project)       # a Write: Needs(resources=("path:src/a.py",), …)
find_needs(event, project)       # `git gc`: Needs(refusals=("Octet refuses `git gc`: …",))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from octet.base.globs import matches_any
from octet.base.text import plain
from octet.guard.git.script import Moves, git_effects
from octet.guard.octet_command import gives_approval, is_prompt_free, read_octet_command
from octet.guard.paths import (
    GitInternal,
    LinkedWorktree,
    OctetInternal,
    SharedCheckout,
    Target,
    Unreadable,
    classify,
    path_resource,
    repository_resource,
    tool_targets,
    worktree_resource,
    write_resources,
)
from octet.guard.payload import Event, PreToolUse
from octet.guard.policy import wording
from octet.guard.policy.removals import Removals
from octet.guard.shell import script as shell
from octet.guard.shell.words import UNKNOWN
from octet.guard.shell.writes import Write, shell_writes
from octet.project.repository import Project, UnusablePath, find_worktree

WRITE_LIMIT = 100


@dataclass(frozen=True)
class Needs:
    """What a tool call needs. Without `resources`, `partial_paths` and `names_agent` no store has
    to be asked: judge with `Granted()`.
    """

    # Locks to take, all or none.
    resources: tuple[str, ...] = ()
    # Whether the agent's name goes before the command: a sub-agent has its session's process.
    names_agent: bool = False
    # Why the call is denied, whatever the locks.
    refusals: tuple[str, ...] = ()
    # What a person is asked.
    question: str = ""
    # Whether it is one Octet command that runs without a permission prompt.
    prompt_free: bool = False
    # Each resource as people call it.
    names: Mapping[str, str] = field(default_factory=dict)
    # Paths written in the main checkout.
    checkout_paths: tuple[str, ...] = ()
    # Paths of the main checkout that hold UNKNOWN. They take no lock, but no other agent may hold
    # a lock that overlaps one of them.
    partial_paths: tuple[str, ...] = ()
    # Paths written in linked worktrees, relative to the worktree.
    worktree_paths: tuple[str, ...] = ()
    # The tool's input.
    tool_input: Mapping[str, Any] = field(default_factory=dict)


def find_needs(event: Event, project: Project) -> Needs:
    """What the event needs in this project; nothing unless it is the start of a writing tool."""
    if not isinstance(event, PreToolUse):
        return Needs()
    if event.tool_name == "Bash":
        return _shell_needs(event, project)
    return _Collector(project).add_targets(tool_targets(event, project)).result()


def _shell_needs(event: PreToolUse, project: Project) -> Needs:
    command = event.tool_input.get("command")
    if not isinstance(command, str):
        return Needs(refusals=(wording.NO_COMMAND,))
    start = event.cwd if event.cwd.startswith("/") else None
    script = shell.parse(command, start, toplevel=_toplevel(start))
    if not script.complete:
        return Needs(refusals=(wording.COMMAND_TOO_LONG,))
    words = read_octet_command(command)
    if words and gives_approval(words):
        return Needs(question=wording.INIT_QUESTION)
    found = _Collector(project)
    found.names_agent = bool(event.agent_id) and any(
        command.program == "octet" for command in script.commands
    )
    found.prompt_free = bool(words and is_prompt_free(words))
    found.tool_input = event.tool_input
    return found.add_git(script, start).add_writes(script).result()


def _toplevel(start: str | None) -> str | None:
    try:
        worktree = find_worktree(start) if start else None
    except UnusablePath:
        return None
    return str(worktree.path) if worktree else None


class _Collector:
    """Gathers what the parts of one tool call need."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._removals = Removals(project)
        self._names: dict[str, str] = {}
        self._refusals: dict[str, None] = {}
        self._checkout_paths: dict[str, None] = {}
        self._partial_paths: dict[str, None] = {}
        self._worktree_paths: dict[str, None] = {}
        self._writes: set[Write] = set()
        self.names_agent = False
        self.prompt_free = False
        self.tool_input: Mapping[str, Any] = {}

    def add_targets(
        self, targets: Iterable[Target], *, removes: bool = False, makes: bool = False
    ) -> _Collector:
        """Paths that are written. `removes`: each is removed with all below it. `makes`: each is a
        new directory, which needs no lock while it holds no file.
        """
        for target in targets:
            if isinstance(target, Unreadable):
                self._refuse(wording.unreadable(target.why))
            elif isinstance(target, GitInternal):
                self._refuse(wording.git_file(target.path))
            elif isinstance(target, OctetInternal):
                self._refuse(wording.octet_file(target.path))
            elif removes and (lost := self._removals.worktree_in(target)):
                self._refuse(wording.removes_worktree(lost))
            elif removes and self._removals.takes_checkout(target):
                self._refuse(wording.REMOVES_CHECKOUT)
            elif isinstance(target, SharedCheckout | LinkedWorktree) and not makes:
                self._add_file(target, removes=removes)
        return self

    def add_writes(self, script: shell.ShellScript) -> _Collector:
        """Files that a shell command changes."""
        for write in shell_writes(script):
            self._add_write(write)
            if len(self._writes) > WRITE_LIMIT:
                break
        return self

    def add_git(self, script: shell.ShellScript, start: str | None) -> _Collector:
        """What a shell command does with git."""
        for found in git_effects(script, self._project, start):
            if isinstance(found.effect, Write):
                self._add_write(found.effect)
            elif isinstance(found.effect, Moves):
                branch = found.effect.branch
                self._names[repository_resource(branch)] = wording.moved_branch(
                    branch, found.command
                )
            else:
                self._refuse(wording.refused_command(found.command, found.effect.why))
        return self

    def result(self) -> Needs:
        """All of it. Under `paths = "warn"` a branch's lock must not fail because of a held file,
        so the files' locks are left out.
        """
        resources = tuple(self._names)
        branches = tuple(resource for resource in resources if resource.startswith("repository:"))
        if branches and self._project.config.lock_paths == "warn":
            resources = branches
        return Needs(
            resources=resources,
            names_agent=self.names_agent,
            refusals=tuple(self._refusals),
            prompt_free=self.prompt_free,
            names=self._names,
            checkout_paths=tuple(self._checkout_paths),
            partial_paths=tuple(self._partial_paths),
            worktree_paths=tuple(self._worktree_paths),
            tool_input=self.tool_input,
        )

    def _add_write(self, write: Write) -> None:
        """A whole or a partial path; each once, and no more than can be checked in time."""
        if write in self._writes or len(self._writes) > WRITE_LIMIT:
            return
        self._writes.add(write)
        if len(self._writes) > WRITE_LIMIT:
            self._refuse(wording.too_many_files(WRITE_LIMIT))
        elif UNKNOWN in write.path:
            self._add_partial(write)
        else:
            target = classify(self._project, write.path)
            self.add_targets([target], removes=write.removes, makes=write.makes)

    def _add_file(self, target: SharedCheckout | LinkedWorktree, *, removes: bool) -> None:
        config = self._project.config
        if config.lock_paths == "off" or matches_any(target.path, config.lock_ignore):
            return
        if isinstance(target, LinkedWorktree):
            resource = worktree_resource(target.worktree)
            self._names[resource] = wording.worktree(target.worktree.name)
            if target.path != ".":
                self._worktree_paths[path_resource(target.path).removeprefix("path:")] = None
        else:
            self._checkout_paths[target.path] = None
            for resource in write_resources(self._project, target.path, removes=removes):
                self._names[resource] = plain(target.path)

    def _add_partial(self, write: Write) -> None:
        begin, _, rest = write.path.partition(UNKNOWN)
        directory, _, name = begin.rpartition("/")
        if name in (".", ".."):
            directory, name = begin, ""
        if write.removes and not rest and (lost := self._removals.worktree_below(begin)):
            self._refuse(wording.removes_worktree(lost))
        target = classify(self._project, directory or "/")
        if isinstance(target, LinkedWorktree):
            target = LinkedWorktree(target.worktree, ".")  # which of its files is not known
        if not isinstance(target, SharedCheckout):
            self.add_targets([target], makes=write.makes)
        elif self._project.config.lock_paths != "off":
            below = "" if target.path == "." else f"{target.path}/"
            self._partial_paths[f"{below}{name}{UNKNOWN}{rest}"] = None

    def _refuse(self, reason: str) -> None:
        self._refusals[reason] = None
