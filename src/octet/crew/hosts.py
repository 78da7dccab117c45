"""What a supervisor needs of the place where members run: `headless` or `tmux`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Launch:
    """How to start one member. The last of `options` names its conversation; `prompt` opens it."""

    name: str
    program: str
    options: Sequence[str]
    prompt: str
    directory: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Exit:
    """How a member ended: its exit status, or minus the signal; None if unknown. `words` is its
    last line of text.
    """

    status: int | None
    words: str = ""


class Host(Protocol):
    """Starts members, ends them, and tells how they ended."""

    def start(self, launch: Launch) -> int:
        """Start a member and return its pid.

        Raises:
            OSError: the program cannot be run.
        """

    def adopt(self, name: str, pid: int) -> bool:
        """Take over a member that an earlier supervisor started; False if this host cannot."""

    def ask_to_end(self, name: str) -> None:
        """Ask a member to end once it has nothing to do."""

    def send(self, name: str, number: int) -> None:
        """Send it a signal."""

    def reap(self, name: str) -> Exit:
        """Collect a member whose process is dead, and free what the host holds for it."""

    def error(self, name: str) -> str:
        """The error of the model's service at the end of its last turn; "" if there was none."""

    def close(self) -> None:
        """Called once, after the last member."""
