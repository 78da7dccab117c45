"""Append-only files: what is whole, what is a last write that was cut off, what is damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.store.embedded.aof import Scan, scan


def command(*words: str) -> bytes:
    """One command as the server logs it."""
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words
    )


SETS = command("SELECT", "0") + command("SET", "a", "é\r\n*1") + command("SET", "b", "")
SCRIPT = command("MULTI") + command("INCR", "n") + command("INCR", "m") + command("EXEC")


def scanned(tmp_path: Path, data: bytes) -> Scan:
    (tmp_path / "log").write_bytes(data)
    return scan(tmp_path / "log")


@pytest.mark.parametrize(
    "data",
    [b"", SETS, SCRIPT, SETS + b"#TS:17\r\n" + SCRIPT + SETS],
    ids=["empty", "sets", "script", "both"],
)
def test_what_is_whole(tmp_path: Path, data: bytes) -> None:
    """Nothing is missing."""
    assert scanned(tmp_path, data) == Scan(len(data), len(data), False)


@pytest.mark.parametrize(
    "last",
    [command("SET", "c", "x" * 40), SCRIPT, b"#TS:1700000000\r\n"],
    ids=["command", "script", "comment"],
)
def test_a_cut_at_any_byte_is_a_torn_tail(tmp_path: Path, last: bytes) -> None:
    """Wherever the last write was cut off, the file is whole up to its beginning."""
    for length in range(1, len(last)):
        assert scanned(tmp_path, SETS + last[:length]) == Scan(
            len(SETS) + length, len(SETS), True
        ), last[:length]


def test_zeros_at_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    """A file that a power failure left with its new length and without its new bytes."""
    for written in (b"", b"*3\r\n", command("SET", "c", "1")[:-1]):
        found = scanned(tmp_path, SETS + SCRIPT + written + b"\0" * 4096)
        assert (found.whole, found.torn) == (len(SETS + SCRIPT), True), written


@pytest.mark.parametrize(
    "damaged",
    [
        SETS + b"garbage" + SETS,
        SETS + command("SET", "c", "1").replace(b"$1\r\nc", b"$9\r\nc") + SETS,
        SETS + command("SET", "c", "1").replace(b"$1\r\nc", b"$9999\r\nc") + SETS,
        SETS + SCRIPT.replace(b"$4\r\nINCR", b"$4000\r\nINCR", 1) + SETS,
        SETS + b"\0" * 512 + SETS,
        SETS + b"*" + b"1" * 40 + b"\r\n",
        SETS + b"*x\r\n",
    ],
    ids=[
        "garbage",
        "length",
        "length beyond the end",
        "length in a script",
        "zeros",
        "long number",
        "no number",
    ],
)
def test_damage_is_no_torn_tail(tmp_path: Path, damaged: bytes) -> None:
    """What stands before finished commands is never cut off by itself, also where a wrong length
    makes it look like the end.
    """
    found = scanned(tmp_path, damaged)
    assert (found.whole, found.torn) == (len(SETS), False)


def test_the_binary_form_is_not_looked_into(tmp_path: Path) -> None:
    """An RDB file is the server's to judge."""
    assert scanned(tmp_path, b"REDIS0011" + bytes(50)).binary
