"""Text from elsewhere (another agent, a task's title, a file name) made fit for one line of a
terminal or a model's context.
"""

from __future__ import annotations

import re

# What a terminal takes for a command: escape sequences whole, so that no half of one stays as text.
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[]PX^_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)?|\x1b[ "
    r"-/]*[0-~]?|\x9b[0-?]*[ -/]*[@-~]"
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Printable by the book, but invisible: fillers, joiners, variation selectors. They can carry
# text that only a model reads.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_TAG = re.compile(r"<(?=\s*[/!?]?\s*[^\W\d_])")
CUT = "> …"
OPENING = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"
_TABS = str.maketrans("\t", " ")
LINE_WIDTH = 400


def plain(text: str, most: int = 200) -> str:
    """`text` on one line of `most` characters at most, without control, format and bidi ones."""
    shown = "".join(c if c.isprintable() else " " for c in text[:most])
    return shown if len(text) <= most else shown[: most - 1] + "…"


def age(since_ms: int, now_ms: int) -> str:
    """How long ago, for people: 5 s, 3 min, 2 h, 4 d; empty for never."""
    if not since_ms:
        return ""
    return duration((now_ms - since_ms) / 1000)


def duration(seconds: float) -> str:
    """A time span for people, in its largest unit: 5 s, 3 min, 2 h, 4 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} s"


def quoted(text: str, most: int) -> str:
    """`text` as lines that each begin with `>`, without control, formatting and unseen characters;
    `most` characters in all.

    No line of it can be taken for one of what is around it, and no tag for one of the client's: `<`
    before a name is `OPENING`. The result has at most twice as many characters as `text` has bytes;
    what was cut off shows in a last line `> …`.
    """
    lines = _LINE_END.sub("\n", _ESCAPE.sub("", text[: 4 * most])).translate(_TABS).split("\n")
    shown: list[str] = []
    left = most - len(CUT) - 1
    for line in _wrapped(lines):
        clean = f"> {_harmless(line)}".rstrip()
        if left < len(clean) + 1:
            return "\n".join([*shown, CUT])
        left -= len(clean) + 1
        shown.append(clean)
    return "\n".join([*shown, CUT] if len(text) > 4 * most else shown)


def _harmless(line: str) -> str:
    return _TAG.sub(OPENING, "".join(c for c in _UNSEEN.sub("", line) if c.isprintable()))


def _wrapped(lines: list[str]) -> list[str]:
    return [
        line[at : at + LINE_WIDTH]
        for line in lines
        for at in range(0, max(len(line), 1), LINE_WIDTH)
    ]
