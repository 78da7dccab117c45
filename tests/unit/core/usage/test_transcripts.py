"""A transcript read for its tokens: each message once, from any place on, whatever the file is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.core.usage.transcript_reader import MAX_LINE_BYTES, MAX_TOKENS
from octet.core.usage.transcripts import (
    RECENT,
    ReadPosition,
    Tokens,
    end_of,
    read,
    unpack,
)


def line(message: str = "m1", /, *figures: Any, **fields: Any) -> str:
    """An assistant's line as the client writes it; figures are input, output, cache writes, cache
    reads.
    """
    names = (
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    )
    usage = dict(zip(names, figures or (100, 10, 0, 0), strict=False))
    entry = {
        "type": "assistant",
        "sessionId": "s",
        "timestamp": "2026-11-22T12:00:00.500Z",
        "message": {"id": message, "usage": usage},
    }
    return json.dumps({**entry, **fields}) + "\n"


def total(path: Path, place: ReadPosition | None = None) -> tuple[Tokens, ReadPosition]:
    spent, after = read(path, place or ReadPosition())
    return sum((each.tokens for each in spent), Tokens()), after


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    return tmp_path / "t.jsonl"


def test_a_message_counts_once_with_its_largest_figures(transcript: Path) -> None:
    """Lines of one message, with others between, in one reading and across two."""
    transcript.write_text(
        line("a", 100, 1, 5, 7)
        + '{"type":"user","message":{}}\n'
        + line("b")
        + line("a", 100, 30, 5, 7)
    )
    tokens, place = total(transcript)
    assert tokens == Tokens(200, 40, 5, 7, 2)
    with transcript.open("a") as file:
        file.write(line("a", 100, 50, 5, 7) + line("b") + line("c", 1, 2, 3, 4))
    assert total(transcript, place)[0] == Tokens(1, 22, 3, 4, 1)
    assert total(transcript)[0] == Tokens(201, 62, 8, 11, 3)


def test_a_line_that_is_not_whole_waits(transcript: Path) -> None:
    """The client writes while we read: half a line is read when its end is there."""
    whole = line("a")
    transcript.write_text(whole[:40])
    assert total(transcript) == (Tokens(), ReadPosition())
    transcript.write_text(whole + line("b")[:-1])
    tokens, place = total(transcript)
    assert (tokens, place.offset) == (Tokens(100, 10, messages=1), len(whole))
    transcript.write_text(whole + line("b"))
    assert total(transcript, place)[0] == Tokens(100, 10, messages=1)


def test_what_a_fork_copied_counts_in_the_first_session(transcript: Path) -> None:
    """A copied line names the session that asked for it; its own lines name none or their own."""
    transcript.write_text(
        line("a", requestSessionId="before") + line("b") + line("c", requestSessionId="s")
    )
    assert total(transcript)[0].messages == 2


def test_a_session_that_goes_on_is_counted_from_there(transcript: Path) -> None:
    """From the end that it had, also where that was in the middle of a line; from the beginning
    where there was no file.
    """
    assert end_of(transcript) == ReadPosition()
    transcript.write_text(line("a") + line("b")[:30])
    place = end_of(transcript)
    with transcript.open("a") as file:
        file.write(line("b")[30:] + line("c"))
    assert total(transcript, place)[0].messages == 1


def test_one_that_was_cut_off_goes_on_from_its_end(transcript: Path) -> None:
    """What it had was counted; what comes is."""
    transcript.write_text(line("a") * 3)
    _, place = total(transcript)
    transcript.write_text(line("b"))
    tokens, place = total(transcript, place)
    assert tokens == Tokens()
    transcript.write_text(line("b") + line("c"))
    assert total(transcript, place)[0].messages == 1


@pytest.mark.parametrize(
    "odd",
    [
        "\n",
        "\0\xff\xfe",
        '{"usage": ',
        '"usage"',
        '["usage"]',
        line(["a"]),  # type: ignore[arg-type]
        line("x" * 300),
        line("a", -1, -5, None, "7"),
        line("a", MAX_TOKENS + 1, 1e308, True, 0.5),
        line("a", 0, 0, 0, 0),
        line("a").replace("100", "9" * 5000),
        line("a", type="user"),
        line("a", message=None),
        line("a", message={"id": "a", "usage": []}),
        line("a", message={"id": "a", "usage": None}),
        '{"usage":' + "[" * 100_000,
    ],
    ids=range(16),
)
def test_lines_that_cannot_be(transcript: Path, odd: str) -> None:
    """Whatever a line is, it counts nothing, and those around it count."""
    transcript.write_bytes(
        (line("b") + odd.rstrip("\n") + "\n" + line("c")).encode("utf-8", "surrogatepass")
    )
    assert total(transcript)[0] == Tokens(200, 20, messages=2)


def test_odd_figures_do_not_take_the_good_ones_with_them(transcript: Path) -> None:
    """Of one message each figure is judged by itself."""
    transcript.write_text(line("a", -1, 20, 2**70, 5))
    assert total(transcript)[0] == Tokens(0, 20, 0, 5, 1)


@pytest.mark.parametrize(
    "moment", ["", "soon", 7, None, "99999-01-01", "0001-01-01T00:00:00+14:00"]
)
def test_a_moment_that_cannot_be(transcript: Path, moment: Any) -> None:
    """The tokens count, at no known time."""
    transcript.write_text(line("a", timestamp=moment))
    ((spent,), _) = read(transcript, ReadPosition())
    assert (spent.tokens.total, spent.at_ms <= 0) == (110, True)


def test_a_line_of_gigabytes(transcript: Path) -> None:
    """It is passed over in bounded steps, without being kept, and what follows it counts."""
    with transcript.open("wb") as file:
        file.write(line("a").encode())
        file.truncate(10 << 30)
    tokens, place = total(transcript)
    assert tokens.messages == 1
    assert place.inside
    assert place.offset <= 64 << 20
    place = ReadPosition((10 << 30) - 5, inside=True, recent=place.recent)
    with transcript.open("ab") as file:
        file.write(b"\n" + line("b").encode())
    assert total(transcript, place)[0].messages == 1


def test_a_line_just_too_long(transcript: Path) -> None:
    """One byte more than may be is left out, whole or not, and the next line is read."""
    long = line("a", note="x" * MAX_LINE_BYTES)
    transcript.write_text(long + line("b"))
    _, place = total(transcript, ReadPosition())
    assert place.offset == len(long) + len(line("b"))
    transcript.write_text(long[:-1])
    tokens, place = total(transcript)
    assert (tokens, place.inside) == (Tokens(), True)
    transcript.write_text(long + line("b"))
    assert total(transcript, place)[0].messages == 1


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "kind", ["fifo", "directory", "missing", "device", "link to a fifo", "forbidden name"]
)
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    """Nothing is read of it, and no reader waits for it."""
    path = tmp_path / "t.jsonl"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "link to a fifo":
            os.mkfifo(tmp_path / "f")
            path.symlink_to(tmp_path / "f")
        case "forbidden name":
            path = tmp_path / ("x" * 5000)
    assert total(path) == (Tokens(), ReadPosition())
    assert end_of(path) == ReadPosition()


def test_a_place_is_kept_as_text(transcript: Path) -> None:
    """What was packed is unpacked, with what was put beside it; it does not grow with the
    transcript.
    """
    transcript.write_text("".join(line(f"m{number}") for number in range(500)))
    _, place = total(transcript)
    assert len(place.recent) == RECENT
    assert unpack(place.pack(task="7")) == (place, {"task": "7"})


NO_PLACES = [
    "{}",
    "[]",
    "1",
    '{"offset": "x", "inside": 1, "recent": []}',
    '{"offset": 1, "inside": 1, "recent": [[]]}',
]


@given(st.text() | st.sampled_from(NO_PLACES))
def test_a_place_that_somebody_wrote(text: str) -> None:
    """It is a place, or refused."""
    try:
        place, _ = unpack(text)
    except ValueError:
        return
    assert place.offset >= 0
