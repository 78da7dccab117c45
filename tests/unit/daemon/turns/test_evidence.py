"""What a transcript says of a message."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from octet.core.usage.transcript_reader import TranscriptReader
from octet.daemon.turns.evidence import MailEvidence, find_evidence, transcript_of

FIRST, SECOND = "developer-1/1-0", "developer-1/2-0"


def line(second: int, **fields: Any) -> str:
    return json.dumps({"timestamp": f"2026-11-22T12:00:{second:02}.000Z", **fields}) + "\n"


def shown(*refs: str) -> str:
    text = "\n".join(f"[{ref}] from x, sent 0 s ago:\n> hello" for ref in refs)
    return line(
        0, type="attachment", attachment={"type": "hook_additional_context", "content": text}
    )


def answered(second: int) -> str:
    return line(second, type="assistant", message={})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.jsonl"


def evidence(path: Path, offset: int = 0) -> MailEvidence:
    return find_evidence(TranscriptReader(), [FIRST, SECOND], str(path), offset)


def test_a_message_is_in_the_context_and_its_model_was_asked_or_not(path: Path) -> None:
    """An answer or a request after it shows that the model has it; other messages are not told."""
    path.write_text(shown(FIRST, "developer-1/9-0") + line(1, type="api-request") + shown(SECOND))
    found = evidence(path)
    assert (found.exists, found.shown, found.unasked) == (True, {FIRST, SECOND}, {SECOND})
    with path.open("a") as file:
        file.write(answered(2))
    assert evidence(path).unasked == set()


def test_the_latest_answer_counts(path: Path) -> None:
    """By the client's clock, in whatever order the entries are."""
    path.write_text(answered(5) + answered(3))
    assert evidence(path).answered_ms % 60_000 == 5_000
    assert evidence(path, path.stat().st_size).answered_ms == 0


def test_what_is_no_file_proves_nothing(tmp_path: Path) -> None:
    """A pipe is not opened: it would hold the hook for ever."""
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    assert evidence(pipe) == evidence(tmp_path / "missing") == MailEvidence()
    assert find_evidence(TranscriptReader(), [FIRST], "") == MailEvidence()


def test_a_sub_agent_s_transcript_lies_beside_its_session_s() -> None:
    """A session's own is as it is; where that is unknown, so is the sub-agent's."""
    assert transcript_of("/t/s.jsonl", "") == "/t/s.jsonl"
    assert transcript_of("/t/s.jsonl", "a1") == "/t/s/subagents/agent-a1.jsonl"
    assert transcript_of("", "a1") == ""
