"""Messages: a durable inbox for each agent, role and task. A message is stored before its send
returns, and shown once.

A message that is taken is only *given*: it stays in its inbox until it is settled as shown or not
shown. A model's messages are settled by its transcript (`daemon.turns.mail`); a program's at once,
by `read`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from octet.base.errors import AgentGone, NotFound, Refused, UsageError
from octet.base.vocabulary import AGENT_NAME, TASK_ID
from octet.core.agents.registry import Agent
from octet.store.scripts import Reply, Store, as_mapping, from_json, to_json

MAX_TEXT = 16 * 1024
KINDS = ("note", "question", "answer", "finding", "request", "warning", "handoff")
PRIORITIES = ("low", "normal", "high")
EVERYBODY = ("all", "everybody")
TASK = "task:"
REFERENCE = re.compile(r"((?:task:)?[\w.-]{1,80})/(\d{1,20}-\d{1,20})", re.ASCII)
# A message that was given and not settled for so long counts as waiting again: its reader is idle,
# or the answer of its hook was lost.
UNSETTLED_MS = 5_000
MAX_KEPT = 50
KEPT_MS = 30 * 24 * 3600 * 1000
# Characters that quoting, sender, kind and age add to a message's text.
FRAME = 500


@dataclass(frozen=True)
class Message:
    """One message. Times are server time."""

    ref: str  # its inbox and its id there: `developer-2/1700000000000-0`
    sender: str
    to: str
    text: str
    sent_ms: int
    kind: str = ""
    task: str = ""  # that it is about
    priority: str = ""
    reply_to: str = ""  # the reference of another message
    shown_ms: int = 0  # 0: not read yet


@dataclass(frozen=True)
class Given:
    """A message that was taken and not settled, with what tells whether it was shown."""

    inbox: str
    id: str
    record: str  # the fields below, as they are stored
    agent: str  # that took it, as the next two
    incarnation: str
    session: str
    transcript: str  # the file that its client writes; "": not known
    offset: int  # the size of that file when it was taken, bytes; -1: not known
    wall_ms: int  # the taker's own clock
    prompt: str  # the client's id of the prompt being answered; "" before the first

    @property
    def ref(self) -> str:
        return f"{self.inbox}/{self.id}"


@dataclass(frozen=True)
class InboxSnapshot:
    """The messages of an agent's inboxes at one instant."""

    waiting: int
    fresh: int  # of the waiting: never given
    given: Sequence[Given]  # to be settled


@dataclass(frozen=True)
class Taken:
    """The messages that were given, in the order of reading; `left` more wait."""

    messages: Sequence[Message]
    given: Sequence[Given]
    left: int


@dataclass(frozen=True)
class Sent:
    """A stored message: its reference in each inbox, and the inboxes that were full."""

    refs: Sequence[str]
    full: Sequence[str] = ()


