"""Commands as the server shows them, in our words."""

from __future__ import annotations

import pytest

from octet.store.activity import describe_command
from octet.store.keys import Keys
from octet.store.script_files import load_script


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["GET", "workflow:{p}:counter:c"], "GET counter:c"),
        (["get", "workflow:{other}:counter:c"], None),
        (["PING"], None),
        (["EVALSHA"], None),
        (["EVALSHA", "x", "many", "workflow:{p}:a"], "EVALSHA x many a"),
        (
            ["EVAL", load_script("counter/add").text, "1", "workflow:{p}:counter:c", "5"],
            "counter/add counter:c 5",
        ),
        (["EVALSHA", "unknown", "1", "workflow:{p}:a", "b"], "evalsha a b"),
        (["DEL", *(f"workflow:{{p}}:{n}" for n in range(20))], "DEL 0 1 2 3 4 5 6 7 8 9 10 11 …"),
        (["SET", "workflow:{p}:k", "\x1b[2J" + "x" * 100], "SET k  [2J" + "x" * 55 + "…"),
    ],
)
def test_commands_in_our_words(words: list[str], text: str | None) -> None:
    """Whatever a client sent makes one plain line, or none."""
    assert describe_command(words, Keys("p")) == text
