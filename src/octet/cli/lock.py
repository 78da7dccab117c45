"""`octet lock …`"""

from __future__ import annotations

import click

from octet.agents import LOCK_TTL_MS
from octet.cli.output import emit, json_option, table
from octet.cli.session import caller, opened
from octet.errors import LockHeld, Refused
from octet.text import age, plain


@click.group()
def lock_group() -> None:
    """Locks: acquire, release, list, break."""


@lock_group.command("acquire")
@click.argument("resources", metavar="RESOURCE…", nargs=-1, required=True)
@click.option(
    "--ttl",
    "ttl_s",
    type=click.IntRange(1, 86400),
    default=LOCK_TTL_MS // 1000,
    show_default=True,
    help="Seconds it outlives its holder.",
)
@json_option
def acquire(resources: tuple[str, ...], ttl_s: int, as_json: bool) -> None:
    """Take every RESOURCE or none: path:FILE, repository:BRANCH, name:ANYTHING."""
    with opened() as octet:
        agent = caller(octet)
        try:
            tokens = octet.locks.acquire(agent, resources, ttl_ms=ttl_s * 1000)
        except LockHeld as held:
            since = f", {age(held.since_ms, octet.now_ms())}" if held.since_ms else ""
            raise Refused(f"{held}{since}: wait, take other work, or ask with `octet msg send {held.holder} TEXT`") from held
    lines = [f"{agent.id} holds {plain(resource)} (token {token})" for resource, token in tokens.items()]
    emit({"agent": agent.id, "tokens": dict(tokens)}, "\n".join(lines), as_json)


@lock_group.command("release")
@click.argument("resource")
@click.option("--token", help="Fencing token; default: that of your own lock.")
@json_option
def release(resource: str, token: str | None, as_json: bool) -> None:
    """Free a lock of your own."""
    with opened() as octet:
        if not token:
            lock, agent = octet.locks.get(resource), caller(octet)
            if lock.holder != agent.id:
                raise Refused(f"{resource} is held by {lock.holder}, not by you ({agent.id}): ask with `octet msg send {lock.holder} TEXT`")
            token = lock.token
        octet.locks.release(resource, token)
    emit({"resource": resource, "state": "free"}, f"{plain(resource)} is free", as_json)


@lock_group.command("list")
@json_option
def list_locks(as_json: bool) -> None:
    """Who holds what, since when, for which task."""
    with opened() as octet:
        locks, now = octet.locks.list(), octet.now_ms()
    rows = [[lock.resource, lock.holder, lock.task, age(lock.since_ms, now), lock.scope, lock.token] for lock in locks]
    emit(locks, table(["RESOURCE", "HOLDER", "TASK", "FOR", "UNTIL", "TOKEN"], rows) if rows else "no locks", as_json)


@lock_group.command("break")
@click.argument("resource")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def break_lock(resource: str, yes: bool, as_json: bool) -> None:
    """Take a lock from its holder: for people, when the holder cannot be asked. The log keeps who did it."""
    with opened() as octet:
        lock, by = octet.locks.get(resource), caller(octet)
        if not (yes or _confirmed(f"{plain(resource)} is held by {plain(lock.holder)}, who may be writing it now. Break the lock?")):
            raise Refused(f"{resource} stays locked by {lock.holder}")
        holder = octet.locks.break_lock(resource, by.id)
        if any(agent.id == holder for agent in octet.agents.list()):
            octet.messages.send(holder, f"Your lock on {resource} was broken by {by.id}: stop writing it.", sender=by.id)
    emit({"resource": resource, "holder": holder}, f"broke {plain(holder)}'s lock on {plain(resource)}", as_json)


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        click.echo(err=True)  # the question has no line end of its own
        raise Refused("nobody is there to confirm it: add --yes when you are sure") from error
