"""What an event needs, and what the store's answer to that means. Pure, but for looking at paths.

    needs = needs(event, project)            # Needs(resources=("path:src/a.py",), …) verdict =
    judge(needs, Granted(), project)                                # Verdict("pass") verdict =
    judge(needs, Held("path:src/a.py", "developer-2"), project)     # Verdict("deny", "src/a.py is
    held by developer-2 …") verdict = judge(needs, StoreDown("Redis does not answer"), project)
    # by the repository's on_store_down

Where `needs.resources`, `needs.swept` and `needs.names_agent` are all empty, no store need be
asked: judge with `Granted()`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from octet.base.globs import matches_any
from octet.base.text import plain
from octet.base.vocabulary import AGENT_NAME
from octet.guard.git.script import Moves, git_effects
from octet.guard.octet_command import approves, read_octet_command, runs_unasked
from octet.guard.paths import (
    GitInternal,
    LinkedWorktree,
    OctetInternal,
    Outside,
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
from octet.guard.shell import script as shell
from octet.guard.shell.sweeps import meets
from octet.guard.shell.words import UNKNOWN
from octet.guard.shell.writes import Write, shell_writes
from octet.project.config import FILE
from octet.project.repository import (
    Project,
    UnusablePath,
    Worktree,
    find_worktree,
    is_within,
    worktrees_of,
)

_WRITE_LIMIT = 100


@dataclass(frozen=True)
class Needs:
    """What an event needs before it may go on.

    `resources`: locks to take, all or none. `refusals`: why it must not go on, whoever holds what.
    `question`: what a person must be asked. `unasked`: an Octet command that needs no permission.
    `names_agent`: the verdict puts the agent's name before the command. `names`: each resource as
    people call it. `shared`: paths written in the main checkout. `swept`: paths of it that are
    known in part (UNKNOWN in them): no lock is taken, but nobody else may hold one that they meet.
    `apart`: paths written in linked worktrees. `tool_input`: what the tool got.
    """

    resources: tuple[str, ...] = ()
    names_agent: bool = False
    refusals: tuple[str, ...] = ()
    question: str = ""
    unasked: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    tool_input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Granted:
    """All resources are this agent's now."""


@dataclass(frozen=True)
class Held:
    """Another agent holds one of them, and none was taken. `title` is the task's, written by
    whoever added it.

    `by`: the lock that covers it, where that is another. `lapses_s`: how long it stays, where
    nobody renews it (0: as long as its holder lives). `waiting`: others that wait for it.
    `awaited`: nobody holds it, and `holder` has waited for it for `age_s`.
    """

    resource: str
    holder: str
    task: str = ""
    title: str = ""
    age_s: float = 0.0
    scope: str = ""
    by: str = ""
    lapses_s: float = 0.0
    waiting: int = 0
    awaited: bool = False


@dataclass(frozen=True)
class Reserved:
    """A protected branch, and the agent's role is not one that moves it. None was taken."""

    resource: str
    role: str


@dataclass(frozen=True)
class Gone:
    """The agent had been declared dead, and its claims and locks given back."""


@dataclass(frozen=True)
class StoreDown:
    """Nobody can say who holds what; `why` is one line."""

    why: str


Answer = Granted | Held | Reserved | Gone | StoreDown


@dataclass(frozen=True)
class Verdict:
    """What the client is told. `reason` goes to the model with deny and ask, `context` to the
    model, `notice` to the person.
    """

    decision: Literal["pass", "allow", "ask", "deny"] = "pass"
    reason: str = ""
    context: str = ""
    notice: str = ""
    updated_input: Mapping[str, Any] | None = None


def needs(event: Event, project: Project) -> Needs:
    """What the event needs in this project; nothing for any event but the start of a tool that
    writes.
    """
    if not isinstance(event, PreToolUse):
        return Needs()
    if event.tool_name == "Bash":
        return _shell_needs(event, project)
    return _Collector(project).add_targets(tool_targets(event, project)).result()


def judge(needs: Needs, answer: Answer, project: Project, agent: str = "") -> Verdict:
    """The verdict for `needs` after the store gave `answer`; `agent` is the asking agent's name, ""
    when unknown.
    """
    if needs.refusals:
        return Verdict("deny", "\n".join(needs.refusals[:3]))
    if needs.question:
        return Verdict("ask", needs.question)
    if isinstance(answer, StoreDown):
        return _without_store(needs, answer, project)
    if isinstance(answer, Gone):
        return Verdict("deny", _gone(agent))
    if isinstance(answer, Held):
        return _held(needs, answer, project)
    if isinstance(answer, Reserved):
        return Verdict("deny", _reserved(needs, answer))
    return Verdict("allow" if needs.unasked else "pass", updated_input=_named_input(needs, agent))


