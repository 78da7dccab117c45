"""`octet msg …`"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click

from octet.base.errors import NotFound, UsageError
from octet.base.text import age, plain, quoted
from octet.base.vocabulary import GUEST, ROLES
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.output import emit, json_option, table
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.messaging.messages import EVERYBODY, KINDS, MAX_TEXT, PRIORITIES, TASK, Message

LISTED = 20
MAX_PRINTED = 4000


@click.group()
def msg_group() -> None:
    """Messages: send, inbox, ack."""


@msg_group.command("send")
@click.argument("to")
@click.argument("text")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="note",
    show_default=True,
    help="The kind of message.",
)
@click.option("--task", default="", help="The task that it is about.")
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES),
    default="normal",
    show_default=True,
    help="High priority is shown first.",
)
@click.option("--reply-to", default="", metavar="REF", help="The message that it answers.")
@click.option(
    "--all", "everyone", is_flag=True, help="With a role: to each of its present members."
)
@json_option
def send(
    to: str,
    text: str,
    kind: str,
    task: str,
    priority: str,
    reply_to: str,
    everyone: bool,
    as_json: bool,
) -> None:
    """Send TEXT (`-`: standard input).

    TO is an agent, a role (one of its members takes it), task:ID (the task's holder, now or next)
    or `all`.
    """
    body = _read_text() if text == "-" else text
    with opened() as octet:
        sender = caller(octet)
        _check_recipient(octet, to, everyone)
        sent = octet.messages.send(
            to,
            body,
            sender=sender.id,
            kind=kind,
            task=task,
            priority=priority,
            reply_to=reply_to,
            everyone=everyone,
        )
    full = f"; full, and not sent to: {', '.join(sent.full)}" if sent.full else ""
    refs = f" ({len(sent.refs)} agents)" if everyone or to in EVERYBODY else f" as {sent.refs[0]}"
    emit(
        {"refs": sent.refs, "full": sent.full, "to": to, "from": sender.id},
        f"sent to {to}{refs}{full}",
        as_json,
    )


def _read_text() -> str:
    """Standard input, up to one character more than a message may have, so that a longer text is
    refused and not cut.
    """
    return sys.stdin.read(MAX_TEXT + 1)


def _check_recipient(octet: Octet, to: str, everyone: bool) -> None:
    agents = octet.agents.list()
    roles = {*ROLES, *(agent.role for agent in agents)}
    if everyone and to not in roles:
        raise UsageError("--all goes with a role: for every agent, send to `all`")
    if (
        to in EVERYBODY
        or to.startswith(TASK)
        or to in roles
        or to in {agent.id for agent in agents}
    ):
        return
    here = (
        ", ".join(agent.id for agent in agents[:LISTED] if agent.kind != "person") or "none is here"
    )
    raise NotFound(
        f"no agent or role {plain(to, 80)!r}: agents: {here}; roles: {', '.join(ROLES)}; or "
        "task:ID, or all (`octet agent list`)"
    )


@msg_group.command("inbox")
@click.argument("ref", required=False)
@click.option(
    "--limit",
    default=10,
    show_default=True,
    type=click.IntRange(1, 100),
    help="The maximum number of new messages.",
)
@click.option("--recent", is_flag=True, help="Also messages that you read lately.")
@click.option(
    "--sent", is_flag=True, help="Messages that you sent lately, and whether they were read."
)
@json_option
def inbox(ref: str | None, limit: int, recent: bool, sent: bool, as_json: bool) -> None:
    """Show your new messages, each once; with REF, that message whole."""
    with opened() as octet:
        agent = caller(octet)
        if sent:
            return _show_sent(octet, agent, limit, as_json)
        found = (
            _one(octet, agent, ref)
            if ref
            else [
                *_new(octet, agent, limit),
                *(octet.messages.shown(agent, limit) if recent else ()),
            ]
        )
        now, left = octet.now_ms(), 0 if ref else octet.messages.snapshot(agent).fresh
    most = MAX_TEXT * 2 if ref else MAX_PRINTED
    lines = [f"{_heading(message, now)}\n{quoted(message.text, most)}" for message in found] or [
        "no new messages"
    ]
    emit(
        found, "\n".join([*lines, *([f"{left} more: `octet msg inbox`"] if left else [])]), as_json
    )
    return None


def _new(octet: Octet, agent: Agent, limit: int) -> Sequence[Message]:
    """The waiting messages. A session's command shows them to a model, and its transcript tells
    whether they arrived; a program has them now.
    """
    if not (agent.process and agent.session):
        return octet.messages.read(agent, limit)
    record = {"session": "", "transcript": "", "offset": -1, "wall_ms": int(time.time() * 1000)}
    return octet.messages.take(agent, record, limit=limit).messages


def _one(octet: Octet, agent: Agent, ref: str) -> Sequence[Message]:
    kept = [message for message in octet.messages.shown(agent) if message.ref == ref]
    inboxes = {
        agent.id,
        agent.role,
        *(f"{TASK}{task.id}" for task in octet.tasks.held_by(agent.id)),
    }
    waiting = octet.messages.peek(ref) if ref.rpartition("/")[0] in inboxes else None
    if not (found := [*kept, *([waiting] if waiting else [])]):
        raise NotFound(
            f"no message {plain(ref, 80)} of yours: `octet msg inbox --recent` shows them"
        )
    return found[:1]


def _show_sent(octet: Octet, agent: Agent, limit: int, as_json: bool) -> None:
    here, now = {other.id for other in octet.agents.list()}, octet.now_ms()
    rows = octet.messages.sent(agent, limit)
    cells = [
        [ref, _fate(ref, fate, here), age(at_ms, now), plain(text, 60)]
        for ref, text, fate, at_ms in rows
    ]
    value = [
        {"ref": ref, "text": text, "state": _fate(ref, fate, here), "sent_ms": at_ms}
        for ref, text, fate, at_ms in rows
    ]
    emit(
        value,
        table(["message", "state", "age", "text"], cells) if cells else "nothing was sent",
        as_json,
    )


def _fate(ref: str, fate: str, here: set[str]) -> str:
    inbox = ref.rpartition("/")[0]
    if fate == "read" or inbox in here or inbox in {*ROLES, GUEST} or inbox.startswith(TASK):
        return fate
    return f"{fate}, and {inbox} has left"


@msg_group.command("ack")
@click.argument("refs", nargs=-1, required=True)
@json_option
def ack(refs: tuple[str, ...], as_json: bool) -> None:
    """Mark messages as read, so that they are not shown again."""
    with opened() as octet:
        agent = caller(octet)
        given = [
            given
            for given in octet.messages.snapshot(agent).given
            if given.ref in refs and given.agent == agent.id
        ]
        octet.messages.settle([(one, True) for one in given])
    done = [one.ref for one in given]
    if missing := [ref for ref in refs if ref not in done]:
        raise NotFound(
            f"not given to you, or read already: {', '.join(plain(ref, 80) for ref in missing)}"
        )
    emit({"read": done}, f"read: {', '.join(done)}", as_json)


def _heading(message: Message, now: int) -> str:
    facts = [
        plain(message.kind, 20),
        f"about task {plain(message.task, 64)}" if message.task else "",
        f"{age(message.sent_ms, now)} ago",
    ]
    facts += [
        f"{message.priority} priority" if message.priority in ("low", "high") else "",
        "read before" if message.shown_ms else "",
    ]
    return f"[{message.ref}] from {plain(message.sender, 64)}, {', '.join(filter(None, facts))}:"
