"""A scripted model for a whole crew: it knows whose request it is by the briefing that Octet's SessionStart hook put into the conversation.

    with CrewModel() as model:
        model.play("developer", develop)        # a conversation for each session of the role, made when it first asks

A conversation is an iterator of tool calls, or a generator that gets each call's result. When it ends the turn ends, and the next turn, for
whatever reason it begins, is answered by a new conversation.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from octet.demo.answers import Block, Text
from octet.demo.model import ModelServer, Result, texts_in
from octet.demo.model import Request as Received

BRIEFING = re.compile(r"Octet: you are (?P<agent>[\w.-]+) in project [\w.-]+, in the role of (?P<role>[\w-]+)")
SPOKEN = re.compile(r"work as your role says|go on as (?P<role>[\w-]+)")

Play = Callable[[str], Iterator[Any]]


class CrewModel(ModelServer):
    """The server; a context manager. `errors` holds what went wrong in its threads, `results` what the tool calls came to, in order."""

    def __init__(self) -> None:
        super().__init__(self._answer_crew, self._fault)
        self.errors: list[str] = []
        self.results: list[Result] = []
        self.count = 0
        self._plays: dict[str, Play] = {}
        self._acting: dict[str, Iterator[Any]] = {}
        self._resting: set[str] = set()
        self._lock = threading.Lock()

    def play(self, role: str, conversation: Play) -> None:
        """How sessions of a role answer; it is given the agent's name."""
        self._plays[role] = conversation

    def idle(self, count: int) -> bool:
        """Whether so many sessions have ended a turn, and not begun another."""
        return len(self._resting) >= count

    def _answer_crew(self, request: Received) -> list[Block]:
        if not request.is_main:
            return [Text("Scripted session")]
        found = [match for text in texts_in(request.messages) for match in BRIEFING.finditer(text)]
        if not found:
            return [Text("Nothing to do for somebody without a role.")]
        agent, role = found[-1]["agent"], found[-1]["role"]
        with self._lock:
            self.count += 1
            self.results += request.results
            self._resting.discard(agent)
        block = self._step(agent, role, request)
        if isinstance(block, Text):
            with self._lock:
                self._resting.add(agent)
        return [block]

    def _step(self, agent: str, role: str, request: Received) -> Block:
        """The next call of the conversation that the agent is in; after a call's result never the first of another one."""
        acting = self._acting.get(agent)
        try:
            if acting is None or not request.results:
                acting = self._acting[agent] = self._plays.get(role, lambda _agent: iter(()))(agent)
                return next(acting)  # type: ignore[no-any-return]
            send = getattr(acting, "send", None)
            return send(request.results[-1]) if send else next(acting)
        except StopIteration:
            self._acting.pop(agent, None)
            return Text("Done for now.")

    def _fault(self, _request: Received, error: Exception) -> None:
        self.errors.append(f"{type(error).__name__}: {error}")
