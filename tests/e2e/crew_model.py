"""A scripted model for a whole crew: it knows whose request it is by the briefing that Octet's
SessionStart hook put into the conversation.

    with CrewModel() as model:
        model.play("developer", develop)    # a conversation for each turn of a developer's session

A conversation is an iterator of tool calls, or a generator that gets each call's result. When it
ends the turn ends. The next turn, for whatever reason it begins, is answered by a new conversation,
which is told what has reached the model since the last one.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.messages_api import Block, ModelServer, Request, Result, Text, ToolCall, texts_in

BRIEFING = re.compile(
    r"Octet: you are (?P<agent>[\w.-]+) in project [\w.-]+, in the role of (?P<role>[\w-]+)"
)
NOBODYS = "Nothing to do for somebody without a role."


@dataclass(frozen=True)
class Told:
    """Who begins a turn, and what it was told: the words of its person, of hooks and of machine
    wakes.
    """

    agent: str
    role: str
    words: str


Play = Callable[[Told], Iterator[Any]]


def no_play(_told: Told) -> Iterator[Block]:
    """Of a role that says nothing."""
    return iter(())


class CrewModel(ModelServer):
    """The server; a context manager.

    `errors` holds what went wrong in its threads, `results` what the tool calls came to, in order.
    Of each role, `said` holds its tool calls, `told` what came from outside before each answer, and
    `instructions` what its model is begun with. `resting` are those who have ended a turn, and not
    begun another.
    """

    def __init__(self) -> None:
        super().__init__(self._answer_crew, self._fault)
        self.errors: list[str] = []
        self.results: list[Result] = []
        self.said: dict[str, list[ToolCall]] = defaultdict(list)
        self.told: dict[str, list[str]] = defaultdict(list)
        self.instructions: dict[str, str] = {}
        self.count = 0
        self._plays: dict[str, Play] = {}
        self._acting: dict[str, Iterator[Any]] = {}
        self.resting: set[str] = set()
        self._lock = threading.Lock()

    def play(self, role: str, conversation: Play) -> None:
        """How sessions of a role answer in a turn."""
        self._plays[role] = conversation

    def idle(self, count: int) -> bool:
        """Whether so many sessions have ended a turn, and not begun another."""
        return len(self.resting) >= count

    def _answer_crew(self, request: Request) -> list[Block]:
        if not request.is_main:
            return [Text("Scripted session")]
        found = [match for text in texts_in(request.messages) for match in BRIEFING.finditer(text)]
        if not found:
            return [Text(NOBODYS)]
        told = Told(found[-1]["agent"], found[-1]["role"], "\n".join(texts_in(request.latest)))
        with self._lock:
            self.count += 1
            self.results += request.results
            self.told[told.role].append(told.words)
            self.instructions[told.role] = str(request.body.get("system"))
            self.resting.discard(told.agent)
        block = self._step(told, request)
        with self._lock:
            if isinstance(block, ToolCall):
                self.said[told.role].append(block)
            else:
                self.resting.add(told.agent)
        return [block]

    def _begin(self, acting: Iterator[Block]) -> Block:
        return next(acting)

    def _go_on(self, acting: Iterator[Block], result: Result) -> Block:
        """A conversation that is a generator gets the result of its last call."""
        return acting.send(result) if isinstance(acting, Generator) else next(acting)

    def _step(self, told: Told, request: Request) -> Block:
        """The next call of the conversation that the agent is in; after a call's result never the
        first of another one.
        """
        acting = self._acting.get(told.agent)
        try:
            if acting is None or not request.results:
                play = self._plays.get(told.role, no_play)
                acting = self._acting[told.agent] = play(told)
                return self._begin(acting)
            return self._go_on(acting, request.results[-1])
        except StopIteration:
            self._acting.pop(told.agent, None)
            return Text("Done for now.")

    def _fault(self, _request: Request, error: Exception) -> None:
        self.errors.append(f"{type(error).__name__}: {error}")
