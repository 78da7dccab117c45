"""What an agent of the demo can do (call a tool of Claude Code, end its turn), and the result.

A role's behaviour (`roles`) is a generator of actions, which `session` carries out.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Until = Literal["build", "review", "test", "merge", "complete"]


@dataclass(frozen=True)
class RunCommand:
    """Run a command in the shell."""

    command: str


@dataclass(frozen=True)
class ReadFile:
    """Read a file; Claude Code requires this before an edit."""

    path: Path


@dataclass(frozen=True)
class WriteFile:
    """Write a whole file."""

    path: Path
    text: str


@dataclass(frozen=True)
class EditFile:
    """Replace text that occurs in a file exactly once."""

    path: Path
    old: str
    new: str


@dataclass(frozen=True)
class Stall:
    """Do nothing for ever, in the middle of a task: the demo kills this agent here."""


@dataclass(frozen=True)
class EndTurn:
    """Say something and stop. The next prompt comes at once, or when a task waits for the stage
    `until`; "complete" waits for no work, only for the end of the feature.

    The result is not ok when the feature is complete and no task will come; the behaviour then
    ends.
    """

    text: str
    until: Until | None = None


ToolCall = RunCommand | ReadFile | WriteFile | EditFile
Action = ToolCall | Stall | EndTurn


@dataclass(frozen=True)
class ActionResult:
    """The result of an action. `denied`: Octet's guard refused it, and `text` is its reason."""

    text: str = ""
    ok: bool = True
    denied: bool = False


Behaviour = Generator[Action, ActionResult, None]