def swept_lock(needs: Needs, resources: Iterable[str]) -> str | None:
    """The first of the resources, which others hold, that a path known only in part may mean; None
    when there is none.
    """
    return next(
        (found for found in resources if any(meets(sweep, found) for sweep in needs.swept)), None
    )


def misplaced(needs: Needs, worktree: str) -> Verdict | None:
    """A denial for an agent whose own worktree is the directory `worktree` and that writes in the
    main checkout; None when it does not.

    To be asked before any lock is taken. `worktree` is "" for an agent without one.
    """
    if not worktree or not needs.shared:
        return None
    meant = ", ".join(plain(f"{worktree}/{path}") for path in needs.shared[:3])
    return Verdict(
        "deny",
        "Octet: this checkout is shared by all agents, and you have a worktree of your own: "
        f"write {meant} instead.",
    )


def _shell_needs(event: PreToolUse, project: Project) -> Needs:
    command = event.tool_input.get("command")
    if not isinstance(command, str):
        return Needs(refusals=("Bash came without a command: Octet cannot check it",))
    start = event.cwd if event.cwd.startswith("/") else None
    script = shell.parse(command, start, toplevel=_toplevel(start))
    if not script.complete:
        return Needs(
            refusals=(
                "Octet cannot read this command, it is too long or nested too deeply: run it "
                "in smaller steps",
            )
        )
    words = read_octet_command(command)
    if words and approves(words):
        return Needs(
            question="`octet init` approves this repository's settings on this machine, which only "
            "you can do: allow it?"
        )
    found = _Collector(project)
    found.names_agent = bool(event.agent_id) and any(
        command.program == "octet" for command in script.commands
    )
    found.unasked = bool(words and runs_unasked(words))
    found.tool_input = event.tool_input
    return found.add_git(script, start).add_writes(script).result()


