"""Octet's own commands on a model's command line: recognised strictly, because they run without asking.

    read_octet_command("octet msg send dev-2 'it is free; go on'")     # ("octet", "msg", "send", "dev-2", "it is free; go on")
    read_octet_command("octet status; rm -rf x")                       # None
    runs_unasked(("octet", "task", "claim"))                           # True

The tolerant parser of `shell.py` answers "what might this do?". Here the question is "is it certain to do only this?", so this reader
knows plain words and quoted text, and gives up at anything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Possessive, because a long word before a `;` must not be tried in all the ways in which it can be cut.
_WORD = re.compile(r"""[ \t]*+((?:[A-Za-z0-9_./:@%+,^=-]++|'[^']*+'|"(?:[^"\\$`!]|\\["\\])*+")++)(?=[ \t]|$)""")
_PIECE = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|([^'"]+)""", re.DOTALL)

# What an agent needs for its work, and what changes nothing but the crew's own records. `test run` and `merge run` run the test command,
# but only as the person has approved it, on submitted work, for the roles whose work it is: the commands refuse everything else. What
# starts, stops or approves something, takes another's lock, deletes what others may need, or runs another command is left to the usual
# permission: init, up, down, daemon, redis, gc, map run, pipeline run, lock break.
_UNASKED: dict[str, frozenset[str] | None] = {
    "agent": frozenset({"list", "show", "join", "leave"}),
    "counter": None,
    "doctor": None,
    "errors": None,
    "event": frozenset({"publish", "log", "watch"}),
    "inbox": None,
    "keys": None,
    "kv": None,
    "lock": frozenset({"acquire", "release", "list"}),
    "map": frozenset({"start", "take", "done", "fail", "extend", "wait", "results", "show", "retry", "list", "clear"}),
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
# What makes any command a person's decision.
_PERSONAL = frozenset({"--no-tests"})


def read_octet_command(text: str) -> tuple[str, ...] | None:
    """The words of a command line that is one call of `octet` and nothing else; None otherwise."""
    words: list[str] = []
    text = text.strip(" \t\n")
    if not text.startswith("octet"):
        return None
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        words.append("".join(_piece(piece) for piece in _PIECE.finditer(match[1])))
        at = match.end()
    return tuple(words) if words[:1] == ["octet"] and "\0" not in text else None


def runs_unasked(words: Sequence[str]) -> bool:
    """Whether that call may run without asking the user."""
    noun = words[1] if len(words) > 1 else ""
    verbs = _UNASKED.get(noun, frozenset())
    return verbs is None or (len(words) > 2 and words[2] in verbs and _PERSONAL.isdisjoint(words))


def approves(words: Sequence[str]) -> bool:
    """Whether that call gives a person's approval, which no agent may give."""
    return any(word in _APPROVING for word in words[1:2])


def _piece(match: re.Match[str]) -> str:
    single, double, plain = match.groups()
    if single is not None:
        return single
    return plain if double is None else re.sub(r"\\([\"\\])", r"\1", double)
