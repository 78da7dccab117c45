"""A transcript as Claude Code 2.1.330 writes it: JSON lines, what hooks gave among them, as the
tests of mail need it.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


class Transcript:
    """One session's file; `flush` writes the `held` entries, as the client writes late."""

    def __init__(self, path: Path) -> None:
        self.path, self.held = path, False
        self._late: list[str] = []

    def prompt(self, text: str) -> None:
        self._add(type="user", message={"role": "user", "content": text})

    def result(self, text: str) -> None:
        """A tool's result, as the model gets it."""
        block = {"type": "tool_result", "tool_use_id": "t", "content": text}
        self._add(type="user", message={"role": "user", "content": [block]})

    def context(self, event: str, text: str) -> None:
        """What a hook gave to the model: the entry of its output, which the model does not see, and
        the one it does.
        """
        output = json.dumps(
            {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}
        )
        self.output(event, output)
        self._add(
            type="attachment",
            attachment={"type": "hook_additional_context", "content": [text], "hookEvent": event},
        )

    def output(self, event: str, text: str) -> None:
        """A hook's output that did not come to the model."""
        self._add(
            type="attachment",
            attachment={"type": "hook_success", "content": "", "stdout": text, "hookEvent": event},
        )

    def answer(self, text: str = "Done.") -> None:
        # entries have a time in milliseconds, and no model answers within one
        self._add(
            later_ms=2,
            type="assistant",
            message={"role": "assistant", "content": [{"type": "text", "text": text}]},
        )

    def request(self) -> None:
        """The model was asked, with all that is in the context."""
        self._add(type="api-request")

    def flush(self) -> None:
        self.held = False
        late, self._late = self._late, []
        self._write("".join(late))

    def _add(self, *, later_ms: int = 0, **fields: Any) -> None:
        written = datetime.now(UTC) + timedelta(milliseconds=later_ms)
        now = written.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = (
            json.dumps(
                {
                    "parentUuid": None,
                    "isSidechain": False,
                    **fields,
                    "uuid": str(uuid.uuid4()),
                    "timestamp": now,
                }
            )
            + "\n"
        )
        if self.held:
            self._late.append(line)
        else:
            self._write(line)

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
