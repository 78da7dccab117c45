"""Commands as bytes: the same as redis-py's own packer makes, and every byte of a text."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import DataError

from octet.store.packer import CommandPacker


class Kind(StrEnum):
    ONE = "one"


class Level(IntEnum):
    TWO = 2


def packed(*words: object) -> bytes:
    (command,) = CommandPacker().pack(*words)
    return command


def test_a_command() -> None:
    """Each word has its length in bytes."""
    assert packed("SET", "k", "é") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\xc3\xa9\r\n"


def test_a_name_of_two_words_is_two_words() -> None:
    """redis-py gives "SCRIPT LOAD" as one."""
    assert packed("SCRIPT LOAD", "x y") == packed("SCRIPT", "LOAD", "x y")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (7, b"7"),
        (-1.5, b"-1.5"),
        (1e22, b"1e+22"),
        (Kind.ONE, b"one"),
        (b"\xff\x00", b"\xff\x00"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        ("\udcff", b"\xff"),
    ],
)
def test_a_word(word: object, text: bytes) -> None:
    """Numbers as Python writes them, bytes and surrogate-escaped text unchanged."""
    assert packed("X", word) == b"*2\r\n$1\r\nX\r\n$%d\r\n%b\r\n" % (len(text), text)


@pytest.mark.parametrize("word", [None, True, [], {}])
def test_a_word_that_is_none(word: object) -> None:
    """What redis-py refuses is refused."""
    with pytest.raises(DataError):
        packed("X", word)


def test_a_lone_surrogate_is_refused() -> None:
    """It stands for no byte."""
    with pytest.raises(UnicodeEncodeError):
        packed("X", "\ud800")


@given(st.binary())
def test_every_byte_of_a_foreign_value_comes_back(data: bytes) -> None:
    """Text decoded with `surrogateescape` is sent as the bytes it was."""
    assert packed("X", data.decode("utf-8", "surrogateescape")) == packed("X", data)
