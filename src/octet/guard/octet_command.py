"""Octet's own commands on a model's command line: recognised strictly, because they run without a
permission prompt.

    read_octet_command("octet msg send dev 'go on'")     # ("octet", "msg", "send", "dev", "go on")
    read_octet_command("octet status; rm -rf x")         # None
    is_prompt_free(("octet", "task", "claim"))           # True

`guard.shell` asks tolerantly what a command might do. Here the question is whether it certainly
does only this, so this reader knows plain words and quoted text, and gives up at anything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Matched one after the other, so that nothing is tried twice. Possessive groups could match a whole
# word, but Python 3.11.2 has a bug there: it takes `a'` for a word.
_PIECE = re.compile(
    r"""([A-Za-z0-9_./:@%+,^=-]+)|'([^']*)'|"([^"\\$`!]*(?:\\["\\][^"\\$`!]*)*)\""""
)
_BLANKS = re.compile(r"[ \t]+")
_ESCAPED = re.compile(r"\\([\"\\])")

# Commands that an agent needs for its work and that change only the crew's own records. `test run`
# and `merge run` run the test command, but only as the person has approved it, on submitted work,
# for the roles whose work it is: the commands refuse everything else. The usual permission applies
# to commands that start, stop or approve something, take another's lock, delete what others may
# need, or run another command: init, up, down, daemon, redis, gc, map run, pipeline run, lock
# break.
_PROMPT_FREE: dict[str, frozenset[str] | None] = {
    "agent": frozenset({"list", "show", "join", "leave"}),
    "counter": None,
    "doctor": None,
    "errors": None,
    "event": frozenset({"publish", "log", "watch"}),
    "inbox": None,
    "keys": None,
    "kv": None,
    "lock": frozenset({"acquire", "wait", "release", "list"}),
    "map": frozenset(
        [
            "start",
            "take",
            "done",
            "fail",
            "extend",
            "wait",
            "results",
            "show",
            "retry",
            "list",
            "clear",
        ]
    ),
    "merge": frozenset({"queue", "run"}),
    "msg": None,
    "pipeline": frozenset({"start", "step", "wait", "show", "list", "clear"}),
    "progress": None,
    "queue": None,
    "review": None,
    "state": None,
    "status": None,
    "task": None,
    "test": frozenset({"run"}),
    "worktree": frozenset({"add", "list", "doctor", "snapshot"}),
}
_APPROVING = frozenset({"init"})
# Options that make any command a person's decision.
_PERSONAL = frozenset({"--no-tests"})


def read_octet_command(text: str) -> tuple[str, ...] | None:
    """The words of a command line that is one call of `octet` and nothing else; None otherwise."""
    text = text.strip(" \t\n")
    if not text.startswith("octet") or "\0" in text:
        return None
    words: list[list[str]] = []
    at, apart = 0, True
    while at < len(text):
        if blanks := _BLANKS.match(text, at):
            at, apart = blanks.end(), True
        piece = _PIECE.match(text, at)
        if piece is None:
            return None
        at = piece.end()
        plain, single, double = piece.groups()
        if apart:
            words.append([])
        words[-1].append(plain or single or _ESCAPED.sub(r"\1", double or ""))
        apart = False
    read = tuple(map("".join, words))
    return read if read[:1] == ("octet",) else None


def is_prompt_free(words: Sequence[str]) -> bool:
    """Whether that call may run without a permission prompt."""
    noun = words[1] if len(words) > 1 else ""
    verbs = _PROMPT_FREE.get(noun, frozenset())
    return verbs is None or (len(words) > 2 and words[2] in verbs and _PERSONAL.isdisjoint(words))


def gives_approval(words: Sequence[str]) -> bool:
    """Whether that call gives a person's approval, which no agent may give."""
    return any(word in _APPROVING for word in words[1:2])
