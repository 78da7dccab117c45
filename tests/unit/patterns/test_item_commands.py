"""Commands that are run for items: words, input, results, failures."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from octet.base.errors import CommandFailed, UsageError
from octet.patterns.item_commands import ItemCommand
from octet.patterns.values import MAX_BYTES

PRINT = (sys.executable, "-c", "import sys; print(sys.argv[1])")


@pytest.mark.parametrize(
    ("item", "result"),
    [
        ("a b; $(rm -rf x) 'q\"", "a b; $(rm -rf x) 'q\""),
        ("7", 7),
        ({"file": "a.ts"}, {"file": "a.ts"}),
        ("", ""),
    ],
)
def test_an_item_is_one_word(item: Any, result: Any) -> None:
    """Whatever it holds; the output is a value."""
    assert ItemCommand([*PRINT, "{}"]).run(item) == result


def test_the_item_is_on_standard_input() -> None:
    """Without `fill` only there; variables reach the command."""
    assert (
        ItemCommand(["/bin/sh", "-c", 'cat; echo " $NAME {}"'], {"NAME": "m"}, fill=False).run("a")
        == "a m {}"
    )


@pytest.mark.parametrize(
    ("words", "reason", "killed"),
    [
        (["/bin/sh", "-c", "echo first; echo why >&2; exit 3"], "exit code 3: why", False),
        (["/bin/sh", "-c", "kill -9 $$"], "killed by SIGKILL", True),
        (["/nowhere/at/all"], "exit code 127", False),
        ([sys.executable, "-c", f"print('x' * {MAX_BYTES + 1})"], "more than", False),
    ],
)
def test_a_failure_says_why(words: list[str], reason: str, killed: bool) -> None:
    """By the exit code and the last words, and whether a signal did it."""
    with pytest.raises(CommandFailed, match=reason) as failed:
        ItemCommand(words).run("a")
    assert failed.value.killed == killed


def test_a_stopped_command_was_killed() -> None:
    """So that its item is returned."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(CommandFailed, match="stopped") as failed:
        ItemCommand(["/bin/sleep", "60"], stop=stop).run("a")
    assert failed.value.killed


def test_what_cannot_be_run() -> None:
    """No words, and an item that no word can hold."""
    for words in ([], [""]):
        with pytest.raises(UsageError):
            ItemCommand(words)
    with pytest.raises(CommandFailed, match="NUL"):
        ItemCommand(["true"]).run("a\0b")
