"""What the store's answer means for a tool call.

judge(needs, Held("path:src/a.py", "developer-2"), project)    # Verdict("deny", "…")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from octet.base.text import plain
from octet.base.vocabulary import AGENT_NAME
from octet.guard.paths import path_resource
from octet.guard.policy import wording
from octet.guard.policy.answers import Gone, Held, Reserved, StoreAnswer, StoreDown
from octet.guard.policy.needs import Needs
from octet.guard.shell.partial_paths import may_overlap
from octet.project.config import FILE
from octet.project.repository import Project


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


def judge(needs: Needs, answer: StoreAnswer, project: Project, agent: str = "") -> Verdict:
    """The verdict for `needs` after the store gave `answer`; `agent` is the asking agent's name, ""
    when unknown.
    """
    if needs.refusals:
        return Verdict("deny", "\n".join(needs.refusals[:3]))
    if needs.question:
        return Verdict("ask", needs.question)
    if isinstance(answer, StoreDown):
        return _without_store(needs, plain(answer.why, 300), project)
    if isinstance(answer, Gone):
        return Verdict("deny", wording.gone_denial(agent))
    if isinstance(answer, Held):
        return _held(needs, answer, project)
    if isinstance(answer, Reserved):
        name = needs.names.get(answer.resource) or plain(answer.resource)
        return Verdict("deny", wording.reserved_denial(answer, name))
    return _passed(needs, _named_input(needs, agent))


def match_partial(needs: Needs, resources: Iterable[str]) -> str | None:
    """The first of the resources, held by others, that a partial path may mean; None for none."""
    return next(
        (
            resource
            for resource in resources
            if any(may_overlap(path, resource) for path in needs.partial_paths)
        ),
        None,
    )


def misplaced(needs: Needs, worktree: str) -> Verdict | None:
    """A denial for an agent that writes in the main checkout though `worktree` is its own; None
    when it does not. To be asked before any lock is taken. `worktree` is "" for an agent without.
    """
    if not worktree or not needs.checkout_paths:
        return None
    meant = [f"{worktree}/{path}" for path in needs.checkout_paths[:3]]
    return Verdict("deny", wording.misplaced_denial(meant))


def _passed(needs: Needs, updated_input: Mapping[str, Any] | None = None) -> Verdict:
    return Verdict("allow" if needs.prompt_free else "pass", updated_input=updated_input)


def _named_input(needs: Needs, agent: str) -> Mapping[str, Any] | None:
    """The command with the agent's name in front of it; None to leave it as it is."""
    command = needs.tool_input.get("command")
    if not needs.names_agent or not isinstance(command, str) or not AGENT_NAME.fullmatch(agent):
        return None
    prefix = f"OCTET_AGENT={agent} " if needs.prompt_free else f"export OCTET_AGENT={agent}; "
    return {**needs.tool_input, "command": prefix + command.lstrip(" \t\n")}


def _held(needs: Needs, lock: Held, project: Project) -> Verdict:
    name = needs.names.get(lock.resource) or wording.perhaps_changed(lock.resource)
    if project.config.lock_paths == "warn" and not lock.resource.startswith("repository:"):
        return Verdict(
            context=wording.held_warning(lock, name), notice=wording.held_notice(lock, name)
        )
    return Verdict("deny", wording.held_denial(lock, name, needs.resources))


def _without_store(needs: Needs, why: str, project: Project) -> Verdict:
    if not needs.resources and not needs.partial_paths:
        return _passed(needs)
    if set(needs.resources) == {path_resource(FILE.as_posix())} and not needs.partial_paths:
        return Verdict("ask", wording.settings_question(why))
    names = _enforced_names(needs, project)
    if not names:
        return Verdict(notice=wording.unchecked_notice(why))
    if project.config.on_store_down == "allow":
        return Verdict(notice=wording.unchecked_allowed(why, names))
    if project.config.on_store_down == "ask":
        return Verdict("ask", wording.unchecked_question(why, names))
    return Verdict("deny", wording.unchecked_denied(why, names))


def _enforced_names(needs: Needs, project: Project) -> list[str]:
    """What the call must not touch without a look at the locks. A linked worktree is left out: it
    is nearly always its writer's own.
    """
    enforces_paths = project.config.lock_paths == "enforce"
    names = [
        name
        for resource, name in needs.names.items()
        if resource in needs.resources
        and (
            resource.startswith("repository:") or (resource.startswith("path:") and enforces_paths)
        )
    ]
    return names + [wording.partial_path(path) for path in needs.partial_paths if enforces_paths]
