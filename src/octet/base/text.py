"""Foreign text (another agent's, a title, a file name) made safe for terminals and models."""

from __future__ import annotations

import re

# Escape sequences, matched whole, so that no half of one stays as text.
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[]PX^_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Fillers, joiners and variation selectors: printable by definition, and invisible. They can carry
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


def plain(text: str, max_chars: int = 200) -> str:
    """`text` on one line, cut to `max_chars`; control, format and bidi characters become blanks."""
    shown = "".join(c if c.isprintable() else " " for c in text[:max_chars])
    return shown if len(text) <= max_chars else shown[: max_chars - 1] + "…"


def age(since_ms: int, now_ms: int) -> str:
    """The time since then, for people: 5 s, 3 min, 2 h, 4 d; empty for never."""
    if not since_ms:
        return ""
    return duration((now_ms - since_ms) / 1000)


def duration(seconds: float) -> str:
    """A time span for people, in its largest unit: 5 s, 3 min, 2 h, 4 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} s"


def quoted(text: str, max_chars: int) -> str:
    """`text` as lines that each begin with `>`, without control, format and invisible characters.

    No line of it can be mistaken for a line around it, and no tag for one of the client's: `<`
    before a name becomes `OPENING`. The result has at most `max_chars` characters, and at most
    twice as many as `text` has bytes; a last line `> …` marks a cut.
    """
    start = text[: 4 * max_chars]
    lines = _LINE_END.sub("\n", _ESCAPE.sub("", start)).translate(_TABS).split("\n")
    shown: list[str] = []
    left = max_chars - len(CUT) - 1
    for line in _wrapped(lines):
        clean = f"> {_harmless(line)}".rstrip()
        if left < len(clean) + 1:
            return "\n".join([*shown, CUT])
        left -= len(clean) + 1
        shown.append(clean)
    return "\n".join([*shown, CUT] if len(text) > len(start) else shown)


def _harmless(line: str) -> str:
    return _TAG.sub(OPENING, "".join(c for c in _UNSEEN.sub("", line) if c.isprintable()))


def _wrapped(lines: list[str]) -> list[str]:
    return [
        line[at : at + LINE_WIDTH]
        for line in lines
        for at in range(0, max(len(line), 1), LINE_WIDTH)
    ]
