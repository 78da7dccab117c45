"""The sentences of the guard's verdicts on tool calls.

Other sentences stand where they are said: why a git command is refused in `guard.git.rules` and
`guard.git.script`; that a call cannot be read in `guard.failsafe`; what an agent that was declared
dead is told in `daemon.liveness.fenced_out`, and its new name in `daemon.hooks.pre_tool_use`; what
git's own hooks say in `daemon.hooks.fence`, `fence.attempt` and `fence/fence.sh`.

Models read most of them, at each denied call, so each has a budget of characters in
tests/unit/guard/policy/test_wording.py. A denial says what is wrong and what to do next.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from octet.base.text import duration, plain
from octet.guard.policy.answers import Held, Reserved
from octet.guard.shell.words import UNKNOWN
from octet.project.config import FILE

# Refusals: no lock makes the call right.

NO_COMMAND = "Bash came without a command: Octet cannot check it"
COMMAND_TOO_LONG = (
    "Octet cannot check this command, it is too long or too deeply nested: run it in smaller steps"
)
REMOVES_CHECKOUT = "this removes the checkout that all agents share"


def unreadable(why: str) -> str:
    """A path that cannot be checked."""
    return f"Octet cannot tell what this writes: {why}"


def git_file(path: str) -> str:
    """A file of git's own."""
    return f"{plain(path)} is git's own file, shared by all worktrees: change it with git commands"


def octet_file(path: str) -> str:
    """A file of Octet's own."""
    return f"{plain(path)} is Octet's own file: use `octet` commands"


def removes_worktree(name: str) -> str:
    """A linked worktree that is removed by hand."""
    return (
        f"{name} is a git worktree and may hold the only copy of some work: "
        f"use `octet worktree remove {name}`"
    )


def refused_command(command: str, why: str) -> str:
    """A git command that must not run."""
    return f"Octet refuses `{command}`: {why}."


def too_many_files(limit: int) -> str:
    """A command that writes more files than can be checked in time."""
    return f"Octet checks at most {limit} files at once: run the command in several steps"


# Resources, as people call them.


def moved_branch(name: str, command: str) -> str:
    """A protected branch and the command that moves it."""
    return f"the branch {plain(name)} (`{command}` moves it)"


def worktree(name: str) -> str:
    """A linked worktree."""
    return f"the worktree {plain(name)}"


def partial_path(path: str) -> str:
    """A path of which a part is unknown."""
    return plain(path.replace(UNKNOWN, "…"))


def perhaps_changed(resource: str) -> str:
    """Another agent's resource that a partial path may mean."""
    return f"{plain(resource.removeprefix('path:'))} (which this may change)"


# Locks of other agents.


def held_denial(lock: Held, name: str, wanted: Sequence[str]) -> str:
    """The denial: `name` is the resource as people call it, `wanted` all that the call needs."""
    holder = plain(lock.holder, 80)
    return (
        f"Octet: {_holder(lock, name)}. Message it (`octet msg send {holder} …`), take another "
        f"task (`octet task claim`), or wait (`{_wait_command(lock, wanted)}` takes it when free)."
    )


def held_notice(lock: Held, name: str) -> str:
    """For the person, where a held path is no denial."""
    return f"Octet: {_holder(lock, name)}."


def held_warning(lock: Held, name: str) -> str:
    """The same for the model."""
    holder = plain(lock.holder, 80)
    return f"{held_notice(lock, name)} Agree with it first: `octet msg send {holder} …`."


def _holder(lock: Held, name: str) -> str:
    holder, age = plain(lock.holder, 80), duration(lock.age_s)
    if lock.awaited:
        return f"{name} goes to {holder} first (waiting for {age}{_queued(lock)})"
    title = f' "{_quoted(lock.title)}"' if lock.title else ""
    task = f"task {plain(lock.task, 80)}{title}, " if lock.task else ""
    covering = f", with all of {plain(lock.by, 120)}" if lock.by not in ("", lock.resource) else ""
    return f"{name} is held by {holder}{covering} ({task}for {age}{_queued(lock)}) {_until(lock)}"


def _queued(lock: Held) -> str:
    return f", {lock.waiting} queued" if lock.waiting else ""


