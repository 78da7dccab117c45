"""Messages: a durable inbox for each agent and each role; a message is stored before its send returns, and given out once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from octet.agents import NAME_PATTERN, Agent
from octet.election import as_orchestrator
from octet.errors import UsageError
from octet.store.scripts import Reply, Store, as_mapping

MOST_TEXT = 64 * 1024


@dataclass(frozen=True)
class Message:
    """One message; `sent_ms` is server time."""

    id: str
    sender: str
    to: str
    text: str
    sent_ms: int


class Messages:
    """The inboxes of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def send(self, to: str, text: str, *, sender: str) -> str:
        """Store a message for an agent or a role (whose first member to look takes it); returns its id.

        Raises:
            UsageError: no such name can be, or the text is empty or too long.
        """
        if not NAME_PATTERN.fullmatch(to):
            raise UsageError(f"{to!r} is no agent or role: `octet agent list` shows them")
        if not text.strip() or len(text) > MOST_TEXT:
            raise UsageError(f"a message has 1 to {MOST_TEXT} characters: put the rest into a file and send its name")
        keys = self._keys
        reply = self._store.run("msg_send", [keys.inbox(to), keys.log], [keys.channel(""), to, sender, text])
        return str(reply[1])

    def take(self, agent: Agent, most: int = 20) -> Sequence[Message]:
        """The messages to the agent and to its role that nobody was given yet, oldest first; they are not given out again.

        What is sent to the orchestrator is given to the one that leads.
        """
        found = [*self._take(agent.id, most), *self._take(agent.role, most, as_orchestrator(agent))]
        return sorted(found, key=lambda message: message.sent_ms)

    def _take(self, name: str, most: int, reader: tuple[str, str] = ("", "")) -> Sequence[Message]:
        keys = self._keys
        reply = self._store.run("msg_take", [keys.inbox(name), keys.inboxes_read, keys.orchestrator], [name, most, *reader])
        if reply[0] == Reply.LED:
            return []
        return [_message(entry_id, as_mapping(fields)) for entry_id, fields in reply[1:]]


def _message(entry_id: str, fields: dict[str, str]) -> Message:
    sent = fields.get("sent_ms", "")
    sent_ms = int(sent) if re.fullmatch("[0-9]{1,15}", sent) else 0
    return Message(entry_id, fields.get("from", "?"), fields.get("to", ""), fields.get("text", ""), sent_ms)
