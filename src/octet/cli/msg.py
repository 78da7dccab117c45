"""`octet msg …`"""

from __future__ import annotations

import click

from octet.agents import ROLES
from octet.cli.output import emit, json_option
from octet.cli.session import caller, opened
from octet.errors import NotFound
from octet.text import age, plain


@click.group()
def msg_group() -> None:
    """Messages: send, inbox."""


@msg_group.command("send")
@click.argument("to")
@click.argument("text")
@json_option
def send(to: str, text: str, as_json: bool) -> None:
    """Leave a message for an agent, or for a role (its first member to look takes it)."""
    with opened() as octet:
        sender, agents = caller(octet), octet.agents.list()
        if to not in {*ROLES, *(agent.id for agent in agents), *(agent.role for agent in agents)}:
            raise NotFound(f"no agent or role {to}: `octet agent list` shows them")
        message_id = octet.messages.send(to, text, sender=sender.id)
    emit({"id": message_id, "to": to, "from": sender.id}, f"sent to {to}", as_json)


@msg_group.command("inbox")
@json_option
def inbox(as_json: bool) -> None:
    """Your new messages; each is shown once."""
    with opened() as octet:
        messages, now = octet.messages.take(caller(octet)), octet.now_ms()
    lines = [f"{plain(m.sender)}, {age(m.sent_ms, now)} ago: {plain(m.text, 4000)}" for m in messages]
    emit(messages, "\n".join(lines) or "no new messages", as_json)
