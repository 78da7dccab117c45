"""The options and operands of a command line, as most programs read them.

parse_options(("-f", "-oremote", "main"), "o origin")    # ({"f": "", "o": "remote"}, ["main"])
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def parse_options(words: Sequence[str], valued: str = "") -> tuple[dict[str, str], list[str]]:
    """Options (without dashes) with their values, and operands. `valued` names, between blanks, the
    options that take the next word where no value is attached.

    A cluster `-fd` is two options. After `--` everything is an operand, and "--" is among the
    options.
    """
    takes_value = frozenset(valued.split())
    found: dict[str, str] = {}
    operands: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            found["--"] = ""
            operands += words[index:]
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and name in takes_value:
                value, index = "".join(words[index : index + 1]), index + 1
            found[name] = value
        elif word.startswith("-") and len(word) > 1:
            index += _cluster(word, words[index : index + 1], takes_value, found)
        else:
            operands.append(word)
    return found, operands


def _cluster(
    word: str, following: Sequence[str], takes_value: Collection[str], found: dict[str, str]
) -> int:
    """Note the options of `-abc`; 1 when the last one took the following word."""
    for place, letter in enumerate(word[1:], 2):
        if letter in takes_value:
            found[letter] = word[place:] or "".join(following)
            return 0 if word[place:] else 1
        found[letter] = ""
    return 0