class _Collector:
    """Gathers what the parts of one tool call need."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._names: dict[str, str] = {}
        self._refusals: dict[str, None] = {}
        self._shared: dict[str, None] = {}
        self._swept: dict[str, None] = {}
        self._apart: dict[str, None] = {}
        self._linked: list[Worktree] | None = None
        self._writes: set[Write] = set()
        self.names_agent = False
        self.unasked = False
        self.tool_input: Mapping[str, Any] = {}

    def add_targets(
        self, targets: Iterable[Target], *, removes: bool = False, makes: bool = False
    ) -> _Collector:
        """Paths that are written; `removes`: taken away as a whole; `makes`: a directory, which is
        nobody's before it holds a file.
        """
        for target in targets:
            if isinstance(target, Unreadable):
                self._refuse(f"Octet cannot tell what this writes: {target.why}")
            elif isinstance(target, GitInternal):
                self._refuse(
                    f"{plain(target.path)} is git's own file, which all worktrees share: "
                    "change it with git commands"
                )
            elif isinstance(target, OctetInternal):
                self._refuse(f"{plain(target.path)} is Octet's own file: use `octet` commands")
            elif removes and (lost := self._worktree_in(target)):
                self._refuse_removal(lost)
            elif removes and self._is_all_of_it(target):
                self._refuse("it takes the checkout away that all agents share")
            elif isinstance(target, SharedCheckout | LinkedWorktree) and not makes:
                self._add_file(target, removes=removes)
        return self

    def add_write(self, write: Write) -> _Collector:
        """A path that is known, or known in part; each once, and no more than can be looked at in
        time.
        """
        if write in self._writes or len(self._writes) > _WRITE_LIMIT:
            return self
        self._writes.add(write)
        if len(self._writes) > _WRITE_LIMIT:
            self._refuse(
                f"Octet checks at most {_WRITE_LIMIT} files at once: run the command in "
                "several steps"
            )
            return self
        if UNKNOWN in write.path:
            return self._add_vague(write)
        return self.add_targets(
            [classify(self._project, write.path)], removes=write.removes, makes=write.makes
        )

    def add_writes(self, script: shell.Script) -> _Collector:
        """Files that a shell command changes."""
        for write in shell_writes(script):
            self.add_write(write)
            if len(self._writes) > _WRITE_LIMIT:
                break
        return self

    def add_git(self, script: shell.Script, start: str | None) -> _Collector:
        """What a shell command does with git."""
        for found in git_effects(script, self._project, start):
            if isinstance(found.effect, Write):
                self.add_write(found.effect)
            elif isinstance(found.effect, Moves):
                name = f"the branch {plain(found.effect.branch)} (`{found.command}` moves it)"
                self._names[repository_resource(found.effect.branch)] = name
            else:
                self._refuse(f"Octet refuses `{found.command}`: {found.effect.why}.")
        return self

    def result(self) -> Needs:
        """All of it. Under `paths = "warn"` a branch's lock is not put at risk by a file that
        another agent holds.
        """
        resources = tuple(self._names)
        branches = tuple(resource for resource in resources if resource.startswith("repository:"))
        if branches and self._project.config.lock_paths == "warn":
            resources = branches
        return Needs(
            resources=resources,
            names_agent=self.names_agent,
            refusals=tuple(self._refusals),
            unasked=self.unasked,
            names=self._names,
            shared=tuple(self._shared),
            swept=tuple(self._swept),
            apart=tuple(self._apart),
            tool_input=self.tool_input,
        )

    def _add_file(self, target: SharedCheckout | LinkedWorktree, *, removes: bool) -> None:
        config = self._project.config
        if config.lock_paths == "off" or matches_any(target.path, config.lock_ignore):
            return
        if isinstance(target, LinkedWorktree):
            self._names[worktree_resource(target.worktree)] = (
                f"the worktree {plain(target.worktree.name)}"
            )
            if target.path != ".":
                self._apart[path_resource(target.path).removeprefix("path:")] = None
        else:
            self._shared[target.path] = None
            for resource in write_resources(self._project, target.path, removes=removes):
                self._names[resource] = plain(target.path)

    def _add_vague(self, write: Write) -> _Collector:
        begin, _, rest = write.path.partition(UNKNOWN)
        directory, _, name = begin.rpartition("/")
        if name in (".", ".."):
            directory, name = begin, ""
        if write.removes and not rest and (lost := self._worktree_below(begin)):
            self._refuse_removal(lost)
        target = classify(self._project, directory or "/")
        if isinstance(target, LinkedWorktree):
            target = LinkedWorktree(target.worktree, ".")  # which of its files is not known
        if not isinstance(target, SharedCheckout):
            return self.add_targets([target], makes=write.makes)
        if self._project.config.lock_paths != "off":
            self._swept[
                f"{'' if target.path == '.' else f'{target.path}/'}{name}{UNKNOWN}{rest}"
            ] = None
        return self

    def _worktree_below(self, begin: str) -> str:
        """A worktree that `begin` and any text may mean: one that lies in it (`find begin`), or,
        after a slash, right in it.
        """
        return self._worktree_in(classify(self._project, begin), right_in_it=begin.endswith("/"))

    def _worktree_in(self, target: Target, *, right_in_it: bool = False) -> str:
        """The name of a linked worktree that goes with the target, "" for none."""
        if isinstance(target, LinkedWorktree):
            return plain(target.worktree.name) if target.path == "." else ""
        if not isinstance(target, SharedCheckout | Outside) or self._project.common_dir is None:
            return ""
        place = (
            Path(target.path) if isinstance(target, Outside) else self._project.root / target.path
        )
        if self._linked is None:
            self._linked = [
                worktree
                for worktree in worktrees_of(self._project.common_dir)
                if not worktree.is_main
            ]
        for worktree in self._linked:
            if worktree.path.parent == place if right_in_it else is_within(worktree.path, place):
                return plain(worktree.name)
        return ""

    def _is_all_of_it(self, target: Target) -> bool:
        if isinstance(target, Outside):
            return is_within(self._project.root, Path(target.path))
        return isinstance(target, SharedCheckout) and target.path == "."

    def _refuse_removal(self, name: str) -> None:
        self._refuse(
            f"{name} is a git worktree with work that may be nowhere else: use `octet "
            f"worktree remove {name}`"
        )

    def _refuse(self, reason: str) -> None:
        self._refusals[reason] = None


def _toplevel(start: str | None) -> str | None:
    try:
        worktree = find_worktree(start) if start else None
    except UnusablePath:
        return None
    return str(worktree.path) if worktree else None


def _named_input(needs: Needs, agent: str) -> Mapping[str, Any] | None:
    """The command with the agent's name before it: the command line of a sub-agent looks like its
    session's.
    """
    command = needs.tool_input.get("command")
    if not needs.names_agent or not isinstance(command, str) or not AGENT_NAME.fullmatch(agent):
        return None
    prefix = f"OCTET_AGENT={agent} " if needs.unasked else f"export OCTET_AGENT={agent}; "
    return {**needs.tool_input, "command": prefix + command.lstrip(" \t\n")}


def _held(needs: Needs, held: Held, project: Project) -> Verdict:
    holder = plain(held.holder, 80)
    said = _said(needs, held)
    if project.config.lock_paths == "warn" and not held.resource.startswith("repository:"):
        return Verdict(
            "pass",
            context=f"Octet: {said} Agree with it first: `octet msg send {holder} …`.",
            notice=f"Octet: {said}",
        )
    wait = f"wait (`{_wait_command(needs, held)}` takes it as soon as it is free)"
    end = "" if held.awaited else f" It is free {_until(held)}."
    advice = (
        f"Message the holder (`octet msg send {holder} …`), take another task (`octet task "
        f"claim`), or {wait}.{end}"
    )
    return Verdict("deny", f"Octet: {said} {advice}")


def _said(needs: Needs, held: Held) -> str:
    name = (
        needs.names.get(held.resource)
        or f"{plain(held.resource.removeprefix('path:'))} (which this may change)"
    )
    holder = plain(held.holder, 80)
    others = {0: "", 1: " 1 other waits for it."}.get(
        held.waiting, f" {held.waiting} others wait for it."
    )
    if held.awaited:
        return f"{name} goes to {holder} first, who has waited for it for {_duration(held.age_s)}."
    title = f': "{_quoted(held.title)}"' if held.title else ""
    work = f" (task {plain(held.task, 80)}{title})" if held.task else ""
    more = f" with all of {plain(held.by, 120)}" if held.by not in ("", held.resource) else ""
    return f"{name} has been held by {holder} for {_duration(held.age_s)}{work}{more}.{others}"


def _wait_command(needs: Needs, held: Held) -> str:
    """The command that waits for all that this needs; for the one alone where that would be a long
    line, or none that can be typed.
    """
    wanted = needs.resources if len(needs.resources) <= 3 else (held.resource,)
    typed = " ".join(shlex.quote(resource) for resource in wanted)
    return (
        f"octet lock wait {typed} --wait 5m"
        if typed.isprintable() and len(typed) <= 300
        else "octet lock wait …"
    )


def _quoted(title: str) -> str:
    """A task's title inside quotation marks: whoever wrote it cannot end the quotation."""
    return plain(title, 120).replace('"', "'")