class Messages:
    """The inboxes of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def send(
        self, to: str, text: str, *, sender: str, kind: str = "note", task: str = "",
        priority: str = "normal", reply_to: str = "", everyone: bool = False,
    ) -> Sent:  # fmt: skip
        """Store a message; it is in the store when this returns.

        Args:
            to: an agent; a role, of which one agent other than the sender takes it; `task:<id>`,
                the task's present or next holder; `all`, every registered agent but the sender.
            everyone: with a role: each of its registered agents.

        Raises:
            UsageError: the recipient's name cannot be one, or the text is empty or too long.
            NotFound: there is no such task.
            Refused: the task is over, there is no recipient, or the inbox is full.
        """
        _check(to, text, kind, priority, reply_to)
        how, target = _address(to, everyone)
        reply = self._store.run(
            "msg/send",
            how=how,
            target=target,
            to=to,
            sender=sender,
            text=text,
            kind=kind,
            task=task,
            priority=priority,
            reply_to=reply_to,
            max_kept=MAX_KEPT,
            kept_ms=KEPT_MS,
        )
        if reply[0] != Reply.OK:
            raise _refusal(to, target, reply)
        return Sent(
            [f"{name}/{entry}" for name, entry in zip(reply[1][::2], reply[1][1::2], strict=True)],
            tuple(reply[2]),
        )

    def waiting(self, agent: Agent) -> int:
        """The number of messages that wait in the inboxes of the agent, its role and its tasks;
        exact up to 100 each. One script call.

        A message that was given seconds ago and not settled counts: its reader may be idle. 0 for
        an agent that is gone.
        """
        try:
            return self.snapshot(agent).waiting
        except AgentGone:
            return 0

    def snapshot(self, agent: Agent) -> InboxSnapshot:
        """What waits for the agent, and what is to be settled: given to itself, or to a dead agent
        of its role or task.

        Raises:
            AgentGone: it was declared dead.
        """
        reply = self._run("msg/snapshot", agent, unsettled_ms=UNSETTLED_MS)
        found = [_given(*reply[at : at + 3]) for at in range(3, len(reply), 3)]
        return InboxSnapshot(int(reply[1]), int(reply[2]), found)

    def take(
        self,
        agent: Agent,
        record: Mapping[str, Any],
        *,
        limit: int = 20,
        room: int = 1 << 30,
        shown: int = MAX_TEXT,
    ) -> Taken:
        """Give the agent up to `limit` messages, the urgent first, then the oldest; to be settled.

        Args:
            record: the fields of `Given` that tell whether a message was shown.
            room: the characters for all messages; `shown`: for the text of one.

        Raises:
            AgentGone: it was declared dead.
        """
        kept = to_json({"agent": agent.id, "incarnation": agent.incarnation, **record})
        reply = self._run(
            "msg/take",
            agent,
            record=kept,
            max_messages=limit,
            room=room,
            shown=shown,
            frame=FRAME,
        )
        rows = [reply[at : at + 4] for at in range(2, len(reply), 4)]
        messages = [
            _message(f"{name}/{entry}", entry, as_mapping(fields))
            for name, entry, _, fields in rows
        ]
        return Taken(messages, [_given(*row[:3]) for row in rows], int(reply[1]))

    def settle(self, verdicts: Sequence[tuple[Given, bool]]) -> None:
        """Settle given messages: shown ones leave their inboxes, the others wait again."""
        if not verdicts:
            return
        told = [
            text
            for given, shown in verdicts
            for text in ("shown" if shown else "back", given.inbox, given.id, given.record)
        ]
        self._store.run("msg/settle", max_kept=MAX_KEPT, kept_ms=KEPT_MS, verdicts=told)

    def read(self, agent: Agent, limit: int = 20) -> Sequence[Message]:
        """Take up to `limit` messages and settle them at once, for a program. Messages that an
        earlier read left unsettled come again.
        """
        self.settle([(given, False) for given in self.snapshot(agent).given])
        taken = self.take(agent, {"session": "", "transcript": ""}, limit=limit)
        self.settle([(given, True) for given in taken.given])
        return list(taken.messages)

    def shown(self, agent: Agent, limit: int = MAX_KEPT) -> Sequence[Message]:
        """The last messages that the agent has read, the newest first."""
        return list(_kept(self._lines(self._keys.shown(agent.id), limit)))

    def sent(self, agent: Agent, limit: int = MAX_KEPT) -> Sequence[tuple[str, str, str, int]]:
        """The last messages that the agent has sent, the newest first: reference, beginning of the
        text, `waits`, `given` or `read`, and the time.
        """
        found = []
        for line in self._lines(self._keys.sent(agent.id), limit):
            entry = _object(line)
            refs = entry.get("refs")
            flat = [str(text) for text in refs] if isinstance(refs, list) else []
            for name, message in zip(flat[::2], flat[1::2], strict=False):
                found.append(
                    (
                        f"{name}/{message}",
                        str(entry.get("text", "")),
                        self._fate(name, message),
                        _ms(_whole(entry.get("at_ms"))),
                    )
                )
        return found[:limit]

    def peek(self, ref: str) -> Message | None:
        """A message that is still in an inbox, given or not; None for another."""
        match = REFERENCE.fullmatch(ref)
        if not match:
            return None
        with self._store.errors():
            found = self._store.client.xrange(self._keys.inbox(match[1]), match[2], match[2])
        return _message(ref, found[0][0], found[0][1]) if found else None

    def _fate(self, name: str, message: str) -> str:
        if self.peek(f"{name}/{message}") is None:
            return "read"
        with self._store.errors():
            return (
                "given"
                if self._store.client.hexists(self._keys.inbox_given(name), message)
                else "waits"
            )

    def _lines(self, key: str, limit: int) -> Sequence[str]:
        with self._store.errors():
            lines: Sequence[str] = self._store.client.lrange(key, 0, limit - 1)
        return lines

    def _run(self, script: str, agent: Agent, **values: str | int) -> list[Any]:
        reply = self._store.run(
            script,
            agent=agent.id,
            incarnation=agent.incarnation,
            names=f"{agent.role} {agent.formerly}",
            **values,
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(
                f"{agent.id} was declared dead: its messages go to the agent that replaces it"
            )
        return reply


def _address(to: str, everyone: bool) -> tuple[str, str]:
    if to in EVERYBODY:
        return "all", ""
    if to.startswith(TASK):
        return "task", to.removeprefix(TASK)
    return ("members" if everyone else "inbox"), to


def _check(to: str, text: str, kind: str, priority: str, reply_to: str) -> None:
    is_task = to.startswith(TASK)
    named = TASK_ID.fullmatch(to.removeprefix(TASK)) if is_task else AGENT_NAME.fullmatch(to)
    if not named:
        raise UsageError(f"{to!r} is no agent, role or task: `octet agent list` shows the agents")
    if not text.strip() or len(text) > MAX_TEXT:
        raise UsageError(
            f"a message has 1 to {MAX_TEXT} characters, not {len(text)}: put the rest into "
            "a file and send its name"
        )
    if kind not in KINDS or priority not in PRIORITIES:
        raise UsageError(
            f"a message is one of {', '.join(KINDS)}, of {', '.join(PRIORITIES)} priority"
        )
    if reply_to and not REFERENCE.fullmatch(reply_to):
        raise UsageError(
            f"{reply_to[:80]!r} is no message: give the reference in brackets before its sender"
        )


def _refusal(to: str, target: str, reply: Sequence[Any]) -> Exception:
    if reply[0] == Reply.MISSING:
        return NotFound(f"no task {target}: `octet task list` shows them")
    if reply[0] == Reply.STATE:
        return Refused(f"task {target} is {reply[1]}: no agent will hold it again")
    if reply[0] == Reply.FULL:
        return Refused(
            f"the inbox of {reply[1]} is full: the message was not sent; try again when its reader "
            "has read some"
        )
    return Refused(f"there is no agent to send it to ({to}): `octet agent list` shows the agents")


def _message(ref: str, entry_id: str, fields: Mapping[str, str], shown_ms: int = 0) -> Message:
    sent_ms = _ms(fields.get("sent_ms", "")) or _ms(entry_id.partition("-")[0])
    texts = {
        name: fields.get(name, "")
        for name in ("to", "text", "kind", "task", "priority", "reply_to")
    }
    return Message(ref, fields.get("from", "?"), sent_ms=sent_ms, shown_ms=shown_ms, **texts)


def _ms(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else 0


def _kept(lines: Sequence[str]) -> Iterator[Message]:
    for line in lines:
        entry = _object(line)
        fields = {name[1:]: str(value) for name, value in entry.items() if name.startswith(".")}
        entry_id = str(entry.get("id", ""))
        yield _message(
            f"{entry.get('inbox', '')}/{entry_id}",
            entry_id,
            fields,
            _ms(_whole(entry.get("shown_ms"))),
        )


def _given(inbox: str, entry_id: str, record: str) -> Given:
    fields = _object(record)
    texts = {
        name: str(fields.get(name, ""))
        for name in ("agent", "incarnation", "session", "transcript", "prompt")
    }
    offset, wall_ms = fields.get("offset"), fields.get("wall_ms")
    return Given(
        inbox,
        entry_id,
        record,
        **texts,
        offset=offset if isinstance(offset, int) else -1,
        wall_ms=wall_ms if isinstance(wall_ms, int) else 0,
    )


def _object(text: str) -> dict[str, Any]:
    """A record's fields; none for a record that was spoiled by hand."""
    try:
        found = from_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _whole(value: object) -> str:
    """The digits of a number that Lua's encoder wrote: a large one with an exponent."""
    return f"{value:.0f}" if isinstance(value, (int, float)) and abs(value) < 1e15 else ""
