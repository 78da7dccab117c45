"""The scripted model of the tests: the demo's stand-in for the model, with a script for each
session and a memory of its requests.

A test gives each session a script, a list of turns, and puts the session's marker into its prompt:

    model.script("A", Turn(Tool("Write", {...})), Turn(Text("done"), gate=gate))
    claude.start(marker("A") + " write a.py")

The server answers the session's n-th request with the n-th turn and keeps every request, so that a
test asserts what reached the model. Where the next step hangs on what the last one gave, `play`
takes a conversation instead: a generator that yields each tool call and gets its result. A
sub-agent has a marker of its own in the prompt that its parent's script gives it. Side calls of the
client (titles, compaction) advance no script.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from inspect import GEN_CREATED, getgeneratorstate

from tests.support.messages_api import (
    Block,
    Failure,
    ModelServer,
    Result,
    Text,
    marker,
    results_in,
    texts_in,
    texts_of,
)
from tests.support.messages_api import Request as Received
from tests.support.messages_api import ToolCall as Tool
from tests.support.waiting import DEADLINE_S

__all__ = [
    "Block",
    "Conversation",
    "Failure",
    "Gate",
    "Model",
    "Request",
    "Result",
    "Text",
    "Tool",
    "Turn",
    "marker",
]

# Yields what the model does, and gets what came of it; at its end the model has nothing more to do.
Conversation = Generator[Block, Result, None]

SUMMARY_REQUEST = "Your task is to create a detailed summary"


class Gate:
    """A point at which a scripted answer waits until the test, or another script, opens it."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def await_arrival(self, deadline_s: float = DEADLINE_S) -> None:
        """Block until a request waits here, or has passed."""
        if not self._reached.wait(deadline_s):
            raise TimeoutError(f"no request reached the gate within {deadline_s:g} s")

    def pass_through(self) -> None:
        self._reached.set()
        if not self._opened.wait(DEADLINE_S):
            raise TimeoutError(f"the gate was not opened within {DEADLINE_S:g} s")


class Request(Received):
    """A request as a test reads it: with all that has reached the model since its session began."""

    def tool_results(self) -> list[str]:
        """Contents of all tool results, in order, errors included."""
        return [result.text for result in results_in(self.messages)]

    def texts(self) -> list[str]:
        """Everything that reached the model from outside it, in no special order."""
        return texts_in(self.messages) + self.tool_results()

    def says(self, words: str) -> bool:
        return any(words in text for text in self.texts())

    @property
    def wants_summary(self) -> bool:
        """Whether it asks for a summary, as at compaction: a session's tools, none of its turns."""
        return any(
            SUMMARY_REQUEST in text
            for message in self.messages[-1:]
            for text in texts_of(message["content"])
        )

    @property
    def is_turn(self) -> bool:
        """Whether a script answers it."""
        return self.is_main and not self.wants_summary


class Turn:
    """One answer, sent once `gate` is open."""

    def __init__(self, *blocks: Block, gate: Gate | None = None) -> None:
        self._blocks = list(blocks)
        self._gate = gate

    def blocks(self) -> list[Block]:
        if self._gate:
            self._gate.pass_through()
        return self._blocks


@dataclass
class _Script:
    turns: list[Turn]
    used: int = 0


class Model(ModelServer):
    """The server; a context manager that listens from entry to exit.

    `errors` holds what went wrong inside the server's threads: a gate that was never opened.
    """

    def __init__(self) -> None:
        super().__init__(self._answer, self._fault)
        self.errors: list[str] = []
        self._scripts: dict[str, _Script] = {}
        self._conversations: dict[str, Conversation] = {}
        self._said: dict[str, list[Block]] = {}
        self._requests: list[Request] = []
        self._summary = "The conversation so far, in short."
        self._failure: Failure | None = None
        self._changed = threading.Condition()

    def script(self, session: str, *turns: Turn | Block) -> None:
        """Set the answers of `session`; a bare block is a turn of its own, and past the last turn
        the answer is a short text.
        """
        with self._changed:
            self._scripts[session] = _Script(
                [turn if isinstance(turn, Turn) else Turn(turn) for turn in turns]
            )

    def play(self, session: str, conversation: Conversation) -> None:
        """Let `conversation` give the answers of `session`, one block for each request."""
        self._conversations[session] = conversation
        self._said[session] = []

    def said(self, session: str) -> list[Block]:
        """What the conversation of `session` has yielded so far."""
        return self._said[session]

    def summarise_as(self, text: str) -> None:
        """What the client gets when it asks for a summary at compaction; put the session's marker
        into it.
        """
        self._summary = text

    def fail_with(self, failure: Failure | None) -> None:
        """Answer every request of a session by this error, until called with None."""
        self._failure = failure

    def requests_of(self, session: str) -> list[Request]:
        """The main-loop requests of `session` so far, oldest first."""
        with self._changed:
            return [
                request
                for request in self._requests
                if request.session == session and request.is_turn
            ]

    def tool_results(self, session: str) -> list[str]:
        """Contents of the tool results in the latest request of `session`, in order."""
        requests = self.requests_of(session)
        return requests[-1].tool_results() if requests else []

    def wait_for_requests(
        self, session: str, count: int, deadline_s: float = DEADLINE_S
    ) -> Request:
        """Block until `session` has sent `count` requests; return the latest of them.

        Raises:
            AssertionError: not within the deadline.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: len(self.requests_of(session)) >= count, deadline_s
            ):
                raise AssertionError(
                    f"request {count} of session {session}: not within {deadline_s:g} s"
                )
        return self.requests_of(session)[count - 1]

    def _answer(self, received: Received) -> list[Block] | Failure:
        request = Request(received.body)
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        if request.wants_summary:
            return [Text(self._summary)]
        if not request.is_turn:
            return [Text("Scripted session")]
        if conversation := self._conversations.get(request.session):
            self._said[request.session].append(_continue(conversation, request))
            return self._said[request.session][-1:]
        return self._failure or self._next_turn(request.session).blocks()

    def _fault(self, _request: Received, error: Exception) -> None:
        self.errors.append(f"{type(error).__name__}: {error}")

    def _next_turn(self, session: str) -> Turn:
        with self._changed:
            script = self._scripts.get(session, _Script([]))
            script.used += 1
            return (
                script.turns[script.used - 1]
                if script.used <= len(script.turns)
                else Turn(Text("Nothing more to do."))
            )


def _continue(conversation: Conversation, request: Request) -> Block:
    try:
        return (
            next(conversation)
            if getgeneratorstate(conversation) == GEN_CREATED
            else conversation.send(request.results[-1])
        )
    except StopIteration:
        return Text("Nothing more to do.")