def _until(held: Held) -> str:
    if held.task:
        return "when that task is submitted or given back"
    if held.scope == "turn":
        return f"when the turn of {plain(held.holder, 80)} ends"
    return "when it is released" + (
        f", or in {_duration(held.lapses_s)} unless its holder renews it" if held.lapses_s else ""
    )


def _reserved(needs: Needs, reserved: Reserved) -> str:
    name = needs.names.get(reserved.resource, plain(reserved.resource))
    return (
        f"Octet: {name} is moved by the repository-guardian, tested, and not by a {reserved.role}. "
        "Commit your work on a branch of your own, in your own worktree, and hand it on with "
        "`octet task submit`."
    )


def _gone(agent: str) -> str:
    name = f" as {plain(agent, 80)}" if agent else ""
    return (
        "Octet had counted this agent as dead and given its task and locks back; it is "
        f"registered anew{name}. "
        "Others may have changed files since: look at `octet status` and read the file "
        "again, then repeat this."
    )


def _without_store(needs: Needs, down: StoreDown, project: Project) -> Verdict:
    why = plain(down.why, 300)
    shared = [
        name
        for resource, name in needs.names.items()
        if resource in needs.resources and _is_enforced(resource, project)
    ]
    if needs.swept and project.config.lock_paths == "enforce":
        shared += [plain(sweep.replace(UNKNOWN, "…")) for sweep in needs.swept]
    if not needs.resources and not needs.swept:
        return Verdict("allow" if needs.unasked else "pass")
    if set(needs.resources) == {path_resource(FILE.as_posix())} and not needs.swept:
        return Verdict("ask", f"{why}. This changes {FILE}, which may mend it: allow it?")
    if not shared:
        return Verdict("pass", notice=f"Octet: {why}. Nobody's locks are checked meanwhile.")
    names = ", ".join(shared[:3]) + (f" and {len(shared) - 3} more" if len(shared) > 3 else "")
    policy = project.config.on_store_down
    if policy == "allow":
        return Verdict(
            "pass", notice=f"Octet: {why}. {names} went unchecked (on_store_down is allow)."
        )
    if policy == "ask":
        return Verdict(
            "ask",
            f"{why}, so Octet cannot tell whether another agent holds {names}. Go on all the same?",
        )
    return Verdict(
        "deny", f"{why}, so Octet cannot tell whether another agent holds {names}. {_STORE_ADVICE}"
    )


_STORE_ADVICE = (
    "Try again in a moment, work in a worktree of your own, or ask the user to run `octet doctor`."
)


def _is_enforced(resource: str, project: Project) -> bool:
    """Whether nothing goes on without this lock: a linked worktree is nearly always its writer's
    own.
    """
    return resource.startswith("repository:") or (
        resource.startswith("path:") and project.config.lock_paths == "enforce"
    )


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} s"
