"""Whether an agent may have locks: one rule for the guard of tool calls and for git's fence.

Protected branches are moved by the guardian, or by a guest, which is a person's ordinary session.
Another role must hold the branch's lock by its own `octet lock acquire`, or is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from octet.base.errors import AgentGone, LockAwaited, LockHeld, NotFound, OctetError
from octet.base.vocabulary import GUEST, REPOSITORY_GUARDIAN
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.locks.locks import Lock
from octet.guard import policy

log = logging.getLogger(__name__)

# A guest commits where the person lets it, one at a time.
MAY_MOVE_BRANCHES = frozenset({GUEST, REPOSITORY_GUARDIAN})


def acquire(octet: Octet, agent: Agent, resources: Sequence[str]) -> policy.StoreAnswer:
    """Take the locks for the agent's turn, all or none, if its role may have them."""
    if reserved := _reserved(octet, agent, resources):
        return reserved
    try:
        if resources:
            octet.locks.acquire(agent, resources, scope="turn")
    except LockHeld as held:
        return answer_held(octet, held)
    except AgentGone:
        return policy.Gone()
    return policy.Granted()


def in_the_way(octet: Octet, agent: Agent, needs: policy.Needs) -> policy.Held | None:
    """Another agent's lock on what a call with partly known paths may change; None for none."""
    if not needs.partial_paths:
        return None
    others = {
        lock.resource: lock
        for lock in octet.locks.list()
        if lock.holder not in (agent.id, agent.parent)
    }
    found = policy.match_partial(needs, others)
    return answer_held(octet, as_held(others[found])) if found else None


def as_held(lock: Lock) -> LockHeld:
    """A lock as the refusal that it means for others."""
    return LockHeld(
        lock.resource,
        lock.holder,
        scope=lock.scope,
        task=lock.task,
        since_ms=lock.since_ms,
        ttl_ms=lock.ttl_ms,
    )


def answer_held(octet: Octet, held: LockHeld) -> policy.Held:
    """A lock that another agent holds, or has waited for, with its task, its age and its end."""
    title = ""
    if held.task:
        try:
            title = octet.tasks.get(held.task).title
        except OctetError as error:
            log.info("a lock names the task %s: %s", held.task, error)
    age_ms = max(0, octet.now_ms() - held.since_ms) if held.since_ms else 0
    return policy.Held(
        held.resource,
        held.holder,
        held.task,
        title,
        age_ms / 1000,
        held.scope,
        held.by,
        0.0 if _is_renewed(octet, held.holder) else held.ttl_ms / 1000,
        held.waiting,
        isinstance(held, LockAwaited),
    )


def _is_renewed(octet: Octet, holder: str) -> bool:
    """Whether the holder's locks live as long as its process, or end by their TTL without one."""
    try:
        return bool(octet.agents.get(holder).process)
    except NotFound:
        return False


def _reserved(octet: Octet, agent: Agent, resources: Sequence[str]) -> policy.Reserved | None:
    """A refusal for a role that does not move protected branches, unless the agent has taken the
    branch's lock by command.
    """
    if agent.role in MAY_MOVE_BRANCHES:
        return None
    for resource in resources:
        if resource.startswith("repository:") and not _holds(octet, agent, resource):
            return policy.Reserved(resource, agent.role)
    return None


def _holds(octet: Octet, agent: Agent, resource: str) -> bool:
    try:
        return octet.locks.get(resource).holder == agent.id
    except NotFound:
        return False