def _until(lock: Held) -> str:
    if lock.task:
        return "until that task is submitted or released"
    if lock.scope == "turn":
        return "until its turn ends"
    lapse = f", or for {duration(lock.lapses_s)} unless renewed" if lock.lapses_s else ""
    return f"until it is released{lapse}"


def _quoted(title: str) -> str:
    """A task's title for quotation marks, which its author cannot end early."""
    return plain(title, 120).replace('"', "'")


def _wait_command(lock: Held, wanted: Sequence[str]) -> str:
    """The command that waits for all that the call needs; for the held resource alone where that
    would be a long line, and for "…" where the names cannot be typed.
    """
    is_wanted = lock.resource in wanted and len(wanted) <= 3
    resources = wanted if is_wanted else (lock.resource,)
    typed = " ".join(shlex.quote(resource) for resource in resources)
    is_short = typed.isprintable() and len(typed) <= 300
    return f"octet lock wait {typed if is_short else '…'} --wait 5m"


# Files that several agents change.


def overlap(path: str, agent: str, task: str, branch: str) -> str:
    """For an agent whose file another one changes in its own worktree."""
    other = plain(agent, 80)
    facts = [("task", plain(task, 80)), ("branch", plain(branch))]
    known = ", ".join(f"{name} {value}" for name, value in facts if value)
    work = f" ({known})" if known else ""
    return (
        f"Octet: {other}{work} also changes {plain(path)}, in its own worktree, and was told. "
        f"Agree who does what before either is merged (`octet msg send {other} …`)."
    )


def intruding(path: str, holder: str, task: str) -> str:
    """For an agent during whose command a file changed that another one holds."""
    other = plain(holder, 80)
    task = f" (task {plain(task, 80)})" if task else ""
    return (
        f"Octet: {plain(path)} changed while this command ran; its holder {other}{task} was told. "
        f"If the command did it, agree with {other} (`octet msg send {other} …`) and do not write "
        "it again."
    )


def intruded(path: str, agent: str) -> str:
    """For the holder of that file, as a message."""
    name = plain(path)
    return (
        f"{name}, which you hold, changed while {agent} ran a shell command: look at "
        f"`git diff -- {name}` before you go on."
    )


# Agents that are in the wrong place, or not known any more.


def reserved_denial(branch: Reserved, name: str) -> str:
    """A protected branch that the agent's role does not move."""
    return (
        f"Octet: only the repository-guardian moves {name}, after tests, not a {branch.role}. "
        "Commit on your own branch in your own worktree, then run `octet task submit`."
    )


def misplaced_denial(paths: Sequence[str]) -> str:
    """A write in the main checkout by an agent with a worktree; `paths` are those it meant."""
    meant = ", ".join(map(plain, paths))
    return (
        "Octet: all agents share this checkout, and you have your own worktree: "
        f"write {meant} instead."
    )


def gone_denial(agent: str) -> str:
    """The agent had been declared dead; `agent` is its name now, "" when unknown."""
    name = f" as {plain(agent, 80)}" if agent else ""
    return (
        "Octet had declared this agent dead and released its task and locks; it is registered "
        f"again{name}. Others may have changed files since: look at `octet status`, read the file "
        "again, then repeat this."
    )


# Questions to a person.

INIT_QUESTION = (
    "`octet init` approves this repository's settings on this machine, which only you can do: "
    "allow it?"
)


def settings_question(why: str) -> str:
    """The store is down, and the call changes Octet's settings."""
    return f"{why}. This changes {FILE}, which may fix it: allow it?"


# The store is down; `why` is one line without a full stop.


def unchecked_denied(why: str, names: Sequence[str]) -> str:
    """`on_store_down` is deny."""
    return (
        f"{why}, so Octet cannot tell whether another agent holds {_listed(names)}. Try again in a "
        "moment, work in your own worktree, or ask the user to run `octet doctor`."
    )


def unchecked_question(why: str, names: Sequence[str]) -> str:
    """`on_store_down` is ask."""
    return (
        f"{why}, so Octet cannot tell whether another agent holds {_listed(names)}. Go on anyway?"
    )


def unchecked_allowed(why: str, names: Sequence[str]) -> str:
    """`on_store_down` is allow."""
    return f"Octet: {why}. {_listed(names)} went unchecked (on_store_down is allow)."


def unchecked_notice(why: str) -> str:
    """The call needs no lock that is enforced."""
    return f"Octet: {why}. Locks are not checked meanwhile."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
