"""A server's activity for one project, in our words: commands as they come, and slow ones.

    describe_command(["EVALSHA", sha, "6", "workflow:{p}:queue:q", …], keys)  # "queue/push queue:q"

MONITOR shows the commands of every client of the server; commands without a key or channel of the
project are left out.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from redis.exceptions import ResponseError

from octet.base.errors import Refused
from octet.base.text import plain
from octet.store.failures import translate_errors
from octet.store.keys import Keys
from octet.store.script_files import load_script, script_names
from octet.store.scripts import Store

MAX_WORD = 60
MAX_WORDS = 12
POLL_S = 0.5
SCRIPT = "lua"  # the client name of a script's own commands
_LINE = re.compile(r"([0-9.]+) \[(\d+) ([^]]*)\] (.*)", re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}


@dataclass(frozen=True)
class Command:
    """One command: when (s since 1970), which client, what; `micros`: duration, 0 if unknown."""

    at_s: float
    client: str
    text: str
    micros: int = 0


def monitor(store: Store, timeout_s: float, *, scripts: bool = False) -> Iterator[Command]:
    """The project's commands from now on, for `timeout_s`; with `scripts` those inside scripts too.

    Raises:
        Refused: the user may not, or the client is a cluster's.
    """
    if hasattr(store.client, "get_node_from_key"):
        raise Refused(
            "MONITOR shows one server, not a cluster: connect to one of its nodes with redis-cli"
        )
    end = time.monotonic() + timeout_s
    with translate_errors(store.client):
        try:
            with store.client.monitor() as watching:
                while (left_s := end - time.monotonic()) > 0:
                    if watching.connection.can_read(timeout=min(left_s, POLL_S)):
                        found = _parse(str(watching.connection.read_response()), store.keys)
                        if found and (scripts or found.client != SCRIPT):
                            yield found
        except ResponseError as error:
            raise Refused(f"the server does not allow MONITOR: {error}") from error


def slow_commands(store: Store, count: int) -> list[Command]:
    """The project's commands among the last `count` that the server found slow, the latest first.

    Raises:
        Refused: the user may not.
    """
    with store.errors():
        try:
            # Two words: redis-py parses the reply to "SLOWLOG GET" as one line of text.
            raw = store.client.execute_command("SLOWLOG", "GET", count)
        except ResponseError as error:
            raise Refused(f"the server does not allow SLOWLOG: {error}") from error
    return [found for entry in raw if (found := _slow(entry, store.keys))]


def describe_command(words: Sequence[str], keys: Keys) -> str | None:
    """A command in our words; None for one that is not about the project."""
    base = Keys(keys.project).own
    if not any(word.startswith(base) for word in words[1:]):
        return None
    name, rest = words[0].upper(), list(words[1:])
    if name in ("EVALSHA", "EVAL", "FCALL") and len(rest) > 1 and rest[1].isdecimal():
        count = int(rest[1])
        sha = rest[0] if name == "EVALSHA" else _sha(rest[0])
        name = _scripts().get(sha, name.lower())
        rest = [*rest[2 : 2 + min(count, 1)], *rest[2 + count :]]
    shown = [plain(word.removeprefix(base), MAX_WORD) for word in rest[:MAX_WORDS]]
    return " ".join([name, *shown, *(["…"] if len(rest) > MAX_WORDS else [])])


def _sha(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _parse(line: str, keys: Keys) -> Command | None:
    match = _LINE.fullmatch(line)
    if not match:
        return None
    text = describe_command([_unescape(word) for word in _WORD.findall(match[4])], keys)
    return Command(float(match[1]), match[3], text) if text else None


def _slow(entry: Sequence[Any], keys: Keys) -> Command | None:
    _, at_s, micros, words, *client = entry
    text = describe_command(words, keys) if words else None
    return (
        Command(float(at_s), str(client[0]) if client else "", text, int(micros)) if text else None
    )


def _unescape(word: str) -> str:
    """A word as MONITOR quotes it."""
    if "\\" not in word:
        return word
    found = _ESCAPE.sub(
        lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 3 else _PLAIN.get(m[1], m[1]), word
    )
    try:
        return found.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return found


@cache
def _scripts() -> dict[str, str]:
    return {load_script(name).sha: name for name in script_names()}
