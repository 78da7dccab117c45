"""The Lua scripts: one file a transition, loaded from `octet/lua`, called by SHA.

A line `-- include: NAME` is replaced by `lua/include/NAME.lua`. Every script answers with an array whose
first element is a `Reply` code. Design: docs/architecture.md, "Script replies".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError

from octet.store.connection import translate_errors
from octet.store.keys import Keys

INCLUDE = "-- include: "


class Reply(StrEnum):
    """First element of every script's answer."""

    OK = "OK"  # done; the fields follow
    HAS = "HAS"  # the agent holds as many claims as it may; the task follows
    EMPTY = "EMPTY"  # nothing to claim
    EXISTS = "EXISTS"  # the id is taken
    MISSING = "MISSING"  # no such task, agent or lock
    STATE = "STATE"  # the state (follows) does not allow the step
    STALE = "STALE"  # the fencing token is not the current one
    GONE = "GONE"  # the agent, in this incarnation, is not registered
    HELD = "HELD"  # another agent holds the resource; resource, value and TTL follow
    ALIVE = "ALIVE"  # the agent's heartbeat has not run out


@dataclass(frozen=True)
class Script:
    """A script's text with its includes in place, and its SHA-1."""

    name: str
    text: str
    sha: str


def _read(name: str) -> str:
    return (resources.files("octet") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def load_script(name: str) -> Script:
    """Read `lua/<name>.lua` and put its includes in place, each once."""
    lines: list[str] = []
    for line in _read(name).splitlines():
        if line.startswith(INCLUDE):
            lines.append(_read("include/" + line.removeprefix(INCLUDE).strip()))
        else:
            lines.append(line)
    text = "\n".join(lines)
    # SHA-1 is what EVALSHA names scripts by; nothing is protected by it.
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Store:
    """One project's keys on one Redis; every write goes through `run`."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        # Any: redis-py's annotations differ between its versions and speak of bytes and text at once; ours are text.
        self.client: Any = client
        self.keys = keys

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any]:
        """Run one script atomically; returns its array, `Reply` code first.

        Raises:
            StoreUnreachable: the server does not answer, or answers that it cannot.
        """
        script = load_script(name)
        with translate_errors(self.client):
            try:
                reply = self.client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
            except NoScriptError:  # a restarted or flushed server; EVAL caches the script again
                reply = self.client.execute_command("EVAL", script.text, len(keys), *keys, *args)
        return list(reply)


def as_mapping(flat: Sequence[str]) -> dict[str, str]:
    """A flat array of fields and values, as a script's HGETALL gives it, as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
