"""Lines of a transcript: what they say, and each byte read once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from octet.core.usage import transcript_reader
from octet.core.usage.transcript_reader import TranscriptPart, TranscriptReader, find_end, size_of

REF = "developer-1/1796061234567-0"
AT = "2026-11-22T12:00:00.500Z"


def line(**fields: Any) -> str:
    return json.dumps({"timestamp": AT, **fields}) + "\n"


def answer(**fields: Any) -> str:
    return line(type="assistant", message={"id": "m", "usage": {"output_tokens": 7}}, **fields)


def context(text: str, kind: str = "hook_additional_context") -> str:
    return line(type="attachment", attachment={"type": kind, "content": [text]})


def part(reader: TranscriptReader, path: Path, offset: int = 0, **how: Any) -> TranscriptPart:
    found = reader.read(path, offset, **how)
    assert found is not None
    return found


@pytest.fixture
def reader() -> TranscriptReader:
    return TranscriptReader()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.jsonl"


def test_what_lines_say(reader: TranscriptReader, path: Path) -> None:
    """An answer with its usage, a request, messages that came into the context; nothing else."""
    copied = answer(sessionId="s", requestSessionId="before")
    path.write_text(
        answer()
        + line(type="api-request")
        + context(f"[{REF}] from x:\n> [developer-1/2-0] quoted")
        + line(type="user", message={"content": [{"content": f'{{"ref": "{REF}"}}'}]})
        + context(f"[{REF}]", kind="hook_success")
        + line(type="user", message={"content": f"see {REF}"})
        + copied
    )
    entries = part(reader, path).entries
    assert [(entry.answered, entry.asked, set(entry.refs)) for entry in entries] == [
        (True, False, set()),
        (False, True, set()),
        (False, False, {REF}),
        (False, False, {REF}),
        (True, False, set()),
    ]
    assert entries[0].usage is not None
    assert (entries[0].usage.message, sum(entries[0].usage.counts)) == ("m", 7)
    assert entries[0].at_ms % 1000 == 500
    assert entries[-1].usage is None, "it counts in the session that it was copied from"


def test_each_byte_is_read_once(
    reader: TranscriptReader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any caller reads from any position reached; what is written later is read on."""
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        read.append(length)
        return pread(descriptor, length, offset)

    monkeypatch.setattr("octet.core.usage.transcript_reader.os.pread", counted)
    path.write_text(answer() * 3)
    size = path.stat().st_size
    assert len(part(reader, path).entries) == 3
    assert len(part(reader, path, size // 3).entries) == 2
    assert part(reader, path, size).entries == []
    assert sum(read) == size
    with path.open("a") as file:
        file.write(answer())
    assert len(part(reader, path, size).entries) == 1
    assert sum(read) == path.stat().st_size


def test_before_what_was_read_is_read_anew(reader: TranscriptReader, path: Path) -> None:
    """A new daemon is asked for the tokens first, then for an older message."""
    path.write_text(answer() * 4)
    third = path.stat().st_size // 2
    assert len(part(reader, path, third).entries) == 2
    assert len(part(reader, path).entries) == 4


def test_a_file_that_was_replaced_or_cut_is_read_anew(reader: TranscriptReader, path: Path) -> None:
    """What is kept is of the file that was read."""
    path.write_text(answer() * 3)
    part(reader, path)
    path.write_text(context(f"[{REF}]"))
    assert part(reader, path).entries[0].refs == {REF}
    fresh = path.with_suffix(".new")
    fresh.write_text(answer() * 2)
    fresh.replace(path)
    assert len(part(reader, path).entries) == 2
    assert part(reader, path, 1 << 40).entries == []


def test_a_line_that_begins_before_the_place_is_left_out(
    reader: TranscriptReader, path: Path
) -> None:
    """Whether it was read before or not: it was half written when the place was noted."""
    path.write_text(answer() * 2)
    half = len(answer()) + 5
    for asked in (reader, TranscriptReader()):
        assert part(asked, path, half, inside=True).entries == []
        assert len(part(reader, path).entries) == 2


def test_memory_is_bounded(
    reader: TranscriptReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long transcript the last entries are kept, of many the last asked for."""
    monkeypatch.setattr(transcript_reader, "MAX_KEPT", 3)
    monkeypatch.setattr(transcript_reader, "MAX_FILES", 2)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(answer() * 9)
        assert len(part(reader, tmp_path / name).entries) == 9
    assert [len(file.entries) for file in reader._files.values()] == [3, 3]
    assert len(part(reader, tmp_path / "c").entries) == 9


@pytest.mark.timeout(30)
def test_what_is_no_file(reader: TranscriptReader, tmp_path: Path) -> None:
    """Nothing is read of a pipe, a directory, or what is missing."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing", "x" * 5000):
        assert reader.read(tmp_path / name, 0) is None
        assert find_end(tmp_path / name) == (0, False)
    assert size_of("") == size_of(str(tmp_path / "missing")) == 0


def test_the_end_of_a_transcript(path: Path) -> None:
    """And whether that is within a line."""
    path.write_text("{}\n")
    assert find_end(path) == (3, False)
    path.write_text("{}\n{")
    assert find_end(path) == (4, True)
    assert size_of(str(path)) == 4
