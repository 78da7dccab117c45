"""The errors for a task script's reply when it is not `OK`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from octet.base.errors import (
    AgentGone,
    IllegalTransition,
    NotFound,
    NothingToClaim,
    NotYourTurn,
    OctetError,
    Refused,
    StaleToken,
    WorkMoved,
)
from octet.core.agents.election import refusal
from octet.store.scripts import Reply


def check_reply(reply: Sequence[Any], task_id: str, step: str, allowed: str) -> None:
    """Raise the error of a reply that is not `OK`; `allowed` are the states that allow the step."""
    if reply[0] != Reply.OK:
        raise refused_step(reply, task_id, step, allowed)


def refused_step(reply: Sequence[Any], task_id: str, step: str, allowed: str) -> OctetError:
    """The error of a step on a task that was refused."""
    if reply[0] == Reply.MISSING:
        return NotFound(f"no task {task_id}: `octet task list` shows them")
    if reply[0] == Reply.STATE:
        return IllegalTransition(task_id, reply[1], step, allowed)
    if reply[0] == Reply.STALE:
        now = f"{reply[1]}, held by {reply[2]}" if reply[2] else reply[1]
        return StaleToken(
            f"cannot {step} task {task_id}: this claim has ended (the task is {now} now); "
            "stop work on it and claim again"
        )
    if reply[0] == Reply.MOVED:
        return WorkMoved(task_id, reply[1])
    if reply[0] == Reply.OWN:
        return Refused(f"task {task_id} is your own work: another agent must judge it")
    if reply[0] == Reply.LED:
        return refusal(reply)
    if reply[0] == Reply.GONE:
        return AgentGone("this agent was declared dead and its work given back: claim again")
    raise AssertionError(f"a script answered {reply!r}")


def refused_claim(
    reply: Sequence[Any], agent_id: str, stage: str, task_id: str, allowed: str
) -> OctetError:
    """The error of a claim that got no task; `allowed` are the states that allow it."""
    if reply[0] == Reply.EMPTY:
        return nothing_to_claim(stage, int(reply[1]), int(reply[2]), int(reply[3]))
    if reply[0] == Reply.LATER:
        return NotYourTurn(f"others have waited longer for the {stage} stage")
    if reply[0] == Reply.NEEDS:
        return Refused(
            f"task {task_id} needs {reply[1]!r}, which {agent_id} lacks: `octet agent join "
            f"ROLE --capability {reply[1]}`"
        )
    if reply[0] == Reply.SCOPE:
        return Refused(
            f"task {task_id} may touch the same files as task {reply[1]}, which is in "
            "flight: wait for that, or claim another"
        )
    return refused_step(reply, task_id, "claim", allowed)


def nothing_to_claim(stage: str, overlapping: int, offer_ms: int, own: int) -> NothingToClaim:
    """The error of a claim that found nothing: `overlapping` tasks wait for the scopes in flight,
    `own` are the agent's own work, and one is offered to another agent for `offer_ms`.
    """
    why = f"no task waits for the {stage} stage that you could claim"
    if own:
        why = (
            f"every task that waits for the {stage} stage is your own work, which another agent "
            "must judge"
        )
    if overlapping:
        why = (
            f"{overlapping} of the tasks that wait for the {stage} stage may touch the same "
            "files as tasks in flight, and no other fits"
        )
    return NothingToClaim(why, offer_ms=offer_ms)
