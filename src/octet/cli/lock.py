"""`octet lock …`"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from octet.base.errors import LockAwaited, LockHeld, Refused
from octet.base.text import age, plain
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.cli._common.output import confirmed, emit, json_option, table
from octet.client.api import Octet
from octet.core.agents.identity import NAMED_LEASE_MS, PERSON_LEASE_MS
from octet.core.agents.registry import LOCK_TTL_MS, Agent
from octet.core.locks.locks import Lock
from octet.core.locks.names import canonical, check_resource
from octet.guard.paths import spoken_resource

F = TypeVar("F", bound=Callable[..., Any])
resources_argument = click.argument("resources", metavar="RESOURCE…", nargs=-1, required=True)
ttl_option = click.option(
    "--ttl",
    "ttl_s",
    type=click.IntRange(1, 86400),
    default=LOCK_TTL_MS // 1000,
    show_default=True,
    help="Seconds that it outlives its holder; without a holding process, its last renewal.",
)


def wait_option(default: str) -> Callable[[F], F]:
    """How long to wait for what is held."""
    help_text = f"The longest wait, such as 90s, 10m or 2h; default: {default}."
    return click.option(
        "--wait", "wait_s", type=Duration(), default=default, metavar="TIME", help=help_text
    )


@click.group()
def lock_group() -> None:
    """Locks: acquire, wait, release, list, break."""


@lock_group.command("acquire")
@resources_argument
@ttl_option
@wait_option("0s")
@json_option
def acquire(resources: tuple[str, ...], ttl_s: int, wait_s: float, as_json: bool) -> None:
    """Take all RESOURCEs or none, until they are released: path:FILE, path:DIRECTORY/, path:GLOB,
    repository:BRANCH, name:ANYTHING.
    """
    _acquire(resources, "own", ttl_s, wait_s, as_json)


@lock_group.command("wait")
@resources_argument
@ttl_option
@wait_option("10m")
@json_option
def wait(resources: tuple[str, ...], ttl_s: int, wait_s: float, as_json: bool) -> None:
    """Wait until all RESOURCEs are free, first come, first served, and take them.

    A Claude Code session holds them for its turn or its task, like the files that it writes; any
    other caller holds them until they are released.
    """
    _acquire(resources, "turn", ttl_s, wait_s, as_json)


def _acquire(
    resources: Sequence[str], scope: str, ttl_s: int, wait_s: float, as_json: bool
) -> None:
    with opened() as octet:
        agent, wanted = caller(octet), [_resource(octet, resource) for resource in resources]
        _outlive(octet, agent, wait_s)
        try:
            # Only a session's turn ends by itself.
            terms = {"scope": scope if agent.process else "own", "ttl_ms": ttl_s * 1000}
            tokens = octet.locks.acquire_when_free(agent, wanted, wait_s, **terms)  # type: ignore[arg-type]
        except LockHeld as held:
            raise Refused(_refusal(octet, held)) from held
    _show(agent, tokens, as_json)


def _show(agent: Agent, tokens: Mapping[str, str], as_json: bool) -> None:
    lines = [
        f"{agent.id} holds {plain(resource)} (token {token})" for resource, token in tokens.items()
    ]
    emit({"agent": agent.id, "tokens": dict(tokens)}, "\n".join(lines), as_json)


def _outlive(octet: Octet, agent: Agent, wait_s: float) -> None:
    """Extend the lease of a person or a script, which is not renewed while this command waits."""
    lease_ms = PERSON_LEASE_MS if agent.kind == "person" else NAMED_LEASE_MS
    if not agent.process and wait_s * 1000 >= lease_ms / 2:
        octet.agents.heartbeat([agent], int(wait_s * 1000) + lease_ms)


def _refusal(octet: Octet, held: LockHeld) -> str:
    since = f", {age(held.since_ms, octet.now_ms())}" if held.since_ms else ""
    others = (
        "" if isinstance(held, LockAwaited) or not held.waiting else f", {held.waiting} waiting"
    )
    ways = (
        "wait with `octet lock wait`, take other work, or ask with `octet msg send "
        f"{held.holder} TEXT`"
    )
    return f"{held}{since}{others}: {ways}"


def _resource(octet: Octet, text: str) -> str:
    check_resource(text)
    return canonical(spoken_resource(octet.project, text) if octet.project else text)


@lock_group.command("release")
@click.argument("resource")
@click.option("--token", help="Fencing token; default: that of your own lock.")
@json_option
def release(resource: str, token: str | None, as_json: bool) -> None:
    """Release a lock of your own."""
    with opened() as octet:
        resource = _resource(octet, resource)
        if not token:
            lock, agent = octet.locks.get(resource), caller(octet)
            if lock.holder != agent.id:
                raise Refused(
                    f"{resource} is held by {lock.holder}, not by you ({agent.id}): ask with "
                    f"`octet msg send {lock.holder} TEXT`"
                )
            token = lock.token
        octet.locks.release(resource, token)
    emit({"resource": resource, "state": "free"}, f"{plain(resource)} is free", as_json)


@lock_group.command("list")
@json_option
def list_locks(as_json: bool) -> None:
    """Show all locks: holder, task, age and end, and the agents that wait for them."""
    with opened() as octet:
        locks, now = octet.locks.list(), octet.now_ms()
        renewed = {agent.id for agent in octet.agents.list() if agent.process}
    rows = [_row(lock, now, lock.holder in renewed) for lock in locks]
    headings = ["RESOURCE", "HOLDER", "TASK", "FOR", "UNTIL", "WAITING", "TOKEN"]
    emit(locks, table(headings, rows) if rows else "no locks", as_json)


def _row(lock: Lock, now_ms: int, is_renewed: bool) -> list[str]:
    waiting = ", ".join(
        f"{waiter.agent} ({age(waiter.since_ms, now_ms)})" for waiter in lock.waiting
    )
    ends = {"turn": "end of turn", "task": "end of task"}.get(lock.scope, "released")
    if not is_renewed and lock.ttl_ms >= 0:
        ends = f"in {age(now_ms, now_ms + lock.ttl_ms)}"
    name = f"{lock.resource} (all in it)" if lock.wide else lock.resource
    return [name, lock.holder, lock.task, age(lock.since_ms, now_ms), ends, waiting, lock.token]


@lock_group.command("break")
@click.argument("resource")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def break_lock(resource: str, yes: bool, as_json: bool) -> None:
    """Take a lock from its holder: for people, if the holder cannot be asked. The log records who
    did it.
    """
    with opened() as octet:
        resource = _resource(octet, resource)
        lock, by = octet.locks.get(resource), caller(octet)
        if not (
            yes
            or confirmed(
                f"{plain(resource)} is held by {plain(lock.holder)}, who may be writing it "
                "now. Break the lock?"
            )
        ):
            raise Refused(f"{resource} stays locked by {lock.holder}")
        holder = octet.locks.break_lock(resource, by.id)
        if any(agent.id == holder for agent in octet.agents.list()):
            octet.messages.send(
                holder,
                f"Your lock on {resource} was broken by {by.id}: stop writing it.",
                sender=by.id,
            )
    emit(
        {"resource": resource, "holder": holder},
        f"broke {plain(holder)}'s lock on {plain(resource)}",
        as_json,
    )
