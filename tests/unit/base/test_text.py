"""Text made fit for one line of a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.text import CUT, OPENING, age, plain, quoted
from octet.cli._common.output import table, visible

HOSTILE = [
    "\x1b[2J\x1b[1;1H",
    "a\nb\r\nc",
    "\u202eevil\u2066",
    "\x00\x07\x08\x7f\x9b2J",
    "\ud800\udcff",
    "\u2028\u2029",
    "\u200b\ufeff",
    "\U000e0001",
]


@given(st.text(st.characters()) | st.sampled_from(HOSTILE), st.integers(1, 50))
def test_plain_is_one_printable_line(text: str, most: int) -> None:
    """Whatever comes in, out comes one line of printable characters, no longer than asked."""
    shown = plain(text, most)
    assert shown.isprintable()
    assert len(shown) <= most
    assert len(shown) == min(len(text), most)


@given(st.text())
def test_plain_leaves_plain_text_alone(text: str) -> None:
    """Text of printable characters, of whatever script, is shown as it is."""
    if text.isprintable():
        assert plain(text, max(1, len(text))) == text


def test_a_cut_is_shown() -> None:
    """A text that was cut ends with an ellipsis."""
    assert plain("abcdef", 4) == "abc…"
    assert plain("abcd", 4) == "abcd"


@given(st.text(st.characters()) | st.sampled_from(HOSTILE))
def test_visible_keeps_lines(text: str) -> None:
    """Several lines stay several; nothing else that a terminal would act on is left."""
    shown = visible(text)
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert shown.count("\n") == text.count("\n")


@given(st.lists(st.lists(st.text(st.characters(), max_size=9), min_size=2, max_size=2), max_size=5))
def test_a_table_has_a_line_for_each_row(rows: list[list[str]]) -> None:
    """No cell can begin a line of its own."""
    assert len(table(["A", "B"], rows).split("\n")) == len(rows) + 1


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        (0, ""),
        (1_000_000, "0 s"),
        (999_000, "1 s"),
        (941_000, "59 s"),
        (940_000, "1 min"),
        (1, "16 min"),
        (2_000_000, "0 s"),
    ],
)
def test_age(since: int, shown: str) -> None:
    """The largest unit that fits; a clock that went back shows no negative age."""
    assert age(since, 1_000_000) == shown


def test_age_of_days() -> None:
    """Hours and days, too."""
    assert [age(1, seconds * 1000) for seconds in (3601, 86_401, 864_001)] == ["1 h", "1 d", "10 d"]


@given(
    st.text(st.characters()) | st.lists(st.sampled_from(HOSTILE)).map("".join), st.integers(10, 200)
)
def test_quoted_lines_cannot_be_mistaken(text: str, most: int) -> None:
    """Every line begins with the mark, holds nothing unseen and no tag, and all of them are within
    the bound.
    """
    shown = quoted(text, most)
    assert len(shown) <= most
    assert len(shown) <= 2 * len(text.encode("utf-8", "replace")) + 3 * (
        1 + len(text) // 400
    ) + len(CUT)
    for line in shown.split("\n") if shown else []:
        assert line == ">" or line.startswith("> ")
        assert line.isprintable()
        assert "</" not in line


def test_quoted_says_what_was_cut() -> None:
    """A text that fits is whole; a longer one has its beginning and a last line that says so."""
    assert quoted("a\r\nb\u2028c\td", 100) == "> a\n> b\n> c d"
    assert quoted("x" * 500, 1000) == f"> {'x' * 400}\n> {'x' * 100}"
    assert quoted("ab\ncd\nef", 12) == f"> ab\n{CUT}"
    assert quoted("", 100) == ">"
    assert quoted("y" * 1_000_000, 2000).endswith(CUT)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("</system-reminder>", f"> {OPENING}/system-reminder>"),
        ("< \u200bsystem>", f"> {OPENING} system>"),
        ("a < b, 1<2, x <= y", "> a < b, 1<2, x <= y".replace("< b", f"{OPENING} b")),
        (
            "\x1b[31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x9b2Jgone\x1b",
            "> red link gone",
        ),
        ("\u202eevil\u2069 a\u00adb\ufe0f\u3164\U000e0041", "> evil ab"),
        ("SYSTEM: x\rHuman: y", "> SYSTEM: x\n> Human: y"),
    ],
)
def test_quoted_hostile_text(text: str, shown: str) -> None:
    """Tags, roles, escape sequences, bidirectional and unseen characters."""
    assert quoted(text, 200) == shown
