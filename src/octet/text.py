"""Text from elsewhere (another agent, a task's title, a file name) made fit for one line of a terminal or a model's context."""

from __future__ import annotations


def plain(text: str, most: int = 200) -> str:
    """`text` on one line, without control, formatting and bidirectional characters, cut to `most` characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[:most])
    return shown if len(text) <= most else shown[: most - 1] + "…"


def age(since_ms: int, now_ms: int) -> str:
    """How long ago, for people: 5 s, 3 min, 2 h, 4 d; empty for never."""
    if not since_ms:
        return ""
    seconds = max(0, now_ms - since_ms) // 1000
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
