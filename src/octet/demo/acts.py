"""What an agent of the demo can do (call a tool of Claude Code, end its turn), and the answer.

A role's behaviour (`demo.roles`) is a generator of acts, which `demo.session` carries out.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Until = Literal["build", "review", "test", "merge", "complete"]


@dataclass(frozen=True)
class Bash:
    """A command for the shell."""

    command: str


@dataclass(frozen=True)
class Read:
    """Look at a file; Claude Code wants that before an edit."""

    path: Path


@dataclass(frozen=True)
class Write:
    """Write a whole file."""

    path: Path
    text: str


@dataclass(frozen=True)
class Edit:
    """Replace text that stands in a file once."""

    path: Path
    old: str
    new: str


@dataclass(frozen=True)
class Linger:
    """Stand still in the middle of the work: the one that is killed is killed here."""


@dataclass(frozen=True)
class EndTurn:
    """Say something and stop. The next prompt comes at once, or when a task waits for the stage
    `until`; complete: no work, only the end.

    The answer is not ok when the feature is complete and nothing will come; the behaviour then
    ends.
    """

    text: str
    until: Until | None = None


Tool = Bash | Read | Write | Edit
Act = Tool | Linger | EndTurn


@dataclass(frozen=True)
class Answer:
    """What an act came to. `denied`: Octet's guard refused it, and `text` is its reason."""

    text: str = ""
    ok: bool = True
    denied: bool = False


Behaviour = Generator[Act, Answer, None]
